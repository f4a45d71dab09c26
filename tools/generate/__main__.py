"""Write all generated files, or check that they are current: `python -m tools.generate [--check]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.generate import dashboards, reliability, settings_reference

ROOT = Path(__file__).resolve().parents[2]


def stale(documents: Mapping[Path, str], root: Path) -> list[Path]:
    """Return the documents, paths relative to `root`, whose files are missing or have another content."""
    return [
        path
        for path, text in documents.items()
        if not (root / path).is_file() or (root / path).read_text(encoding="utf-8") != text
    ]


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Write the files; with --check, print those that are not current instead and return 1 if there are any."""
    parser = argparse.ArgumentParser(prog="python -m tools.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file is not current")
    options = parser.parse_args(arguments)
    documents = dashboards.documents() | settings_reference.documents() | reliability.documents()
    found = stale(documents, root)
    for path in found:
        if options.check:
            print(f"{path}: not current; run `make docs`", file=sys.stderr)
        else:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(documents[path], encoding="utf-8")
            print(f"wrote {path}")
    return 1 if options.check and found else 0


if __name__ == "__main__":
    raise SystemExit(main())
