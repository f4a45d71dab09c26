"""Results as pandas data frames, for notebooks: `from benchmark import api`.

pandas is imported by the first function that needs it; it is not needed for anything else here. Names of runs and
sweeps are folders, ids, beginnings of ids, or `latest`. Durations are in seconds, rates in tx/s, times in UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmark.compare.comparison import Compared, compare_sides, find_sides
from benchmark.compare.repeats import over_repeats
from benchmark.errors import UsageError
from benchmark.measure.run_metrics import Latency
from benchmark.measure.timeline import Timeline, timelines
from benchmark.measure.window_stats import Figures
from benchmark.metrics.names import MetricNames
from benchmark.metrics.samples import Series, read_samples
from benchmark.results.manifest import Manifest, read_manifest
from benchmark.results.run_folder import SAMPLES, find_run, find_runs, read_summary
from benchmark.results.summary import Summary
from benchmark.results.sweep import SweepFolder

if TYPE_CHECKING:
    import pandas as pd

RESULTS = Path("results")


@dataclass(frozen=True)
class Run:
    """One run: its summary and manifest as they lie in its folder, and frames made of its samples."""

    path: Path
    summary: Summary
    manifest: Manifest

    @cached_property
    def series(self) -> list[Series]:
        """The raw samples, as scraped."""
        return read_samples(self.path / SAMPLES)

    @property
    def metrics(self) -> MetricNames:
        """Which of its metrics mean latency and throughput."""
        return self.manifest.metrics

    def samples(self, metric: str | None = None) -> pd.DataFrame:
        """Return every sample, or those of one metric: time, metric, value and a column for each label."""
        chosen = [one for one in self.series if metric is None or one.metric == metric]
        frames = [
            _pandas().DataFrame({"time": _times(one.times), "metric": one.metric, "value": one.values} | one.labels)
            for one in chosen
        ]
        return _pandas().concat(frames, ignore_index=True) if frames else _pandas().DataFrame()

    def timeline(self, by: Literal["region", "client"] | None = None) -> pd.DataFrame:
        """Return figures over time within the window: a row per interval, of all clients or of each region or client.

        Columns: start, end, seconds since the window's start, throughput, submitted, errors, latencies.
        """
        window = self.summary.window
        if window is None:
            raise UsageError(f"run {self.summary.run_id} was not measured: {'; '.join(self.summary.reasons)}")
        step = self.manifest.parameters.scrape_interval_s
        if by:
            made = timelines(self.series, window.start, window.end, by=by, step=step, metrics=self.metrics)
            rows = [{by: name} | row for name, timeline in made.items() for row in _rows(timeline, window.start)]
        else:
            rows = _whole(self.series, window.start, window.end, step, self.metrics)
        return _pandas().DataFrame(rows)

    def regions(self) -> pd.DataFrame:
        """Return the figures of each region of clients."""
        return _figures("region", self.summary.by_region)

    def clients(self) -> pd.DataFrame:
        """Return the figures of each client."""
        return _figures("client", self.summary.by_client)

    def hosts(self) -> pd.DataFrame:
        """Return what was used of each host."""
        return _pandas().DataFrame([{"host": name} | used.model_dump() for name, used in self.summary.hosts.items()])

    def rtt(self) -> pd.DataFrame:
        """Return the measured round trips between regions, in ms: a row and a column for each region."""
        pairs = self.manifest.round_trips
        return _pandas().Series(pairs, dtype=float).unstack() if pairs else _pandas().DataFrame()


def run(name: str | Path, results_dir: Path | str = RESULTS) -> Run:
    """Load one run; UsageError if there is none, or it was killed before it had a result."""
    path = find_run(Path(results_dir), str(name)).resolve()
    summary = read_summary(path)
    if summary is None:
        raise UsageError(f"run {path.name} has no result: it was killed or still goes on")
    return Run(path, summary, read_manifest(path))


def runs(results_dir: Path | str = RESULTS) -> pd.DataFrame:
    """Return all runs that have a result, oldest first: a row each."""
    return _frame(summary for _, summary in find_runs(Path(results_dir)) if summary)


def sweep(name: str | Path, results_dir: Path | str = RESULTS) -> pd.DataFrame:
    """Return the runs of a sweep in the order they ran: a row each, with arm, repeat and what came of it.

    Tries that were repeated have rows of their own; `counts` is true for the runs that count.
    """
    folder = SweepFolder.find(Path(results_dir), str(name))
    rows = []
    for slot in folder.journal.slots:
        for attempt in slot.attempts:
            summary = folder.summary(attempt.run_id)
            asked = {"arm": slot.arm, "requested_tps": slot.load, "repeat": slot.repeat, "outcome": attempt.outcome}
            asked |= {"failure": attempt.failure, "counts": attempt.outcome == "ok"}
            rows.append((_row(summary) if summary else {"run_id": attempt.run_id}) | asked)
    return _pandas().DataFrame(rows)


def repeats(name: str | Path, results_dir: Path | str = RESULTS) -> pd.DataFrame:
    """Return the medians of a sweep with their intervals: a row for each arm, load and figure."""
    folder: SweepFolder = SweepFolder.find(Path(results_dir), str(name))
    rows = [
        {"arm": arm, "requested_tps": load.requested_tps, "figure": figure, "runs": len(each.values)}
        | each.median.model_dump(exclude={"method"})
        | {"outliers": len(each.outliers)}
        for arm in folder.journal.arms
        for load in over_repeats(folder.summaries(arm))
        for figure, each in load.figures.items()
    ]
    return _pandas().DataFrame(rows)


def compare(a: str, b: str | None = None, results_dir: Path | str = RESULTS) -> Compared:
    """Compare two runs or sweeps, or the two sides of one comparison that was run in turn."""
    names = [a] if b is None else [a, b]
    return compare_sides(*find_sides(Path(results_dir), names), interleaved=b is None)


def _frame(summaries: Iterable[Summary]) -> pd.DataFrame:
    return _pandas().DataFrame([_row(summary) for summary in summaries])


def _row(summary: Summary) -> dict[str, Any]:
    """Return what a table of runs shows of one."""
    kept = ("run_id", "protocol", "commit", "nodes", "clients", "requested_tps", "leader", "status", "completed_tps")
    row = {name: getattr(summary, name) for name in (*kept, "sent_tps", "saturated")}
    start = summary.window.start if summary.window else None
    latency = _latency(summary.latency_s)
    return row | latency | {"errors": sum(summary.errors.values()), "start": _times([start])[0] if start else None}


def _latency(latency: Latency | None) -> dict[str, float | None]:
    if latency is None:
        return {}
    found: dict[str, float | None] = {"mean_s": latency.mean, "stdev_s": latency.stdev}
    for name, quantile in latency.quantiles.items():
        found |= {f"{name}_s": quantile.estimate, f"{name}_lower_s": quantile.lower, f"{name}_upper_s": quantile.upper}
    return found


def _figures(column: str, figures: Mapping[str, Figures]) -> pd.DataFrame:
    return _pandas().DataFrame(
        [
            {column: name}
            | each.model_dump(exclude={"latency_s", "errors"})
            | _latency(each.latency_s)
            | {"errors": sum(each.errors.values())}
            for name, each in figures.items()
        ]
    )


def _whole(series: list[Series], start: float, end: float, step: float, metrics: MetricNames) -> list[dict[str, Any]]:
    from benchmark.measure.measurement import measure

    timeline = measure(series, start, end, metrics=metrics, scrape_interval=step).timeline
    return _rows(timeline, start) if timeline else []


def _rows(timeline: Timeline, start: float) -> list[dict[str, Any]]:
    begins, ends = _times(timeline.edges[:-1]), _times(timeline.edges[1:])
    return [
        {"start": begins[index], "end": ends[index], "since_s": float(timeline.edges[index] - start)}
        | {name: float(values[index]) for name, values in timeline.columns().items()}
        for index in range(len(begins))
    ]


def _times(seconds: Any) -> Any:
    return _pandas().to_datetime(seconds, unit="s", utc=True)


def _pandas() -> Any:
    """Return pandas; UsageError that says how it is had."""
    try:
        import pandas
    except ImportError:
        raise UsageError("data frames need pandas: `pip install pandas`") from None
    return pandas
