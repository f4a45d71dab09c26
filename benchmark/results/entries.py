"""Read the entries of the catalogue from the results themselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmark.errors import UsageError
from benchmark.measure.run_metrics import Quantile
from benchmark.results.catalogue import Entry, State
from benchmark.results.layout import Kind, kind_of
from benchmark.results.manifest import read_manifest
from benchmark.results.run_folder import is_running, read_summary
from benchmark.results.search import SearchFolder
from benchmark.results.sweep import SweepFolder
from benchmark.results.tags import read_tags


def read_entry(results_dir: Path, name: str) -> Entry:
    """Read the result in the folder `name`, TESTBED/ID; a damaged one has an entry, too."""
    folder = results_dir / name
    kind = kind_of(folder)
    try:
        entry = _run_entry(folder, name) if kind == "run" else _experiment_entry(folder, name, kind)
    except UsageError as error:
        entry = Entry(name, kind, "damaged", str(error))
    return replace(entry, tags=read_tags(folder))


def _run_entry(folder: Path, name: str) -> Entry:
    summary = read_summary(folder)
    try:
        given = read_manifest(folder).name
    except UsageError:
        given = None
    if summary is None:
        return Entry(name, "run", "running" if is_running(folder) else "killed", name=given)
    latency = summary.latency_s
    p50, p90, p99 = (latency.quantiles.get(key) if latency else None for key in ("p50", "p90", "p99"))
    return Entry(
        name,
        "run",
        summary.status,
        "; ".join(summary.reasons),
        given,
        protocol=summary.protocol,
        commit=summary.commit,
        nodes=summary.nodes,
        clients=summary.clients,
        requested_tps=summary.requested_tps,
        completed_tps=summary.completed_tps,
        mean_s=latency.mean if latency else None,
        p50_s=_known(p50),
        p90_s=_known(p90),
        p99_s=_known(p99),
        failed=summary.failed,
        saturated=summary.saturated,
        warnings=len(summary.warnings),
        faults=len(summary.faults),
    )


def _known(quantile: Quantile | None) -> float | None:
    return quantile.estimate if quantile and quantile.upper is not None else None


def _experiment_entry(folder: Path, name: str, kind: Kind) -> Entry:
    if kind == "search":
        search = SearchFolder.read(folder).journal
        runs, done = search.run_ids, search.next_action().requested_tps is None
        given, requests = search.options.get("name"), [search.request]
    else:
        sweep = SweepFolder.read(folder).journal
        runs, done = sweep.run_ids, all(planned.done for planned in sweep.planned_runs)
        given, requests = sweep.options.get("name"), list(sweep.requests.values())
    going_on = not done and any(is_running(folder.parent / run) for run in runs)
    state: State = "complete" if done else "running" if going_on else "incomplete"
    protocols = dict.fromkeys(str(request["protocol"]) for request in requests if "protocol" in request)
    return Entry(
        name,
        kind,
        state,
        name=given if isinstance(given, str) else None,
        protocol=" + ".join(protocols) or None,
        runs=tuple(runs),
    )
