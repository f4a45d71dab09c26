"""Tables of several runs in a terminal of 80 columns."""

from __future__ import annotations

import io
from pathlib import Path

from factories.comparisons import compared, noisy
from factories.result_factory import failed, store_sweep, summary, write_search
from rich.console import Console

from benchmark.cli import tables
from benchmark.compare.comparison import Compared
from benchmark.measure.fault_impact import FaultImpact, RegionImpact
from benchmark.measure.phases import PhaseStats
from benchmark.measure.run_metrics import Latency, Quantile
from benchmark.measure.window_stats import WindowStats
from benchmark.results.find import find_search
from benchmark.results.summary import Summary
from benchmark.results.verification import Progress, Verification


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
    assert "in brackets: 94 % confidence intervals of A and B, 95 % of B - A" in lines


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


def test_each_fault_of_a_run_is_one_line(tmp_path: Path) -> None:
    stats = WindowStats(
        completed_tps=1250.0,
        sent_tps=None,
        scheduled_tps=None,
        backlog_tps=None,
        completed=12500,
        sampled_seconds=10.0,
        latency_s=Latency.model_validate(
            {"mean": 0.1, "stdev": None, "p99": Quantile(estimate=1.31, lower=1.31, upper=1.31)}
        ),
        errors={},
    )
    run = summary("20260101T000000Z-one", 200)
    assert run.window
    crash = FaultImpact(
        kind="partition",
        target="leader",
        injected=run.window.start + 10,
        healed=run.window.start + 20,
        before=stats,
        during=stats.model_copy(update={"completed_tps": 3.25}),
        after=stats,
        outage_s=10.1,
        recovery_s=0.2,
        late=12345,
        lost=0,
    )
    why = "not within 18 s"
    lasting = FaultImpact(
        kind="crash", target="one", injected=run.window.start, healed=None, outage_s=0, unknown={"recovery_s": why}
    )
    console = Console(width=80, record=True, file=io.StringIO(), emoji=False)
    for each in tables.runs([run.model_copy(update={"faults": [crash, lasting]})], tmp_path):
        console.print(each, soft_wrap=isinstance(each, str))
    lines = [" ".join(line.split()) for line in console.export_text().splitlines()]
    assert "partition:leader 10.0-20.0 1250 3.2 1250 1.31 s 10.1 s 200 ms 12345 0" in lines
    assert "crash:one 0.0-end - - - - none - - -" in lines
    assert "crash:one: recovery_s unknown: not within 18 s" in lines


def test_outages_over_repeats_are_shown_with_their_range(tmp_path: Path) -> None:
    fault = FaultImpact(kind="crash", target="leader", injected=1.0, healed=None)
    sides = [
        [run.model_copy(update={"faults": [fault.model_copy(update={"outage_s": 1.0 + at, "recovery_s": None})]})
         for at, run in enumerate(noisy(name, 1, 3, [2000]))]
        for name in "ab"
    ]  # fmt: skip
    lines = [" ".join(line.split()) for line in printed(compared(tmp_path, *sides))]
    at = lines.index("A all 2 s - - - - -")
    assert "crash:leader at 2000 tx/s: median and range" in lines[:at]
    assert lines[at + 1] == "(1-3)"
    assert lines[at + 2] == "B all 2 s - - - - -"
    assert "A crash:leader at 2000 tx/s: recovery unknown for 3 of 3 faults" in lines


def test_faults_show_regions_and_what_caught_up(tmp_path: Path) -> None:
    run = summary("20260101T000000Z-one", 200)
    assert run.window
    cut = RegionImpact(outage_s=10.0, recovery_s=0.1, availability=0.6667, lost=7)
    fault = FaultImpact(
        kind="partition",
        target="one",
        injected=run.window.start,
        healed=run.window.start + 9,
        availability=0.9987,
        slo="p99=0.5s",
        catch_up_s={"a-1": 1.25, "b-0": None},
        regions={"a": cut, "b": RegionImpact(outage_s=0.0)},
        unknown={"catch_up_s": "not within 3 s"},
    )
    lines = [str(line) for line in tables.runs([run.model_copy(update={"faults": [fault]})], tmp_path)]
    assert "partition:one: 99.8 % of the seconds met p99=0.5s" in lines
    assert "partition:one: caught up after healing: a-1 1.25 s" in lines
    assert "partition:one: catch_up_s unknown: not within 3 s" in lines
    assert "partition:one: clients in a: outage 10 s, recovery 100 ms, 66.6 % available, 7 lost" in lines
    assert "partition:one: clients in b: no outage, recovery -, - available, - lost" in lines


def phase(run: Summary, label: str, begin: float, end: float, tps: float | None) -> PhaseStats:
    assert run.window
    stats = run.by_region["us-east-1"].model_copy(update={"completed_tps": tps, "errors": {"timeout": 3}})
    edges = {"start": run.window.start + begin, "end": run.window.start + end}
    return PhaseStats(name=label, label=label, **edges, stats=None if tps is None else stats, unknown="few" * (not tps))


def test_phases_of_a_run_have_a_line_each(tmp_path: Path) -> None:
    run = summary("20260101T000000Z-one", 200)
    phases = [phase(run, "ok", 0, 10, 200.0), phase(run, "attack", 10, 12.5, 4.25), phase(run, "ok 2", 12.5, 20, None)]
    console = Console(width=80, record=True, file=io.StringIO())
    for each in tables.runs([run.model_copy(update={"phases": phases})], tmp_path):
        console.print(each, soft_wrap=isinstance(each, str))
    lines = [" ".join(line.split()) for line in console.export_text().splitlines()]
    assert "ok 0-10 200.0 120 ms 118 ms 141 ms 149 ms 3" in lines
    assert "attack 10-12.5 4.2 120 ms 118 ms 141 ms 149 ms 3" in lines
    assert "ok 2 12.5-20 - - - - - -" in lines
    assert "phase ok 2 unknown: few" in lines


def test_phases_of_a_comparison_are_side_by_side(tmp_path: Path) -> None:
    sides = [
        [run.model_copy(update={"phases": [phase(run, "attack", 0, 10, tps + at)]})
         for at, run in enumerate(noisy(name, 1, 3, [2000]))]
        for name, tps in (("a", 100.0), ("b", 150.0))
    ]  # fmt: skip
    lines = [" ".join(line.split()) for line in printed(compared(tmp_path, *sides))]
    assert "attack 2000 throughput 101.0 151.0 +49.5 %" in lines
    assert "attack 2000 failed 3 3" in lines


def test_the_verdict_on_linearizability_is_printed(tmp_path: Path) -> None:
    done = summary("20260101T000000Z-one", 200)
    for verdict in ("ok", "violation", "unknown"):
        found = Verification(verdict=verdict, operations=512, timeouts=3, seconds=0.1)
        lines = list(tables.runs([done.model_copy(update={"verification": found})], tmp_path))
        text = f"linearizability at 200 tx/s: {verdict}, 512 operations, 3 with unknown outcome"
        assert any(text in str(line) for line in lines)


def test_progress_is_printed_where_it_was_required(tmp_path: Path) -> None:
    done = summary("20260101T000000Z-one", 200)
    found = Progress(verdict="ok", limit_s=30, required_s=60, longest_s=1.25)
    lines = [str(line) for line in tables.runs([done.model_copy(update={"progress": found})], tmp_path)]
    assert any(
        "progress at 200 tx/s: ok, at most 1.2 s without a success in the 60 s in which" in line for line in lines
    )
    unknown = Progress(verdict="unknown", limit_s=30)
    lines = [str(line) for line in tables.runs([done.model_copy(update={"progress": unknown})], tmp_path)]
    assert not any("progress at" in line for line in lines)


def test_a_sweep_names_failed_requests_and_values_that_are_lower_bounds(tmp_path: Path) -> None:
    run = summary("20260101T000000Z-one", 200)
    assert run.latency_s
    unbounded = run.latency_s.model_copy(update={"p99": Quantile(estimate=10.0, lower=10.0, upper=None)})
    slow = run.model_copy(update={"latency_s": unbounded, "errors": {"timeout": 3}})
    shown = list(tables.sweep(store_sweep(tmp_path, [("", slow)])))
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(shown[0])
    assert "> 10 s" in console.export_text()
    lines = [str(line) for line in shown]
    assert "[yellow]failed requests at 200 tx/s: 3[/yellow]" in lines
    bound = "p99 latency at 200 tx/s is higher than shown in 1 of its runs: only a lower bound is known"
    assert f"[yellow]{bound}[/yellow]" in lines


def test_steps_of_a_search_are_columns(tmp_path: Path) -> None:
    folder = find_search(tmp_path, str(write_search(tmp_path, breaks_at=100)))
    console = Console(width=80, record=True, file=io.StringIO())
    for each in tables.search(folder.journal, folder.path, folder.summaries()):
        console.print(each, soft_wrap=isinstance(each, str))
    lines = console.export_text().splitlines()
    rows = [line.split() for line in lines]
    first = next(row for row in rows if row[:2] == ["1", "30"])
    assert first[-1] == "met"
    assert float(first[2]) > 25
    assert "ms" in first
    failed = [row for row in rows if row[2:] == ["-", "-", "not", "met"]]
    assert failed
    assert any(line.startswith(f"step {failed[0][0]}: the system failed") for line in lines)


def test_an_average_load_below_the_requested_peak_is_reported(tmp_path: Path) -> None:
    shaped = summary("20260101T000000Z-one", 50).model_copy(update={"scheduled_tps": 37.5})
    assert "at 50 tx/s, 37.5 tx/s were scheduled on average" in list(tables.runs([shaped], tmp_path))
    even = shaped.model_copy(update={"scheduled_tps": 50.2})
    assert not [each for each in tables.runs([even], tmp_path) if isinstance(each, str) and "on average" in each]
