"""Read results as pandas data frames, for notebooks: `from benchmark import api`.

A run or sweep is named by its id, a unique prefix of it, its folder, or `latest`. Durations are in seconds, rates in
tx/s, times in UTC. Only the functions that return data frames need pandas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal

from benchmark.compare.comparison import Compared, compare_variants, find_variants
from benchmark.compare.repeats import over_repeats
from benchmark.errors import UsageError
from benchmark.measure.client_logs import ClientLog, log_timeline
from benchmark.measure.log_extremes import slowest
from benchmark.measure.measurement import measure
from benchmark.measure.run_metrics import Latency
from benchmark.measure.scrapes import RunSamples
from benchmark.measure.timeline import Timeline, timelines
from benchmark.measure.window_stats import WindowStats
from benchmark.metrics.latency_log import INTERVAL_MS
from benchmark.metrics.names import MetricNames
from benchmark.metrics.sample_files import read_samples
from benchmark.metrics.samples import Series
from benchmark.results.catalogue import Selection, catalogue
from benchmark.results.export import COLUMNS, table_row
from benchmark.results.find import find_run, find_sweep
from benchmark.results.latency_logs import stored_logs
from benchmark.results.manifest import Manifest, read_manifest
from benchmark.results.run_folder import SAMPLES, find_runs, read_summary, without_result
from benchmark.results.summary import Summary, Window

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

RESULTS = Path("results")


@dataclass(frozen=True)
class Run:
    """One run: its summary and manifest, and data frames of its samples and metrics."""

    path: Path
    summary: Summary
    manifest: Manifest

    @cached_property
    def series(self) -> list[Series]:
        """The raw samples, as scraped."""
        return read_samples(self.path / SAMPLES)

    @property
    def metrics(self) -> MetricNames:
        """The names under which the system exports latency and throughput."""
        return self.manifest.metrics

    def samples(self, metric: str | None = None) -> pd.DataFrame:
        """Return all samples, or those of one metric: time, metric, value and a column for each label."""
        pd = _pandas()
        chosen = [one for one in self.series if metric is None or one.metric == metric]
        frames = [
            pd.DataFrame({"time": _times(one.times), "metric": one.metric, "value": one.values} | one.labels)
            for one in chosen
        ]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()

    @cached_property
    def logs(self) -> list[ClientLog]:
        """The latency logs of all clients; empty if the results come from samples."""
        return stored_logs(self.path, self.summary, self.manifest)

    def timeline(self, by: Literal["region", "client"] | None = None, *, step_s: float | None = None) -> pd.DataFrame:
        """Return metrics over time within the window: a row per interval, of all clients or of each region or client.

        Intervals are about `step_s` s long: at least 0.1 s with latency logs, otherwise a scrape interval, which is the
        default. Columns: start, end, `since_s` (seconds since the start of the window), rates, latencies; with latency
        logs also `max_s`, of the slowest request.
        """
        window = self.summary.window
        if window is None:
            raise UsageError(f"run {self.summary.run_id} was not measured: {'; '.join(self.summary.reasons)}")
        scraped = self.manifest.parameters.scrape_interval_s
        least, step = INTERVAL_MS / 1000 if self.logs else scraped, step_s or scraped
        if step < least:
            raise UsageError(f"step_s: found {step_s:g}, expected at least {least:g}: the data is no finer")
        if self.logs:
            return _pandas().DataFrame(self._logged_rows(by, window, step))
        samples = RunSamples(self.series, self.metrics)
        if by:
            groups = timelines(samples, window.start, window.end, by=by, step=step, names=self.metrics)
            rows = [{by: name} | row for name, timeline in groups.items() for row in _rows(timeline, window.start)]
        else:
            measured = measure(samples, window.start, window.end, names=self.metrics, scrape_interval=step)
            rows = _rows(measured.timeline, window.start) if measured.timeline else []
        return _pandas().DataFrame(rows)

    def _logged_rows(
        self, by: Literal["region", "client"] | None, window: Window, step: float
    ) -> list[dict[str, object]]:
        groups: dict[str, list[ClientLog]] = {}
        for log in self.logs:
            groups.setdefault({"region": log.region, "client": log.name, None: ""}[by], []).append(log)
        rows = []
        for name, group in groups.items():
            made = log_timeline(group, window.start, window.end, step)
            if made:
                made = replace(made, quantiles_s=made.quantiles_s | {"max_s": slowest(group, made.edges)})
                rows += [({by: name} if by else {}) | row for row in _rows(made, window.start)]
        return rows

    def regions(self) -> pd.DataFrame:
        """Return the metrics of each region, of its clients together."""
        return _groups("region", self.summary.by_region)

    def clients(self) -> pd.DataFrame:
        """Return the metrics of each client."""
        return _groups("client", self.summary.by_client)

    def workloads(self) -> pd.DataFrame:
        """Return the metrics of each workload; they are known from latency logs only."""
        return _groups("workload", self.summary.by_workload)

    def phases(self) -> pd.DataFrame:
        """Return the metrics of each phase, with its start and end in seconds since the window began."""
        start = self.summary.window.start if self.summary.window else 0.0
        rows: list[dict[str, object]] = []
        for phase in self.summary.phases:
            times = {"phase": phase.label, "start_s": phase.start - start, "end_s": phase.end - start}
            cells = _stats_cells(phase.stats) if phase.stats else {}
            rows.append(times | cells)
        return _pandas().DataFrame(rows)

    def breakdown(self) -> pd.DataFrame:
        """Return the parts of the latency that nodes measured: a row for each part, label value and region.

        `region` is null in the rows of all nodes together; parts about which nothing is known have no row.
        """
        rows: list[dict[str, object]] = [
            {
                "part": part.name,
                "value": value,
                "region": region,
                "count": stats.count,
                **_latency_cells(stats.latency_s),
            }
            for part in self.summary.breakdown
            for region, group in [(None, part.values), *part.by_region.items()]
            for value, stats in group.items()
        ]
        return _pandas().DataFrame(rows)

    def faults(self) -> pd.DataFrame:
        """Return what each fault did, with the metrics before, during and after it in columns named so."""
        parts = ("before", "during", "after")
        rows = []
        for fault in self.summary.faults:
            row: dict[str, object] = fault.model_dump(exclude={*parts, "unknown", "regions", "catch_up_s"})
            row["catch_up_s"] = fault.slowest_catch_up_s
            for part in parts:
                stats: WindowStats | None = getattr(fault, part)
                cells = {"completed_tps": stats.completed_tps, "errors": stats.failed} if stats else {}
                row |= {f"{part}_{name}": value for name, value in cells.items()}
                row |= _latency_cells(stats.latency_s if stats else None, f"{part}_")
            rows.append(row)
        return _pandas().DataFrame(rows)

    def fault_regions(self) -> pd.DataFrame:
        """Return what the clients of each region saw of each fault: a row for each fault and region."""
        rows = [
            {"kind": fault.kind, "target": fault.target, "injected": fault.injected, "region": region}
            | seen.model_dump(exclude={"unknown"})
            for fault in self.summary.faults
            for region, seen in fault.regions.items()
        ]
        return _pandas().DataFrame(rows)

    def hosts(self) -> pd.DataFrame:
        """Return the resource usage of each host."""
        return _pandas().DataFrame([{"host": name} | used.model_dump() for name, used in self.summary.hosts.items()])

    def rtt(self) -> pd.DataFrame:
        """Return the measured round-trip times between regions, in ms: a row and a column for each region."""
        pd, pairs = _pandas(), self.manifest.round_trips
        return pd.Series(pairs, dtype=float).unstack() if pairs else pd.DataFrame()


def run(name: str | Path, results_dir: Path | str = RESULTS) -> Run:
    """Load a run; UsageError if it does not exist or has no result."""
    path = find_run(Path(results_dir), str(name)).resolve()
    summary = read_summary(path)
    if summary is None:
        raise UsageError(f"run {path.name} has no result: {without_result(path)}")
    return Run(path, summary, read_manifest(path))


def runs(results_dir: Path | str = RESULTS) -> pd.DataFrame:
    """Return all runs with a result, oldest first: a row each."""
    return _pandas().DataFrame([_row(summary) for _, summary, _ in find_runs(Path(results_dir)) if summary])


def results(results_dir: Path | str = RESULTS, selection: Selection | None = None) -> pd.DataFrame:
    """Return all results or those of a selection, oldest first: the rows that `geobench results export` writes."""
    entries = [each for each in catalogue(Path(results_dir)) if selection is None or selection.matches(each)]
    return _pandas().DataFrame([table_row(entry) for entry in entries], columns=list(COLUMNS))


def sweep(name: str | Path, results_dir: Path | str = RESULTS) -> pd.DataFrame:
    """Return the attempts of a sweep in the order they ran: a row each, with arm, repeat and outcome.

    A repeated attempt has a separate row; `counts` is true for the runs that count.
    """
    folder = find_sweep(Path(results_dir), str(name))
    rows = []
    for planned in folder.journal.planned_runs:
        for attempt in planned.attempts:
            summary = folder.summary(attempt.run_id)
            which = {"arm": planned.arm, "requested_tps": planned.requested_tps, "repeat": planned.repeat}
            outcome = {"outcome": attempt.outcome, "failure": attempt.failure, "counts": attempt.outcome == "ok"}
            rows.append((_row(summary) if summary else {"run_id": attempt.run_id}) | which | outcome)
    return _pandas().DataFrame(rows)


def repeats(name: str | Path, results_dir: Path | str = RESULTS) -> pd.DataFrame:
    """Return the medians of a sweep with their confidence intervals: a row for each arm, load and metric."""
    folder = find_sweep(Path(results_dir), str(name))
    rows = [
        {"arm": arm, "requested_tps": load.requested_tps, "metric": metric, "runs": len(each.values)}
        | each.median.model_dump(exclude={"method"})
        | {"outliers": len(each.outliers)}
        for arm in folder.journal.arms
        for load in over_repeats(folder.summaries(arm))
        for metric, each in load.metrics.items()
    ]
    return _pandas().DataFrame(rows)


def compare(a: str, b: str | None = None, results_dir: Path | str = RESULTS) -> Compared:
    """Compare two runs or sweeps, or the two sides of a comparison that was run with `--a` and `--b`."""
    names = [a] if b is None else [a, b]
    return compare_variants(*find_variants(Path(results_dir), names), interleaved=b is None)


def _row(summary: Summary) -> dict[str, object]:
    kept = ("run_id", "protocol", "commit", "nodes", "clients", "requested_tps", "leader", "status", "completed_tps")
    row = {name: getattr(summary, name) for name in (*kept, "sent_tps", "saturated", "closed_loop")}
    start = _times([summary.window.start])[0] if summary.window else None
    latencies = _latency_cells(summary.latency_s) | _latency_cells(summary.successful_latency_s, "successful_")
    return row | latencies | {"errors": summary.failed, "start": start}


def _groups(column: str, groups: Mapping[str, WindowStats]) -> pd.DataFrame:
    return _pandas().DataFrame([{column: name} | _stats_cells(each) for name, each in groups.items()])


def _stats_cells(stats: WindowStats) -> dict[str, object]:
    return (
        stats.model_dump(exclude={"unknown", "latency_s", "successful_latency_s", "errors"})
        | _latency_cells(stats.latency_s)
        | _latency_cells(stats.successful_latency_s, "successful_")
        | {"errors": stats.failed}
    )


def _latency_cells(latency: Latency | None, prefix: str = "") -> dict[str, float | None]:
    if latency is None:
        return {}
    found: dict[str, float | None] = {"mean_s": latency.mean, "stdev_s": latency.stdev}
    for name, quantile in latency.quantiles.items():
        found |= {f"{name}_s": quantile.estimate, f"{name}_lower_s": quantile.lower, f"{name}_upper_s": quantile.upper}
    return {f"{prefix}{name}": value for name, value in found.items()}


def _rows(timeline: Timeline, start: float) -> list[dict[str, object]]:
    begins, ends = _times(timeline.edges[:-1]), _times(timeline.edges[1:])
    return [
        {"start": begins[index], "end": ends[index], "since_s": float(timeline.edges[index] - start)}
        | {name: float(values[index]) for name, values in timeline.columns().items()}
        for index in range(len(begins))
    ]


def _times(seconds: Sequence[float] | npt.NDArray[np.float64]) -> pd.DatetimeIndex:
    return _pandas().to_datetime(seconds, unit="s", utc=True)


def _pandas() -> ModuleType:
    """Import pandas; UsageError if it is not installed."""
    try:
        import pandas
    except ImportError:
        raise UsageError("data frames need pandas: `pip install pandas`") from None
    found: ModuleType = pandas
    return found
