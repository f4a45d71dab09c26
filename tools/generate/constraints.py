"""Write tools/setup/constraints.txt from pip's resolution for an empty environment."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CONSTRAINTS = Path(__file__).resolve().parents[1] / "setup" / "constraints.txt"


def constraints(report: Mapping[str, Any]) -> str:
    """Return a pin for every distribution of pip's installation report, sorted by name."""
    found = [item["metadata"] for item in report["install"]]
    return "".join(sorted((f"{item['name']}=={item['version']}\n" for item in found), key=str.lower))


if __name__ == "__main__":
    CONSTRAINTS.write_text(constraints(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))), encoding="utf-8")
