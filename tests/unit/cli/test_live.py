from __future__ import annotations

import io
import os
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import replace
from typing import Literal

import pytest
from rich.console import Console

from benchmark.cli.live import LivePanel, clock_time, live, sparkline
from benchmark.cli.view import View
from benchmark.measure.live_stats import LiveStats
from benchmark.results.events import PhaseStarted, Progress, RunStarted, SummaryWritten

RUN = RunStarted("20261122T161108Z-etcd-3.4.234b-5n-50tps-8129", 50, "results/dev/one")
PROGRESS = Progress(
    left_s=60.0, scheduled_tps=50.0, completed_tps=40.0, errors_tps=0.0, inflight=6.0,
    latencies_s={"mean_s": 0.135, "p50_s": 0.13, "p99_s": 0.31}, nodes=5.0, nodes_up=4.0, clients=5.0, clients_up=5.0,
)  # fmt: skip


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def panel(clock: Clock) -> LivePanel:
    made = LivePanel(clock)
    made.run(RUN)
    return made


def shown(panel: LivePanel, width: int = 100, colours: bool = False) -> str:
    system: Literal["standard"] | None = "standard" if colours else None
    console = Console(file=io.StringIO(), width=width, force_terminal=colours, color_system=system)
    console.print(panel)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_phase_and_its_duration_are_shown_before_the_load_begins(panel: LivePanel, clock: Clock) -> None:
    panel.phase("install")
    clock.now += 75
    text = shown(panel)
    assert "installing  1:15" in text
    assert "50 tx/s" in text
    assert "left" not in text
    assert len(text.splitlines()) == 3


def test_load_latency_health_and_time_left_are_shown_under_load(panel: LivePanel, clock: Clock) -> None:
    panel.phase("warm_up")
    clock.now += 20
    panel.progress(PROGRESS)
    panel.phase("measure")
    clock.now += 20
    text = shown(panel)
    assert "measuring  ━━━━━━━━━━━━━━━───────────────  0:40 left" in text, "half of 80 s"
    assert "scheduled 50.0 tx/s, completed 40.0 tx/s (80 %)" in text
    assert "mean 135 ms, p50 130 ms, p99 310 ms" in text
    assert "nodes 4/5 up, clients 5/5 up, 6 in flight, errors 0.0/s" in text


def test_time_left_is_never_negative_and_ends_with_the_load(panel: LivePanel, clock: Clock) -> None:
    panel.phase("measure")
    panel.progress(PROGRESS)
    clock.now += 100
    assert "0:00 left" in shown(panel)
    panel.phase("stop")
    assert "left" not in shown(panel)


def test_problems_are_red_and_unknown_values_a_dash(panel: LivePanel) -> None:
    panel.phase("measure")
    panel.progress(PROGRESS)
    red = "\x1b[1;31m"
    assert f"{red}nodes 4/5 up" in shown(panel, colours=True)
    assert f"{red}errors" not in shown(panel, colours=True)
    panel.progress(Progress(1.0, errors_tps=2.0))
    text = shown(panel, colours=True)
    assert f"{red}errors 2.0/s" in text
    assert "scheduled - tx/s" in text
    assert "nodes" not in text
    panel.progress(Progress(1.0))
    assert "errors -/s" in shown(panel)


def test_next_run_resets_the_panel(panel: LivePanel) -> None:
    panel.phase("measure")
    panel.progress(PROGRESS)
    panel.run(replace(RUN, requested_tps=100))
    panel.phase("configure")
    assert "scheduled" not in shown(panel)
    assert "100 tx/s" in shown(panel)


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_panel_fits_any_terminal_and_keeps_its_height(panel: LivePanel, width: int) -> None:
    panel.phase("measure")
    panel.progress(PROGRESS)
    lines = shown(panel, width).splitlines()
    assert len(lines) == 6
    assert max(map(len, lines)) <= width


def test_sparklines_start_at_zero() -> None:
    assert sparkline(deque([0.0, 50.0, 100.0])) == "▁▅█"
    assert sparkline(deque()) == sparkline(deque([0.0])) == ""


def test_times_are_formatted_like_a_clock() -> None:
    assert [clock_time(seconds) for seconds in (0, 59.6, 3725)] == ["0:00", "1:00", "1:02:05"]


def test_drawing_takes_less_than_one_percent_of_a_core(panel: LivePanel) -> None:
    """Draw once a second, with new progress every 2 s as in a run."""
    console = Console(file=io.StringIO(), width=120, force_terminal=True)
    panel.phase("measure")
    drawn = 120
    with live(panel, console) as shown_live:
        assert shown_live.auto_refresh
        assert shown_live.refresh_per_second == 1
        begin = time.thread_time()
        for second in range(drawn):
            if second % 2 == 0:
                panel.progress(PROGRESS)
            shown_live.refresh()
        spent = time.thread_time() - begin
    assert spent / drawn < 0.01


def test_one_line_per_update_is_printed_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with View() as view:
        for event in (RUN, PhaseStarted("measure"), PROGRESS):
            view.observe(event)
    printed = capsys.readouterr().err
    assert "completed 40.0 tx/s" in printed
    assert "60 s left" in printed
    assert "━" not in printed


def test_lost_terminal_does_not_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    controller, terminal = os.openpty()
    with os.fdopen(terminal, "w") as lost, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", lost)
        with View() as view:
            assert view.progress.is_terminal
            os.close(controller)
            for event in (RUN, PhaseStarted("measure"), PROGRESS):
                view.observe(event)
        with suppress(OSError):
            lost.close()


def test_the_place_of_a_run_and_the_end_of_all_are_shown(panel: LivePanel, clock: Clock) -> None:
    panel.run(replace(RUN, number=3, runs=12, ends=clock.now + 754))
    assert "run 3 of 12, 20261122T161108Z" in shown(panel)
    assert "all runs end in about 12:34, at " in shown(panel)
    clock.now += 800
    assert "all runs end" not in shown(panel)
    panel.run(replace(RUN, number=3, runs=None))
    assert "run 3, 20261122T161108Z" in shown(panel)
    panel.run(replace(RUN, number=1, runs=1, ends=clock.now + 60))
    assert "run 1" not in shown(panel)


def test_regions_have_a_row_where_there_is_room(panel: LivePanel) -> None:
    panel.progress(PROGRESS)
    regions = {
        "us-east-1": LiveStats(completed_tps=17.0, latencies_s={"p50_s": 0.074, "p99_s": 0.121}),
        "eu-west-1": LiveStats(completed_tps=3.0, errors_tps=2.0),
    }
    panel.regions(regions)
    text = shown(panel)
    assert "us-east-1  completed 17.0 tx/s, p50 74 ms, p99 121 ms" in text
    assert "errors 2.0/s" in text
    panel.regions({f"region-{index}": LiveStats() for index in range(100)})
    assert "region-1 " not in shown(panel)


def test_each_finished_run_of_several_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    summary = SummaryWritten(
        "r1", "ok", "results/dev/r1", {"overhead": 1.0, "system_start": 2.0},
        requested_tps=50.0, completed_tps=49.9, latencies_s={"p50_s": 0.137, "p99_s": 0.279},
    )  # fmt: skip
    for runs, expected in ((4, True), (1, False)):
        with View() as view:
            view.observe(replace(RUN, number=1, runs=runs))
            view.observe(summary)
        line = "result: requested 50.0 tx/s, completed 49.9 tx/s, p50 137 ms, p99 279 ms, ok"
        assert (line in capsys.readouterr().err) == expected
