"""Write the table of accidents in docs/reliability.md from what the tests have recorded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RECORD = ROOT / "tests" / "data" / "accidents.json"
PAGE = Path("docs") / "reliability.md"
_BEGIN, _END = "<!-- accidents: begin -->\n", "<!-- accidents: end -->\n"


def documents() -> dict[Path, str]:
    """Return the page with a current table; the text around the table is written by hand."""
    head, _, rest = (ROOT / PAGE).read_text(encoding="utf-8").partition(_BEGIN)
    tail = rest.partition(_END)[2]
    return {PAGE: head + _BEGIN + table(json.loads(RECORD.read_text(encoding="utf-8"))) + _END + tail}


def table(outcomes: list[Mapping[str, object]]) -> str:
    """Return a row for each accident: what happened in which phases, how long it took, how it ended."""
    lines = ["| accident | in phase | seconds | exit code | left running |", "|---|---|--:|--:|--:|"]
    for name, group in groupby(outcomes, key=lambda each: each["accident"]):
        every = list(group)
        seconds = sorted(float(str(each["seconds"])) for each in every)
        spread = f"{seconds[0]:.1f}" if len(every) == 1 else f"{seconds[0]:.1f} to {seconds[-1]:.1f}"
        codes = ", ".join(dict.fromkeys(str(each["exit code"]) for each in every))
        phases = ", ".join(f"`{each['phase']}`" for each in every)
        left = sum(int(str(each["left running"])) for each in every)
        lines.append(f"| {name} | {phases} | {spread} | {codes} | {left} |")
    return "\n".join(lines) + "\n"
