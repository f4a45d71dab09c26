"""Tables of several runs in a terminal of 80 columns."""

from __future__ import annotations

import io
from pathlib import Path

from factories.comparisons import compared, noisy
from factories.result_factory import failed, summary
from rich.console import Console

from benchmark.cli import tables
from benchmark.compare.comparison import Compared
from benchmark.measure.run_metrics import Quantile


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
    assert "in brackets: 94% confidence intervals of A and B, 95% of B - A" in lines


def test_one_run_of_each_has_no_intervals(tmp_path: Path) -> None:
    lines = printed(compared(tmp_path, noisy("a", 1, 1, [2000]), noisy("b", 1.2, 1, [2000])))
    assert lines[0].startswith("A: A, 1 run; B: B, 1 run")
    assert "no confidence intervals: one run of each is too few" in lines
    assert not [line for line in lines if line.startswith(" ") and "(" in line]


def test_a_run_with_failed_requests_shows_the_latency_of_all_and_of_successful_ones(tmp_path: Path) -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    done = summary("20260101T000000Z-one", 200)
    assert done.latency_s is not None
    slow = done.latency_s.model_copy(update={"mean": 0.15, "p99": Quantile(estimate=2.0, lower=2.0, upper=None)})
    changes = {"latency_s": slow, "successful_latency_s": done.latency_s, "errors": {"timeout": 3}}
    for each in tables.runs([done.model_copy(update=changes)], tmp_path):
        console.print(each, soft_wrap=isinstance(each, str))
    lines = [line.split() for line in console.export_text().splitlines()]
    assert ["200", "200.0", "150", "ms", "120", "ms", "120", "ms", ">", "2", "s", "3", "ok"] in lines
    assert ["completed", "120", "ms", "120", "ms", "120", "ms", "120", "ms"] in lines


def test_errors_that_a_system_does_not_count_are_a_dash(tmp_path: Path) -> None:
    unknown = summary("20260101T000000Z-one", 200).model_copy(update={"errors": None})
    console = Console(width=80, record=True, file=io.StringIO())
    for each in tables.runs([unknown], tmp_path):
        console.print(each, soft_wrap=isinstance(each, str))
    assert "120 ms - ok" in " ".join(console.export_text().split())


def test_runs_fit_80_columns_and_unknown_errors_are_a_dash(tmp_path: Path) -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    done, lost = summary("20260101T000000Z-one", 12345), failed("20260101T000000Z-two")
    for each in tables.runs([done, lost], tmp_path):
        console.print(each, soft_wrap=isinstance(each, str))
    lines = [line.split() for line in console.export_text().splitlines()]
    assert ["12345", "12345", "120", "ms", "120", "ms", "120", "ms", "120", "ms", "0", "ok"] in lines
    assert ["(108-132)", "(108-132)", "(108-132)"] in lines
    assert ["100", "-", "-", "-", "-", "-", "-", "failed"] in lines


def test_unknown_metrics_are_dashes_with_the_reason_below(tmp_path: Path) -> None:
    known = summary("unknown")
    assert known.latency_s is not None
    latency = known.latency_s.model_copy(update={"mean": None, "p50": None, "p90": None, "p99": None})
    warning = 'p50 latency unknown: client a: `lat_bucket` has no bucket but le="+Inf"'
    run = known.model_copy(update={"latency_s": latency, "completed_tps": None, "warnings": [warning]})
    console = Console(file=io.StringIO(), width=200)
    for shown in tables.runs([run], tmp_path):
        console.print(shown)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    row = next(line for line in text.splitlines() if line.strip().startswith("100"))
    assert row.split() == ["100", "-", "-", "-", "-", "-", "0", "ok"]
    assert f"warning: {warning}" in text


def test_bounds_that_three_digits_do_not_show_are_left_out(tmp_path: Path) -> None:
    done = summary("20260101T000000Z-one")
    assert done.latency_s is not None
    fine = {name: Quantile(estimate=0.12, lower=0.11999, upper=0.12006) for name in ("p50", "p90", "p99")}
    console = Console(width=80, record=True, file=io.StringIO())
    latency = done.latency_s.model_copy(update=fine)
    changed = done.model_copy(update={"latency_s": latency, "successful_latency_s": latency})
    for each in tables.runs([changed], tmp_path):
        console.print(each, soft_wrap=isinstance(each, str))
    text = console.export_text()
    assert "120 ms 120 ms 120 ms 0 ok" in " ".join(text.split())
    assert "(120-120)" not in text
