"""What the command line shows: plain lines where there is no terminal, a live panel where there is one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from benchmark.cli.live import PHASES, LivePanel, live
from benchmark.cli.live import milliseconds as _milliseconds
from benchmark.cli.live import number as _number
from benchmark.results.events import Event

if TYPE_CHECKING:
    from benchmark.compare.comparison import Compared
    from benchmark.measure.histogram import Quantile
    from benchmark.orchestrator.preflight import Check
    from benchmark.protocols.process import Plan
    from benchmark.results.search import Search
    from benchmark.results.summary import Summary
    from benchmark.results.sweep import SweepFolder

_COLUMNS = (
    "requested\ntx/s", "completed\ntx/s", "mean\nms", "p50\nms", "p90\nms", "p99\nms", "errors", "status"
)  # fmt: skip


class View:
    """Shows events as they come, and tables at the end; a context that ends the live panel."""

    def __init__(self) -> None:
        self.out = Console()
        self.progress = Console(stderr=True, highlight=False)
        self._panel = LivePanel()
        self._live: Live | None = None

    def __enter__(self) -> View:
        if self.progress.is_terminal:
            self._live = live(self._panel, self.progress)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def observe(self, event: Event) -> None:
        """Show an event."""
        shown = getattr(self, f"_on_{event.kind}", None)
        if shown:
            shown(event.data)

    def _on_plan(self, data: Mapping[str, Any]) -> None:
        plan: Plan = data["plans"][0]
        regions = Counter(host.region for host in plan.nodes)
        spread = ", ".join(f"{count} in {region}" for region, count in regions.items())
        loads = ", ".join(_load(each) for each in data["plans"])
        self.progress.print(f"testbed {data['testbed']}: {len(plan.nodes)} {data['protocol']} nodes ({spread})")
        if advised := data.get("advised"):
            self.progress.print(advised, style="dim")
        makers = "load made by the nodes"
        if plan.clients:
            beside = "beside the nodes" if plan.clients[0] in plan.nodes else "on hosts of their own"
            makers = f"{len(plan.clients)} clients {beside}"
        self.progress.print(f"{makers}; requested load {loads} tx/s")

    def _on_step(self, data: Mapping[str, Any]) -> None:
        self.progress.print(f"  {data['text']}", soft_wrap=True, markup=False)

    def _on_run(self, data: Mapping[str, Any]) -> None:
        self._panel.run(data)
        self.progress.print(f"run {data['run_id']}")

    def _on_phase(self, data: Mapping[str, Any]) -> None:
        self._panel.phase(data["name"])

    def _on_phase_end(self, data: Mapping[str, Any]) -> None:
        text = PHASES.get(data["name"], data["name"])
        self.progress.print(f"  {text:<46}{data['seconds']:8.2f} s", style="dim")

    def _on_progress(self, data: Mapping[str, Any]) -> None:
        self._panel.progress(data)
        if self._live:
            return
        figures = [
            f"scheduled {_number(data['scheduled_tps'])} tx/s",
            f"completed {_number(data['completed_tps'])} tx/s",
            f"latency mean {_milliseconds(data['mean_s'])}, p99 {_milliseconds(data['p99_s'])}",
        ]
        if data["errors_tps"]:
            figures.append(f"[red]errors {_number(data['errors_tps'])}/s[/red]")
        self.progress.print(f"  {'; '.join(figures)}; {data['left_s']:.0f} s left", soft_wrap=True)

    def _on_warning(self, data: Mapping[str, Any]) -> None:
        self.progress.print(f"warning: {data['text']}", style="yellow", markup=False)

    def _on_summary(self, data: Mapping[str, Any]) -> None:
        timings: Mapping[str, float] = data["timings"]
        self.progress.print(
            f"  overhead {timings['overhead']:.2f} s (the system itself: {timings['system_start']:.2f} s)",
            style="dim",
        )

    def summaries(self, summaries: Sequence[Summary], folder: Path) -> None:
        """Show the runs' figures as a table, then what has to be said about them and where they lie."""
        title = f"{summaries[0].protocol} {summaries[0].commit}, {summaries[0].nodes} nodes"
        table = Table(title=title, box=SIMPLE, padding=(0, 1, 0, 0))
        for name in _COLUMNS:
            table.add_column(name, justify="right")
        for summary in summaries:
            table.add_row(*_row(summary))
        self.out.print(table)
        for summary in summaries:
            for text in summary.reasons:
                self.out.print(f"invalid: {text}", style="red", markup=False)
            for text in summary.warnings:
                self.out.print(f"warning: {text}", style="yellow", markup=False)
        for summary in summaries:
            self._findings(summary)
            self.out.print(f"results: {folder / summary.run_id}", soft_wrap=True, highlight=False)

    def sweep(self, folder: SweepFolder) -> None:
        """Show the median of each load with its interval, outliers and what failed."""
        from benchmark.cli import tables

        self.show(tables.sweep(folder))

    def search(self, found: Search, folder: Path) -> None:
        """Show the steps of a search and its answer."""
        from benchmark.cli import tables

        self.show(tables.search(found, folder))

    def compared(self, compared: Compared) -> None:
        """Show a comparison."""
        from benchmark.cli import tables

        self.show(tables.compared(compared))

    def _findings(self, summary: Summary) -> None:
        """Say which logs have errors; panics and crashes are warnings already."""
        counts = {name: kinds["error"].count for name, kinds in summary.log_findings.items() if "error" in kinds}
        if counts:
            listed = ", ".join(f"{name} {count}" for name, count in list(counts.items())[:8])
            self.out.print(f"errors in logs: {listed}; see log_findings in summary.json, `python -m benchmark logs`")

    def results(self, found: Sequence[tuple[Path, Summary | None]]) -> None:
        """Show each run: its name, which can be copied whole, and its figures below."""
        for path, summary in found:
            self.out.print(f"{path.parent.name}/{path.name}", soft_wrap=True, highlight=False, style="bold")
            self.out.print(f"    {_line(summary) if summary else '[red]killed[/red]'}", highlight=False)

    def show(self, shown: Iterable[Table | str]) -> None:
        """Show tables and lines."""
        for each in shown:
            self.out.print(each, soft_wrap=isinstance(each, str), highlight=False)

    def check(self, found: Check) -> None:
        """Show what was found on each host."""
        from benchmark.testbed.expiry import when

        table = Table()
        for name in ("host", "clock", "free memory", "free disk", "left over", "fit"):
            table.add_column(name, justify="left" if name in ("host", "fit") else "right")
        for name, fact in found.facts.items():
            clock = found.clocks[name]
            problem = found.problems.get(name)
            table.add_row(
                name,
                f"{clock.offset_s * 1000:+.2f} ± {clock.error_s * 1000:.2f} ms",
                f"{fact.memory_free_mb} MiB",
                f"{fact.disk_free_mb} MiB",
                str(fact.stale_processes),
                f"[red]{escape(problem)}[/red]" if problem else "[green]yes[/green]",
            )
        self.out.print(table)
        if found.ends:
            self.out.print(f"hosts terminate automatically {when(min(found.ends.values()), datetime.now(UTC))}")


def _load(plan: Plan) -> str:
    if plan.scheduled_tps == plan.load:
        return str(plan.load)
    return f"{plan.load} ({plan.scheduled_tps} scheduled: the load is split into whole steps)"


def _row(summary: Summary) -> list[str]:
    latency = summary.latency_s
    colour = {"ok": "green"}.get(summary.status, "red")
    state = "[yellow]saturated[/yellow]" if summary.saturated else f"[{colour}]{summary.status}[/{colour}]"
    return [
        f"{summary.requested_tps:g}",
        _number(summary.completed_tps),
        *(
            [_in_ms(latency.mean), *(_quantile(each) for each in (latency.p50, latency.p90, latency.p99))]
            if latency
            else ["-"] * 4
        ),
        str(sum(summary.errors.values())),
        state,
    ]


def _line(summary: Summary) -> str:
    requested, completed, *latencies, errors, state = (cell.replace("\n", " ") for cell in _row(summary))
    names = ("mean", "p50", "p90", "p99")
    shown = ", ".join(f"{name} {value}" for name, value in zip(names, latencies, strict=True))
    return f"{state}: {completed} of {requested} tx/s, {errors} errors; ms: {shown}"


def _quantile(quantile: Quantile) -> str:
    upper = "∞" if quantile.upper is None else _in_ms(quantile.upper)
    return f"{_in_ms(quantile.estimate)}\n({_in_ms(quantile.lower)}-{upper})"


def _in_ms(seconds: float) -> str:
    return f"{seconds * 1000:.4g}"
