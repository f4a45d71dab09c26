"""The phases of a run, in their order.

They are configure, start_nodes, start_clients, warm_up, monitor, measure, settle, stop and collect.

In every case, the processes are stopped and the available results are written. Nothing here prints.
"""

from __future__ import annotations

import dataclasses
import math
import random
import re
import shlex
import shutil
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial

from benchmark.errors import HostError, InfrastructureError, Interrupted, SystemFailure, TestbedError, UsageError
from benchmark.faults.schedule import make_schedule
from benchmark.faults.targets import Committee
from benchmark.host_layout import MARKS_FILE
from benchmark.measure.live_stats import LiveStats, read_live_stats
from benchmark.metrics.exported import check_exported
from benchmark.metrics.latency_log import INTERVAL_MS
from benchmark.metrics.prometheus import Prometheus
from benchmark.metrics.targets import Identity, Mark, identities, marks
from benchmark.orchestrator import injector as injection
from benchmark.orchestrator import network
from benchmark.orchestrator import supervisor as supervision
from benchmark.orchestrator.agreement import settle
from benchmark.orchestrator.collect import collect, collect_partial, with_cause, write_manifest
from benchmark.orchestrator.context import RunContext, RunState
from benchmark.orchestrator.injector import Injector
from benchmark.orchestrator.latency_logs import has_latency_logs
from benchmark.orchestrator.live import LiveWriter
from benchmark.orchestrator.supervisor import Clock, Supervisor
from benchmark.plan.placement import endpoints
from benchmark.protocols.process import Process
from benchmark.remote.deadlines import ANSWER_S, CHANGE_S, SET_UP_S
from benchmark.results.events import Progress, RunStarted, WarningIssued
from benchmark.results.manifest import RunTimes
from benchmark.results.run_folder import BUILD_LOG, LOGS
from benchmark.results.summary import Summary

_LEAD_S = 0.05
"""Time between the last host's order to start and the start itself, beyond the round trip to the host."""
_CLOCK_DRIFT_S = 0.01
_SCRAPE_DEADLINE_S = 30.0
_EXPORT_DEADLINE_S = 10.0
_EXPORT_SCRAPES = 3
_PROGRESS_S = 2.0
_RETRY_PROGRESS_S = 10.0
"""After a failure, as each one may delay the check of processes."""
_POLL_S = 0.05
_LEADER_S, _LEADER_SCRAPES = 2.0, 3
"""Time for the question who leads, and the scrapes that may fail before the answer is too old."""


def execute(run: RunContext) -> Summary:
    """Go through all phases and return the summary.

    Raises InfrastructureError, SystemFailure or Interrupted; by then the processes are stopped, and the folder holds
    what is known of the run.
    """
    load, where = run.deployment.plan.load, run.position
    run.events.emit(RunStarted(run.identity.run_id, load, str(run.folder.path), where.number, where.runs, run.ends))
    if run.prepared.installed and run.prepared.installed.log:
        with run.folder.storing(BUILD_LOG) as path:
            shutil.copyfile(run.prepared.installed.log, path)
    state = RunState()
    write_manifest(run, state)
    try:
        try:
            supervisor = configure(run, state)
            start_nodes(run, supervisor)
            start_clients(run, supervisor)
            if run.deployment.plan.rate_segments:  # the window must begin when the load's shape does
                monitor(run, state, supervisor)
            warm_up(run, state, supervisor)
            monitor(run, state, supervisor)
            measure(run, state, supervisor)
            settle(run, state, supervisor, lambda: _check(run, supervisor))
        except SystemFailure as error:
            raise with_cause(run, error) from None
        finally:
            stop(run, state)
        return collect(run, state)
    except KeyboardInterrupt:
        collect_partial(run, state, Interrupted("interrupted"))
        raise Interrupted(f"interrupted; partial results are in {run.folder.path}") from None
    except Exception as error:  # also a mistake of this program is a failed run
        collect_partial(run, state, error)
        raise
    finally:
        run.folder.close()


def configure(run: RunContext, state: RunState) -> Supervisor:
    """Upload the files of all processes, prepare them, and open a supervisor on each host."""
    with run.events.phase("configure"):
        state.round_trips = network.begin(run.testbed, run.deployment.plan)
        working, fleet, by_host = run.testbed.settings.working_dir, run.testbed.fleet, run.deployment.by_host()
        files = {
            host: supervision.files(processes, working, run.prepared.binaries(host))
            for host, processes in by_host.items()
        }
        fleet.put(files, deadline=SET_UP_S).raise_for_failures("could not upload the files of the processes:")
        commands = {host: supervision.prepare_command(processes, working) for host, processes in by_host.items()}
        needed = {host: command for host, command in commands.items() if command}
        if needed:
            prepared = fleet.run(needed, deadline=SET_UP_S, check=False)
            for host, answer in prepared.raise_for_failures("could not prepare the processes:").items():
                if answer.exit_code:
                    name, _, log = answer.stdout.partition("\n")
                    process = next((each for each in by_host[host] if each.name == name), None)
                    what = shlex.join(process.prepare) if process else needed[host]
                    raise SystemFailure(
                        f"{name} on {host}: {what} ended with exit code {answer.exit_code}", log_tail=log
                    )
        # The clock of the monitoring host dates the samples.
        monitoring = [run.testbed.monitoring.name] if run.prepared.prometheus else []
        watched = dict.fromkeys(monitoring, supervision.WATCH_COMMAND)
        opened = fleet.open(watched | dict.fromkeys(by_host, supervision.command(working)), deadline=ANSWER_S)
        optional = monitoring if has_latency_logs(run.deployment.clients) else []
        state.supervisor = Supervisor(opened.ok, run.deployment.processes, optional)
        opened.raise_for_failures("could not start the supervisors:")
        state.supervisor.measure_clocks(ANSWER_S)
        if run.request.faults:
            _open_injector(run, state, state.supervisor)
        state.live = LiveWriter(run.testbed, run.deployment, run.folder.path, f"{run.directory}/{LOGS}")
        state.live.open()
        return state.supervisor


def _open_injector(run: RunContext, state: RunState, supervisor: Supervisor) -> None:
    """Open a script that injects faults on the host of each node."""
    request, fleet, working = run.request, run.testbed.fleet, run.testbed.settings.working_dir
    committee = Committee.of(run.deployment, request.protocol, monitored=run.prepared.prometheus is not None)
    schedule = make_schedule(request.faults, committee, request.duration_s, random.SystemRandom().getrandbits(32))
    hosts = list(dict.fromkeys(node.host.name for node in committee.nodes))
    uploaded = fleet.put(dict.fromkeys(hosts, injection.files(working)), deadline=SET_UP_S)
    uploaded.raise_for_failures("could not upload the fault injection:")
    root = any(fault.kind.changes or fault.kind.needs_root for fault in schedule)
    command = injection.command(working, run.identity.run_id, root=root)
    opened = fleet.open(command, hosts=hosts, deadline=ANSWER_S)
    state.injector = Injector(
        opened.ok,
        list(schedule),
        committee,
        supervisor,
        partial(_find_leader, run),
        run.events.emit,
        run.testbed.settings.health_check_timeout.total_seconds(),
    )
    opened.raise_for_failures("could not start the fault injection:")
    state.injector.check()


def _find_leader(run: RunContext) -> str:
    """Return the host of the node that led at the last scrape; InfrastructureError if it is unknown."""
    prometheus, metric = run.prepared.prometheus, run.request.protocol.leader_metric
    if prometheus is None:
        raise InfrastructureError("who leads is unknown: there is no monitoring host")
    answers = prometheus.query(f"timestamp({metric}) and {metric} == 1", timeout=timedelta(seconds=_LEADER_S))
    newest = max(answers, key=lambda answer: answer.value[1], default=None)
    oldest_s = _LEADER_SCRAPES * run.testbed.settings.scrape_interval.total_seconds() + _LEADER_S
    if newest is None or newest.value[1] < newest.value[0] - oldest_s:
        raise InfrastructureError(f"who leads is unknown: no node had {metric} = 1 in the last {oldest_s:g} s")
    return newest.metric.get("host", "")


def start_nodes(run: RunContext, supervisor: Supervisor) -> None:
    """Start all nodes at the same time and wait until they are ready."""
    with run.events.phase("start_nodes"):
        _start(run, supervisor, run.deployment.nodes)


def start_clients(run: RunContext, supervisor: Supervisor) -> None:
    """Start all clients at the same time and wait until they are ready; they do not send load yet."""
    with run.events.phase("start_clients"):
        _start(run, supervisor, _load(run))


def monitor(run: RunContext, state: RunState, supervisor: Supervisor) -> None:
    """Wait until Prometheus has a sample of every node and client, and under load of every metric of this run.

    If it does not answer, a run with latency logs goes on.
    """
    prometheus = run.prepared.prometheus
    if prometheus is None or supervisor.lost:
        return
    with run.events.phase("monitor"):
        try:
            _wait_for_samples(run, state, supervisor, prometheus)
        except InfrastructureError as error:
            survives = has_latency_logs(run.deployment.clients) and not isinstance(error, HostError)
            if not survives or not (problem := prometheus.problem()):
                raise
            run.events.emit(WarningIssued(f"{problem}; the run goes on without samples"))


def _wait_for_samples(run: RunContext, state: RunState, supervisor: Supervisor, prometheus: Prometheus) -> None:
    """Wait as `monitor` does; raises InfrastructureError or UsageError."""
    targets = identities(run.testbed.inventory.hosts, endpoints(run.deployment.processes))
    wanted = {target for target in targets if target[0] != "host"}
    since = max(state.started or 0.0 for state in supervisor.states.values())
    deadline = time.monotonic() + _SCRAPE_DEADLINE_S
    while missing := wanted - prometheus.scraped(since):
        _check(run, supervisor)
        if supervisor.lost:
            return
        if time.monotonic() > deadline:
            raise _missing_samples(sorted(missing), prometheus.scrape_errors())
        time.sleep(_POLL_S)
    if state.times:
        _require_metrics(run, supervisor, prometheus, load=state.times.load)
        for (job, host, _), reason in sorted(prometheus.scrape_errors().items()):
            if job == "host" and reason:
                run.events.emit(WarningIssued(f"{host}: no resource usage, its node exporter failed: {reason}"))


def _missing_samples(missing: Sequence[Identity], errors: Mapping[Identity, str]) -> TestbedError:
    """Return an error that names the targets without samples, with the `errors` of scrapes in the words of Prometheus.

    It is the user's where all of them answer, but not with metrics, which another try does not change.
    """
    lines = [f"Prometheus has no samples after {_SCRAPE_DEADLINE_S:g} s of these {len(missing)} processes:"]
    for job, host, address in missing[:8]:
        unread = f"Prometheus has not read its target file for {address} yet"
        lines.append(f"  {job} on {host}: {errors.get((job, host, address), unread) or 'not scraped yet'}")
    lines += [f"  and {len(missing) - 8} more"] if len(missing) > 8 else []
    answered = all(
        (found := errors.get(each)) and not re.match(r'Get "|.*deadline exceeded', found) for each in missing
    )
    return (UsageError if answered else InfrastructureError)("\n".join(lines))


def _require_metrics(run: RunContext, supervisor: Supervisor, prometheus: Prometheus, *, load: float) -> None:
    """Wait until the processes export the metrics of the protocol; UsageError if they do not.

    Systems may export a metric only once there is something to count, so there is some time from the start of the load.
    """
    clients = run.deployment.clients
    if has_latency_logs(clients) and not any(client.metrics_port for client in clients):
        return
    protocol, interval = run.request.protocol, run.testbed.settings.scrape_interval.total_seconds()
    deadline = load + max(_EXPORT_DEADLINE_S, _EXPORT_SCRAPES * interval)
    processes = [each for each in run.deployment.processes if each.job == protocol.metrics.job]
    started = min((supervisor.states[each.name].started or load for each in processes), default=load)
    while True:
        _check(run, supervisor)
        problems, unknown = check_exported(
            prometheus, protocol.metrics, time.time() - started, protocol.leader_metric, protocol.position_metric
        )
        if not problems:
            break
        if time.time() > deadline:
            lines = [f"  {problem}" for problem in problems]
            raise UsageError("\n".join([f"{protocol.name} cannot be measured; correct its `metrics`:", *lines]))
        time.sleep(10 * _POLL_S)
    for text in unknown:
        run.events.emit(WarningIssued(text))


def warm_up(run: RunContext, state: RunState, supervisor: Supervisor) -> None:
    """Start the load and wait until the warm-up is over."""
    with run.events.phase("warm_up"):
        load = _next_interval(time.time() + _LEAD_S)
        supervisor.start_load(_load(run), load)
        start = load + run.request.warm_up_s
        state.times = RunTimes(load=load, start=start, end=start + run.request.duration_s)
        _watch(run, state, until=start, end=state.times.end)


def measure(run: RunContext, state: RunState, supervisor: Supervisor) -> None:
    """Mark the phases for the dashboards, and wait until the measured window is over."""
    assert state.times is not None
    with run.events.phase("measure"):
        load, start = state.times.load, _next_interval(max(state.times.start, time.time()))
        times = state.times = RunTimes(load=load, start=start, end=start + run.request.duration_s)
        names = {"load": times.load, "measure": times.start, "stop": times.end}
        marked = [Mark(at, "phase", name) for name, at in names.items()]
        if state.injector:
            marked += [Mark(times.start + fault.start_s, "fault", str(fault)) for fault in state.injector.schedule]
        text = marks(run.identity.run_id, marked)
        if run.prepared.prometheus and not supervisor.lost:
            content = {run.testbed.monitoring.name: {MARKS_FILE: text.encode()}}
            for reason in run.testbed.fleet.put(content, deadline=ANSWER_S).failed.values():
                run.events.emit(WarningIssued(f"dashboards will not mark the phases of this run: {reason}"))
        if state.injector:
            state.injector.begin(times.start, times.end)
        _watch(run, state, until=times.end, end=times.end, injector=state.injector)
        if state.injector:
            state.injector.finish(lambda: _check(run, supervisor))
        expected = [node for node in run.deployment.nodes if node.name not in supervisor.planned_deaths]
        hung = supervisor.unresponsive(expected)
        hosts = {process.name: process.host.name for process in run.deployment.nodes}
        state.hung = [f"{name} on {hosts[name]} did not answer at the end: {reason}" for name, reason in hung.items()]
        state.changed_clocks = _changed_clocks(run, supervisor)


def _next_interval(moment: float) -> float:
    """Return when the next interval of latency logs begins, unix s: a window that begins there is counted exactly."""
    return math.ceil(round(moment * 1000 / INTERVAL_MS, 3)) * INTERVAL_MS / 1000


def _changed_clocks(run: RunContext, supervisor: Supervisor) -> dict[str, Clock]:
    """Return the clocks that were set during the run: their offsets differ by more than the errors of measurement."""
    try:
        hosts = [host for host in supervisor.clocks if host not in supervisor.lost]
        now = supervision.read_clocks(run.testbed.fleet, hosts, ANSWER_S)
    except InfrastructureError as error:
        run.events.emit(WarningIssued(f"whether clocks were set during the run is unknown: {error}"))
        return {}
    changed = {}
    for host, clock in now.items():
        before = supervisor.clocks[host]
        if abs(clock.offset_s - before.offset_s) > clock.error_s + before.error_s + _CLOCK_DRIFT_S:
            changed[host] = max(clock, before, key=lambda each: abs(each.offset_s))
    return changed


def stop(run: RunContext, state: RunState) -> None:
    """Stop all processes that may have been started."""
    with run.events.phase("stop"):
        unconfirmed: list[str] = []
        if state.live:
            state.live.close()
        try:
            unconfirmed += state.injector.close(CHANGE_S) if state.injector else []
        finally:
            unconfirmed += state.supervisor.stop(CHANGE_S) if state.supervisor else []
        if unconfirmed:  # a supervisor that was killed leaves processes, a host may be reached again
            left = run.testbed.kill_leftovers(dict.fromkeys(unconfirmed))
            for host, facts in left.ok.items():
                if facts.unhealed:
                    run.events.emit(WarningIssued(f"{host}: a fault could not be healed: {facts.unhealed}"))
                if facts.stale_processes:
                    run.events.emit(WarningIssued(f"{host}: {facts.stale_processes} process groups had to be killed"))
            for host, reason in left.failed.items():
                run.events.emit(WarningIssued(f"processes may be left on {host}, `geobench stop` ends them: {reason}"))


def _load(run: RunContext) -> list[Process]:
    """Return the processes that send requests: the clients, and the probe workload if there is one."""
    return [each for each in run.deployment.processes if each.job != "node"]


def _start(run: RunContext, supervisor: Supervisor, processes: Sequence[Process]) -> None:
    furthest = max((clock.error_s for clock in supervisor.clocks.values()), default=0.0)
    supervisor.start(processes, time.time() + _LEAD_S + 2 * furthest)
    supervisor.wait_ready(processes, run.testbed.settings.health_check_timeout.total_seconds())
    _check(run, supervisor)


def _check(run: RunContext, supervisor: Supervisor) -> None:
    """Check all processes, and report the loss of a monitoring host that the run can do without."""
    supervisor.check()
    for host, reason in supervisor.new_losses().items():
        run.events.emit(WarningIssued(f"lost the monitoring host {host} ({reason}); the run goes on without samples"))


def _watch(run: RunContext, state: RunState, *, until: float, end: float, injector: Injector | None = None) -> None:
    """Check all processes until the time `until`, and emit progress now and then; `end` is that of the window.

    Progress is for display: a Prometheus that does not answer does not end the run.
    """
    names, supervisor = run.request.protocol.metrics, state.supervisor
    assert supervisor is not None
    rates_over = timedelta(seconds=max(2.0, 4 * run.testbed.settings.scrape_interval.total_seconds()))
    next_progress = time.time() + _PROGRESS_S
    silent = False
    while (now := time.time()) < until:
        _check(run, supervisor)
        if injector:
            injector.advance()
        if state.live:
            state.live.advance()
        if now >= next_progress:
            next_progress = now + _PROGRESS_S
            stats = LiveStats()
            if run.prepared.prometheus and not supervisor.lost:
                try:
                    stats = read_live_stats(run.prepared.prometheus, rates_over, names)
                    silent = False
                except InfrastructureError:
                    next_progress = now + _RETRY_PROGRESS_S
                    if not silent:
                        kept = "the clients' latency logs" if has_latency_logs(run.deployment.clients) else "nothing"
                        run.events.emit(
                            WarningIssued(f"Prometheus does not answer; {kept} will replace samples that it misses")
                        )
                    silent = True
            run.events.emit(Progress(round(end - now, 1), **dataclasses.asdict(stats)))
            if state.live:
                answering = not silent and not supervisor.lost
                state.live.sample(run.prepared.prometheus if answering else None, rates_over, names)
        time.sleep(max(0.0, min(_POLL_S, until - time.time())))
