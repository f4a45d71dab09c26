"""Collect the results of a run: samples, logs, summary and manifest; after a failure, those that exist."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
import tempfile
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal

from benchmark.errors import (
    HostError,
    InfrastructureError,
    Interrupted,
    StorageError,
    SystemFailure,
    TestbedError,
    failure_kind,
)
from benchmark.measure.client_logs import ClientLog, on_grid
from benchmark.measure.phases import phase_windows
from benchmark.measure.run_metrics import METRICS
from benchmark.measure.scrapes import RunSamples
from benchmark.measure.warm_up import WarmUp, find_window
from benchmark.metrics.sample_files import write_samples
from benchmark.metrics.samples import Series
from benchmark.orchestrator import latency_logs, network
from benchmark.orchestrator.context import RunContext, RunState
from benchmark.orchestrator.evaluate import RunData, evaluate, fetch
from benchmark.orchestrator.logs import collect_command, collected, names_by_host, parse_report, script
from benchmark.orchestrator.manifest import make_manifest, with_outcome
from benchmark.orchestrator.snapshot import save_snapshot
from benchmark.orchestrator.verify import progress, verify
from benchmark.remote.deadlines import ANSWER_S
from benchmark.results.events import Step, SummaryWritten, WarningIssued
from benchmark.results.layout import SUMMARY
from benchmark.results.log_findings import LIMIT, LogReport
from benchmark.results.manifest import RunTimes
from benchmark.results.run_folder import LATENCIES, LOGS, MANIFEST, SAMPLES, RunFolder
from benchmark.results.summary import Summary, not_measured

_LOG_DEADLINE_S = 300.0
_LOG_TAIL = 20
_LOG_READ = 2000
# Readiness checks fill the logs of servers: of lines that differ only in their numbers, the last one is shown.
_LAST_OF_EACH_KIND = (
    '{ line[NR] = $0; gsub(/[0-9]+/, ""); kind[NR] = $0; last[$0] = NR } '
    "END { for (i = 1; i <= NR; i++) if (last[kind[i]] == i) print line[i] }"
)
_UNSAMPLED = "the resource usage of hosts, and samples that confirm the latency logs, are missing"
_LEAST_INTERVALS = 2
"""Scrape intervals that an interrupted window must have to be measured."""
_FULL_KB = 1024
"""A disk with less free space than this is full."""
_NO_SPACE = "no space left on device"
"""The system's message for ENOSPC, which programs in Go write in lower case."""


def collect(run: RunContext, state: RunState) -> Summary:
    """Download the samples and logs of a complete run, measure it, and write its summary and manifest."""
    assert state.supervisor is not None
    with run.events.phase("collect"):
        after = network.begin(run.testbed, run.deployment.plan)
        latencies = latency_logs.read(run, state, latency_logs.download(run))
        series, notes = _samples(run, state, required=not latencies)
        samples = RunSamples(series, run.request.protocol.metrics)
        state.warm_up = _cut_warm_up(run, state, samples, latencies)
        with contextlib.suppress(StorageError):  # it is reported once there is a summary
            _store_samples(run, samples.series)
        logs = _collect_logs(run)
        if run.request.snapshot and (prometheus := run.prepared.prometheus):
            try:
                save_snapshot(run.testbed.fleet, run.testbed.monitoring.name, prometheus.url, run.folder.path)
            except (InfrastructureError, OSError) as error:  # the run is complete without it
                run.events.emit(WarningIssued(str(error)))
        state.network = network.RunNetwork(
            run.testbed.inventory.round_trips, network.result(state.round_trips), network.result(after)
        )
        verification = verify(run)  # it also stores the history that shows progress
        data = dataclasses.replace(
            _data(run, state, samples, latencies, logs, notes),
            phases=phase_windows(
                [(phase.name, phase.duration.total_seconds()) for phase in run.request.phases], _times(state).start
            ),
            verification=verification,
            agreement=state.agreement,
            progress=progress(run, state, samples, latencies),
        )
        summary = evaluate(run.request.protocol, run.deployment.plan, run.identity, data)
    try:
        _store(run, state, samples.series, summary)
    except StorageError as error:
        _store_elsewhere(run, state, samples.series, summary, error)
    run.events.emit(
        SummaryWritten(
            summary.run_id,
            summary.status,
            str(run.folder.path),
            timings(run, state),
            requested_tps=summary.requested_tps,
            completed_tps=summary.completed_tps,
            saturated=summary.saturated,
            latencies_s={
                metric.name: value
                for metric in METRICS
                if metric.unit == "s" and (value := metric.of(summary)) is not None
            },
            unbounded=tuple(
                f"{name}_s"
                for name, quantile in (summary.latency_s.quantiles.items() if summary.latency_s else ())
                if quantile.upper is None
            ),
        )
    )
    return summary


def _data(
    run: RunContext,
    state: RunState,
    samples: RunSamples,
    latencies: Sequence[ClientLog],
    logs: LogReport,
    notes: Sequence[str],
) -> RunData:
    """Return what is evaluated of any run that was measured, also of one that ended early."""
    assert state.supervisor is not None
    times, installed = _times(state), run.prepared.installed
    return RunData(
        samples=samples,
        start=times.start,
        end=times.end,
        scrape_interval=run.testbed.settings.scrape_interval.total_seconds(),
        clocks=state.supervisor.clocks | state.changed_clocks,
        facts=run.prepared.facts,
        logs=logs,
        warm_up=state.warm_up,
        warnings=[*(installed.warnings if installed else ()), *state.log_notes, *notes],
        hung=state.hung,
        network=state.network,
        began=min((each.started for each in state.supervisor.states.values() if each.started), default=None),
        latencies=latencies,
        faults=state.faults,
        criteria=run.request.criteria,
    )


def _store(run: RunContext, state: RunState, series: Sequence[Series], summary: Summary) -> None:
    if not (run.folder.path / SAMPLES).exists():
        _store_samples(run, series)
    write_manifest(run, state)
    run.folder.write(SUMMARY, summary.to_json())


def _store_samples(run: RunContext, series: Sequence[Series]) -> None:
    with run.folder.storing(SAMPLES) as path:
        write_samples(path, series)


def _store_elsewhere(
    run: RunContext, state: RunState, series: Sequence[Series], summary: Summary, error: StorageError
) -> None:
    """Keep what was measured in a temporary folder if the disk of the results is full or gone."""
    try:
        spare = RunFolder(Path(tempfile.mkdtemp(prefix=f"{run.identity.run_id}-")))
        _store(dataclasses.replace(run, folder=spare), state, series, summary)
    except (StorageError, OSError):
        run.events.emit(WarningIssued(f"{error}; of this run nothing is kept but what is printed here"))
    else:
        run.events.emit(WarningIssued(f"{error}; samples, manifest and summary are in {spare.path}"))


def collect_partial(run: RunContext, state: RunState, error: Exception) -> None:
    """Write the summary and manifest of a run that was not measured, and the samples and logs that exist.

    The summary comes first: what follows may fail or be interrupted.
    """
    # The load ended when the processes were stopped.
    ended = time.time() - run.events.phases.get("stop", 0.0)
    status: Literal["failed", "interrupted"] = "interrupted" if isinstance(error, Interrupted) else "failed"
    text = str(error) if isinstance(error, TestbedError) else repr(error)
    summary = not_measured(run.identity, status, text, failure_kind(error) if status == "failed" else None)
    try:
        run.folder.write(SUMMARY, summary.to_json())
        write_manifest(run, state)
    except StorageError as failure:
        run.events.emit(WarningIssued(str(failure)))
    if state.supervisor is None:
        return
    run.events.emit(Step("collecting partial results"))
    lost = error.hosts if isinstance(error, HostError) else {}
    series: list[Series] = []
    monitoring = run.testbed.inventory.monitoring
    if monitoring is None:
        pass
    elif monitoring.name in lost or state.supervisor.lost:
        run.events.emit(WarningIssued("the samples are missing: the monitoring host is lost"))
    elif state.times and not (run.folder.path / SAMPLES).exists():
        try:
            series = _fetch(run, min(time.time(), state.times.end), state)
            _store_samples(run, series)
        except (InfrastructureError, StorageError) as failure:
            run.events.emit(WarningIssued(f"the samples are missing: {failure}"))
    downloaded: tuple[dict[str, Path], dict[str, str]] = ({}, {})
    if state.times and not (run.folder.path / LATENCIES).exists():
        downloaded = latency_logs.download(run, lost)
        for reason in downloaded[1].values():
            run.events.emit(WarningIssued(f"no latency log: {reason}"))
    verification = verify(run, lost) if state.times else None
    violations = [verification.violation] if verification and verification.violation else []
    for text in violations:
        run.events.emit(WarningIssued(text))
    logs = _collect_logs(run, lost=lost)
    if status == "interrupted":
        summary = _measure_until(run, state, ended, series, downloaded, logs) or summary
    found = {
        "reasons": [*summary.reasons, *violations],
        "warnings": list(dict.fromkeys([*summary.warnings, *logs.warnings()])),
        "log_findings": logs.findings,
        "verification": verification,
    }
    with contextlib.suppress(StorageError):  # reported above
        run.folder.write(SUMMARY, summary.model_copy(update=found).to_json())


def _measure_until(
    run: RunContext,
    state: RunState,
    ended: float,
    series: Sequence[Series],
    downloaded: tuple[dict[str, Path], dict[str, str]],
    logs: LogReport,
) -> Summary | None:
    """Return the summary of a run whose load ended early; None if too little was measured.

    The manifest gets the window that was measured.
    """
    interval = run.testbed.settings.scrape_interval.total_seconds()
    if state.times is None or min(ended, state.times.end) - state.times.start < _LEAST_INTERVALS * interval:
        return None
    planned, start = state.times.end - state.times.start, state.times.start
    state.times = RunTimes(load=state.times.load, start=start, end=min(ended, state.times.end))
    try:
        latencies = latency_logs.read(run, state, downloaded)
        samples = RunSamples(series, run.request.protocol.metrics)
        if latencies:
            start_ms, end_ms = on_grid(start, state.times.end)
            state.times = RunTimes(load=state.times.load, start=start_ms / 1000, end=end_ms / 1000)
        data = _data(run, state, samples, latencies, logs, [])
        found = evaluate(run.request.protocol, run.deployment.plan, run.identity, data)
        write_manifest(run, state)
    except Exception as error:  # the run is interrupted anyway, and its samples are kept
        run.events.emit(WarningIssued(f"what was measured until the interrupt could not be evaluated: {error}"))
        return None
    measured = state.times.end - state.times.start
    reason = f"interrupted {measured:.0f} s into the measured window of {planned:.0f} s, whose beginning is measured"
    return found.model_copy(update={"status": "interrupted", "reasons": [reason, *found.reasons]})


def write_manifest(run: RunContext, state: RunState) -> None:
    """Write the manifest with what is known so far."""
    document = with_outcome(
        make_manifest(run.request, run.testbed.inventory, run.deployment, run.prepared, run.identity),
        state.times,
        state.warm_up,
        state.supervisor,
        state.network,
        run.deployment.nodes,
        timings(run, state) if state.supervisor else {},
        state.faults,
    )
    run.folder.write(MANIFEST, document.to_json())


def timings(run: RunContext, state: RunState) -> dict[str, float]:
    """Return the seconds of each phase, of the system's start, and of the overhead, which is all but that and load."""
    states = [state.supervisor.states[process.name] for process in run.deployment.nodes] if state.supervisor else []
    started = [each.started for each in states if each.started is not None]
    ready = [each.ready for each in states if each.ready is not None]
    system = max(ready) - min(started) if ready and started else 0.0
    phases = run.events.phases
    spent = sum(phases.values()) - phases.get("warm_up", 0.0) - phases.get("measure", 0.0)
    return {**phases, "system_start": system, "overhead": spent - system}


def with_cause(run: RunContext, error: SystemFailure) -> TestbedError:
    """Return an error that names the hosts whose disks are full; else `error` with the process' last log lines."""
    directory = shlex.quote(run.directory)
    # Of a local host, / is on this machine's disk, which can be full before that of the host is.
    command = f"df --output=avail,itotal,iavail -k {directory} / | tail -n +2"
    free = run.testbed.fleet.run(command, hosts=run.deployment.by_host(), deadline=ANSWER_S).ok
    full = [
        host for host, answer in free.items() if any(_is_full(*each.split()[:3]) for each in answer.stdout.splitlines())
    ]
    process = next((process for process in run.deployment.processes if process.name == error.process), None)
    tail = ""
    if process:
        command = last_lines(f"{directory}/{LOGS}/{process.name}.log")
        answers = run.testbed.fleet.run(command, hosts=[process.host.name], deadline=ANSWER_S).ok
        tail = "".join(answer.stdout for answer in answers.values())
        if _NO_SPACE in tail.lower() and process.host.name not in full:
            full.append(process.host.name)  # what it wanted to write was more than there is
    if full:
        return InfrastructureError(
            f"the disk of {', '.join(full)} is full; free some space there, or choose hosts with larger disks "
            f"(`disk: {{size: …}}` for local hosts). It led to: {error}"
        )
    return SystemFailure(str(error), process=process.name, log_tail=tail) if process else error


def last_lines(path: str) -> str:
    """Return the command that prints the last lines of a log; `path` is quoted where a shell needs that."""
    return f"tail -n {_LOG_READ} {path} | awk {shlex.quote(_LAST_OF_EACH_KIND)} | tail -n {_LOG_TAIL}"


def _is_full(kilobytes: str = "", inodes: str = "", free_inodes: str = "") -> bool:
    # File systems without a fixed number of inodes have `-` or 0 of them.
    return (kilobytes.isdecimal() and int(kilobytes) < _FULL_KB) or (inodes not in ("-", "0") and free_inodes == "0")


def _times(state: RunState) -> RunTimes:
    assert state.times is not None
    return state.times


def _fetch(run: RunContext, end: float, state: RunState) -> list[Series]:
    hosts, processes = run.testbed.inventory.hosts, run.deployment.processes
    if run.prepared.prometheus is None:
        return []
    return fetch(run.prepared.prometheus, run.request.protocol, hosts, processes, _times(state).load, end)


def _samples(run: RunContext, state: RunState, *, required: bool) -> tuple[list[Series], list[str]]:
    """Return what Prometheus sampled, and why there is nothing, unless it is `required`: then that is an error."""
    if run.prepared.prometheus is None:
        return [], [f"there is no monitoring host: {_UNSAMPLED}"]
    if state.supervisor and state.supervisor.lost:
        return [], [f"the monitoring host was lost: {_UNSAMPLED}"]
    try:
        return _fetch(run, _times(state).end, state), []
    except InfrastructureError as error:
        if required:
            raise
        return [], [f"{_UNSAMPLED}: {error}"]


def _cut_warm_up(run: RunContext, state: RunState, samples: RunSamples, latencies: Sequence[ClientLog]) -> WarmUp:
    """Decide on the measured window: where no warm-up was requested, it depends on what was measured."""
    times = _times(state)
    if latencies:
        start_ms, end_ms = on_grid(times.start, times.end)
        times = state.times = RunTimes(load=times.load, start=start_ms / 1000, end=end_ms / 1000)
    if not run.request.find_warm_up:
        return WarmUp(seconds=times.start - times.load, method="as requested")
    if run.request.faults or run.request.phases:
        # Faults change what is measured, as a warm-up does, and times of faults and phases count from the start.
        return WarmUp(seconds=times.start - times.load, method="not detected in runs with faults or phases")
    start, end, found = find_window(
        samples,
        times.load,
        times.start,
        times.end,
        scrape_interval=run.testbed.settings.scrape_interval.total_seconds(),
        names=run.request.protocol.metrics,
        logs=latencies,
    )
    state.times = RunTimes(load=times.load, start=start, end=end)
    return found


def _collect_logs(run: RunContext, lost: Collection[str] = ()) -> LogReport:
    """Have the hosts search and compress their logs, and download them.

    What goes wrong is a warning, except on hosts that are known to be `lost`: it never costs the numbers.
    """
    if not run.testbed.settings.log_processing:
        return LogReport()
    fleet, known = run.testbed.fleet, names_by_host(run.deployment.processes)
    searched = fleet.run(collect_command(run.directory), hosts=known, stdin=script(), deadline=_LOG_DEADLINE_S)
    report = parse_report({host: answer.stdout for host, answer in searched.ok.items()}, known)
    problems = searched.failed | report.problems
    files = collected(report, run.directory)
    limit = max((len(paths) for paths in files.values()), default=0) * 2 * LIMIT
    try:
        with run.folder.storing(LOGS) as folder:
            problems |= fleet.get(files, folder, deadline=_LOG_DEADLINE_S, limit=limit).failed
    except StorageError as error:
        run.events.emit(WarningIssued(f"the logs are missing: {error}"))
    for host, reason in problems.items():
        if host not in lost:
            run.events.emit(WarningIssued(f"the logs of {host} are incomplete: {reason}"))
    return report
