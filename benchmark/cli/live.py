"""The panel that a terminal shows during a run: phase, time left, load, latency, health. Drawn once a second."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from benchmark.cli import numbers
from benchmark.measure.live_stats import LiveStats
from benchmark.measure.run_metrics import LATENCIES
from benchmark.results.events import Progress, RunStarted

PHASES = {
    "connect": "connecting to all hosts",
    "check": "checking hosts",
    "install": "installing",
    "configure": "configuring",
    "monitor": "preparing monitoring",
    "start_nodes": "starting nodes, waiting until they are ready",
    "start_clients": "starting clients",
    "warm_up": "warming up",
    "measure": "measuring",
    "settle": "waiting until the nodes agree",
    "stop": "stopping",
    "collect": "collecting samples and logs",
}
_BARS = "▁▂▃▄▅▆▇█"
_BAR_WIDTH = 30
_HISTORY = 30
_OTHER_LINES = 8
"""Lines of a terminal that are left for the panel without regions, and for what is above it."""


class LivePanel:
    """The current run as its events describe it; a renderable of rich."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._title = ""
        self._ends: float | None = None
        self._regions: Mapping[str, LiveStats] = {}
        self._phase = ""
        self._since = clock()
        self._load_since: float | None = None
        self._until: float | None = None
        self._latest: Progress | None = None
        self._completed: deque[float] = deque(maxlen=_HISTORY)
        self._p99: deque[float] = deque(maxlen=_HISTORY)

    def run(self, started: RunStarted) -> None:
        """Reset the panel for another run."""
        place = f"run {started.number}" if is_one_of_several(started) else ""
        place += f" of {started.runs}, " if place and started.runs else ", " if place else ""
        self._title = f"{place}{started.run_id}: {started.requested_tps:g} tx/s"
        self._ends = started.ends if is_one_of_several(started) else None
        self._regions = {}
        self._load_since = self._until = None
        self._latest = None
        self._completed.clear()
        self._p99.clear()

    def phase(self, name: str) -> None:
        """Enter a phase."""
        self._phase, self._since = name, self._clock()
        if name == "warm_up":
            self._load_since = self._since
        if name == "stop":
            self._until = None

    def progress(self, latest: Progress) -> None:
        """Show new rates and latencies."""
        self._latest = latest
        self._until = self._clock() + latest.left_s
        self._load_since = self._load_since or self._clock()
        if latest.completed_tps is not None:
            self._completed.append(latest.completed_tps)
        if "p99_s" in latest.latencies_s:
            self._p99.append(latest.latencies_s["p99_s"])

    def regions(self, latest: Mapping[str, LiveStats]) -> None:
        """Show the load of each region, where there is room for it."""
        self._regions = latest

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = [self._first_line()]
        if self._latest:
            lines += [self._load_line(self._latest), self._latency_line(self._latest), self._health_line(self._latest)]
            if 1 < len(self._regions) <= console.size.height - _OTHER_LINES:
                lines += self._region_lines()
        title = Text(self._title, overflow="ellipsis", no_wrap=True)
        yield Panel(Group(*lines), title=title, title_align="left", subtitle=self._end(), subtitle_align="left")

    def _end(self) -> str | None:
        if self._ends is None or (left := self._ends - self._clock()) <= 0:
            return None
        return f"all runs end in about {clock_time(left)}, at {datetime.fromtimestamp(self._ends):%H:%M}"

    def _region_lines(self) -> list[Text]:
        width = max(map(len, self._regions))
        lines = []
        for region, stats in self._regions.items():
            p50, p99 = (numbers.latency(stats.latencies_s.get(name)) for name in ("p50_s", "p99_s"))
            line = Text(f"{region:<{width}}  ", style="dim", no_wrap=True, overflow="ellipsis")
            line.append(f"completed {numbers.rate(stats.completed_tps)} tx/s, p50 {p50}, p99 {p99}", style="not dim")
            if stats.errors_tps:
                line.append(f", errors {numbers.rate(stats.errors_tps)}/s", style="not dim bold red")
            lines.append(line)
        return lines

    def _first_line(self) -> Text:
        now = self._clock()
        line = Text(f"{PHASES.get(self._phase, self._phase or 'starting')}  ", no_wrap=True, overflow="ellipsis")
        if self._until is None or self._load_since is None:
            return line.append(clock_time(now - self._since), style="dim")
        whole = max(self._until - self._load_since, 1e-9)
        full = round(_BAR_WIDTH * min(max((now - self._load_since) / whole, 0.0), 1.0))
        line.append("━" * full, style="green").append("─" * (_BAR_WIDTH - full), style="dim")
        return line.append(f"  {clock_time(max(0.0, self._until - now))} left")

    def _load_line(self, latest: Progress) -> Text:
        scheduled, completed = latest.scheduled_tps, latest.completed_tps
        line = Text("load     ", style="dim", no_wrap=True, overflow="ellipsis")
        rates = f"scheduled {numbers.rate(scheduled)} tx/s, completed {numbers.rate(completed)} tx/s"
        line.append(rates, style="not dim")
        if scheduled and completed is not None:
            short = completed < 0.98 * scheduled
            line.append(
                f" ({numbers.share(completed / scheduled)})", style="not dim yellow" if short else "not dim green"
            )
        return line.append(f"  {sparkline(self._completed)}", style="not dim cyan")

    def _latency_line(self, latest: Progress) -> Text:
        figures = [
            f"{metric.short} {numbers.latency(latest.latencies_s.get(metric.name))}"
            for metric in LATENCIES
            if metric.over_time
        ]
        line = Text("latency  ", style="dim", no_wrap=True, overflow="ellipsis")
        return line.append(", ".join(figures), style="not dim").append(
            f"  {sparkline(self._p99)}", style="not dim cyan"
        )

    def _health_line(self, latest: Progress) -> Text:
        line = Text("health   ", style="dim", no_wrap=True, overflow="ellipsis")
        for job, up, count in (
            ("nodes", latest.nodes_up, latest.nodes),
            ("clients", latest.clients_up, latest.clients),
        ):
            if up is not None and count is not None:
                style = "not dim green" if up == count else "not dim bold red"
                line.append(f"{job} {up:.0f}/{count:.0f} up", style=style).append(", ")
        if latest.inflight is not None:
            line.append(f"{latest.inflight:.0f} in flight, ", style="not dim")
        errors = latest.errors_tps
        return line.append(f"errors {numbers.rate(errors)}/s", style="not dim bold red" if errors else "not dim")


def is_one_of_several(started: RunStarted) -> bool:
    """Return whether the command of a run has others."""
    return started.number is not None and started.runs != 1


def live(panel: LivePanel, console: Console) -> Live:
    """Return the context in which `panel` is shown below other output; it disappears at the end."""
    return Live(panel, console=console, refresh_per_second=1, transient=True, redirect_stdout=False)


def sparkline(values: deque[float]) -> str:
    """Draw values as bars of eight heights, the lowest one for 0."""
    highest = max(values, default=0.0)
    if highest <= 0:
        return ""
    return "".join(_BARS[min(7, max(0, int(8 * value / highest)))] for value in values)


def clock_time(seconds: float) -> str:
    """Format seconds as `1:05` or `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
