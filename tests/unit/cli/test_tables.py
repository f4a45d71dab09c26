"""Tables of several runs in a terminal of 80 columns."""

from __future__ import annotations

import io
from pathlib import Path

from factories.comparisons import compared, noisy
from rich.console import Console

from benchmark.cli import tables
from benchmark.compare.comparison import Compared


def printed(comparison: Compared) -> list[str]:
    console = Console(width=80, record=True, file=io.StringIO())
    for shown in tables.compared(comparison):
        console.print(shown)
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_a_metric_with_its_intervals_takes_two_lines(tmp_path: Path) -> None:
    lines = printed(compared(tmp_path, noisy("a", 1, 5, [2000]), noisy("b", 1.2, 5, [2000])))
    row = next(index for index, line in enumerate(lines) if line.startswith("mean latency"))
    assert lines[row].endswith(" yes")
    assert lines[row + 1].count("(") == lines[row + 1].count(")") == 3
    assert lines[row + 2].startswith("p50 latency")
    assert "in brackets: intervals of 94% confidence for A and B, of 95% for B - A" in lines


def test_one_run_of_each_has_no_intervals(tmp_path: Path) -> None:
    lines = printed(compared(tmp_path, noisy("a", 1, 1, [2000]), noisy("b", 1.2, 1, [2000])))
    assert lines[0].startswith("A: A, 1 run; B: B, 1 run")
    assert "no intervals: one run of each is too few" in lines
    assert not [line for line in lines if line.startswith(" ") and "(" in line]
