"""The phases of a run: it executes what protocols, probe, load and monitoring describe. It prints nothing.

configure, start_nodes, start_clients, monitor, warm_up, measure, stop and collect: whatever happens in between, stop is
done, and what is known of the run is written.
"""

from __future__ import annotations

import dataclasses
import shlex
import shutil
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Literal

from benchmark.errors import InfrastructureError, Interrupted, SystemFailure, TestbedError, failure_kind
from benchmark.host_layout import MARKS_FILE
from benchmark.measure.live_stats import read_live_stats
from benchmark.measure.warm_up import WarmUp, find_window
from benchmark.metrics.samples import Series, write_samples
from benchmark.metrics.targets import Mark, identities, marks
from benchmark.orchestrator import supervisor
from benchmark.orchestrator.evaluate import Evidence, evaluate, fetch
from benchmark.orchestrator.logs import collect_command, collected, parse_report, script
from benchmark.orchestrator.manifest import make_manifest, with_outcome
from benchmark.orchestrator.prepare import Prepared
from benchmark.orchestrator.snapshot import save_snapshot
from benchmark.orchestrator.supervisor import Supervisor
from benchmark.plan.placement import endpoints
from benchmark.plan.request import Request
from benchmark.protocols.process import Plan, Process
from benchmark.results.events import Events, Progress, RunStarted, SummaryWritten, WarningIssued
from benchmark.results.log_findings import LogReport
from benchmark.results.manifest import RunTimes
from benchmark.results.run_folder import BUILD_LOG, LOGS, MANIFEST, SAMPLES, SUMMARY, RunFolder, new_run_id
from benchmark.results.summary import Identity, Summary, not_measured
from benchmark.testbed.testbed import Testbed

_FILE_DEADLINE_S = 120.0
_STOP_DEADLINE_S = 30.0
_CLOCK_DEADLINE_S = 10.0
_LEAD_S = 0.05
"""Time between the last host's being told when to start and that moment, beyond the round trip to it."""
_SCRAPE_DEADLINE_S = 30.0
_PROGRESS_S = 2.0
_LOG_DEADLINE_S = 300.0
_LOG_TAIL = 20


class Run:
    """One load on one committee; `execute` goes through its phases once."""

    def __init__(self, testbed: Testbed, request: Request, plan: Plan, prepared: Prepared, events: Events) -> None:
        self.testbed = testbed
        self.request = request
        self.plan = plan
        self.prepared = prepared
        self.events = events
        self.nodes = request.protocol.nodes(plan)
        self.clients = request.protocol.clients(plan)
        self.times: dict[str, float] = {}
        self.warm_up: WarmUp | None = None
        run_id = new_run_id(request.protocol.name, prepared.commit, len(plan.nodes), plan.load)
        self.folder = RunFolder.create(request.results_dir, testbed.inventory.testbed_id, run_id)
        self.identity = Identity(
            run_id=run_id,
            protocol=request.protocol.name,
            commit=prepared.commit,
            nodes=len(plan.nodes),
            clients=len(self.clients),
            requested_tps=float(plan.load),
        )
        events.observers.insert(0, self.folder.append_event)

    @property
    def processes(self) -> tuple[Process, ...]:
        """All processes, nodes first."""
        return (*self.nodes, *self.clients)

    def execute(self) -> Summary:
        """Go through the phases; what was started is stopped and what is known is written, also on errors."""
        self.events.emit(RunStarted(self.identity.run_id, self.plan.load, str(self.folder.path)))
        if self.prepared.installed and self.prepared.installed.log:
            shutil.copyfile(self.prepared.installed.log, self.folder.path / BUILD_LOG)
        self._write_manifest()
        supervised: Supervisor | None = None
        try:
            try:
                supervised = self._configure()
                self._start(supervised)
                self._drive(supervised)
            except SystemFailure as error:
                raise self._with_log(error) from None
            finally:
                with self.events.phase("stop"):
                    late = supervised.stop(_STOP_DEADLINE_S) if supervised else []
                    for host in late:
                        self.events.emit(WarningIssued(f"{host} did not confirm that all processes ended"))
            return self._collect(supervised)
        except TestbedError as error:
            self._record_failure(error, supervised)
            raise
        except Exception as error:  # a mistake of this program is a failed run too
            self._record_failure(error, supervised)
            raise
        except KeyboardInterrupt:
            self._record_failure(Interrupted("interrupted"), supervised)
            raise Interrupted(f"interrupted; what was measured lies in {self.folder.path}") from None

    def _configure(self) -> Supervisor:
        """Bring the files of all processes to their hosts and open a supervisor on each."""
        working = self.testbed.settings.working_dir
        by_host: dict[str, list[Process]] = {}
        for process in self.processes:
            by_host.setdefault(process.host.name, []).append(process)
        with self.events.phase("configure"):
            fleet = self.testbed.fleet
            files = {
                host: supervisor.files(processes, working, self.prepared.binaries(host))
                for host, processes in by_host.items()
            }
            fleet.put(files, deadline=_FILE_DEADLINE_S).raise_for_failures("configuration failed:")
            self._prepare(by_host)
            sessions = fleet.open(
                supervisor.command(working), hosts=by_host, deadline=_CLOCK_DEADLINE_S
            ).raise_for_failures("supervisors did not start:")
            supervised = Supervisor(sessions, self.processes)
            try:
                supervised.measure_clocks(_CLOCK_DEADLINE_S)
            except BaseException:
                supervised.stop(_STOP_DEADLINE_S)
                raise
        return supervised

    def _prepare(self, by_host: Mapping[str, Sequence[Process]]) -> None:
        """Run what goes before the processes, such as making keys, on all hosts at once."""
        working = self.testbed.settings.working_dir
        commands = {host: supervisor.prepare_command(processes, working) for host, processes in by_host.items()}
        needed = {host: command for host, command in commands.items() if command}
        if not needed:
            return
        done = self.testbed.fleet.run(needed, deadline=_FILE_DEADLINE_S, check=False)
        for host, answer in done.raise_for_failures("processes were not prepared:").items():
            if answer.exit_code:
                name, _, log = answer.stdout.partition("\n")
                process = next((each for each in by_host[host] if each.name == name), None)
                what = shlex.join(process.prepare) if process else needed[host]
                raise SystemFailure(f"{name} on {host}: {what} ended with exit code {answer.exit_code}", log_tail=log)

    def _start(self, supervised: Supervisor) -> None:
        """Start all nodes at one moment, wait until they are ready, then the clients."""
        with self.events.phase("start_nodes"):
            self._launch(supervised, self.nodes)
        with self.events.phase("start_clients"):
            self._launch(supervised, self.clients)

    def _launch(self, supervised: Supervisor, processes: Sequence[Process]) -> None:
        furthest = max((clock.error_s for clock in supervised.clocks.values()), default=0.0)
        supervised.start(processes, time.time() + _LEAD_S + 2 * furthest)
        supervised.wait_ready(processes, self.testbed.settings.health_check_timeout.total_seconds())

    def _drive(self, supervised: Supervisor) -> None:
        """Offer the load: a warm-up, then the measured window, which begins once every target has been scraped.

        The window must not be late where the load changes over time, so that is waited for before.
        """
        if self.plan.rate_segments:
            with self.events.phase("monitor"):
                self._wait_scraped(supervised)
        begin = time.time() + _LEAD_S
        supervised.start_load(self.clients, begin)
        start = begin + self.request.warm_up_s
        self.times = {"load": begin, "start": start, "end": start + self.request.duration_s}
        with self.events.phase("warm_up"):
            self._watch(supervised, start)
        with self.events.phase("monitor"):
            self._wait_scraped(supervised)
        start = max(start, time.time())
        self.times |= {"start": start, "end": start + self.request.duration_s}
        with self.events.phase("measure"):
            self._mark()
            self._watch(supervised, self.times["end"])

    def _mark(self) -> None:
        """Tell Prometheus when the load, the measured window and its end are due, for the dashboards."""
        names = {"load": "load", "start": "measure", "end": "stop"}
        text = marks(self.identity.run_id, [Mark(self.times[key], "phase", name) for key, name in names.items()])
        host = self.testbed.inventory.monitoring
        assert host is not None
        done = self.testbed.fleet.put({host.name: {MARKS_FILE: text.encode()}}, deadline=_CLOCK_DEADLINE_S)
        for reason in done.failed.values():
            self.events.emit(WarningIssued(f"dashboards will not mark this run's phases: {reason}"))

    def _wait_scraped(self, supervised: Supervisor) -> None:
        """Wait until Prometheus has a sample of every node and client of this run."""
        targets = identities(self.testbed.inventory.hosts, endpoints(self.processes))
        wanted = {target for target in targets if target[0] != "host"}
        since = max(state.started or 0.0 for state in supervised.states.values())
        deadline = time.monotonic() + _SCRAPE_DEADLINE_S
        while missing := wanted - self.prepared.prometheus.scraped(since):
            supervised.check()
            if time.monotonic() > deadline:
                listed = ", ".join(sorted(f"{job} on {host}" for job, host, _ in missing)[:8])
                raise InfrastructureError(
                    f"Prometheus has no sample of {listed} after {_SCRAPE_DEADLINE_S:g} s; "
                    "`python -m benchmark grafana` leads to its targets page"
                )
            time.sleep(0.05)

    def _watch(self, supervised: Supervisor, until: float) -> None:
        """Look after all processes until the time `until`, telling progress now and then."""
        window = timedelta(seconds=max(2.0, 4 * self.testbed.settings.scrape_interval.total_seconds()))
        following = time.time() + _PROGRESS_S
        metrics = self.request.protocol.metrics
        while (now := time.time()) < until:
            supervised.check()
            if now >= following:
                following = now + _PROGRESS_S
                stats = dataclasses.asdict(read_live_stats(self.prepared.prometheus, window, metrics))
                self.events.emit(Progress(round(self.times["end"] - now, 1), **stats))
            time.sleep(max(0.0, min(0.05, until - time.time())))

    def _collect(self, supervised: Supervisor) -> Summary:
        """Bring samples and logs home and sum them up."""
        with self.events.phase("collect"):
            begin, end = self.times["load"], self.times["end"]
            hosts = self.testbed.inventory.hosts
            series = fetch(self.prepared.prometheus, self.request.protocol, hosts, self.processes, begin, end)
            self.warm_up = self._cut(series)
            write_samples(self.folder.path / SAMPLES, series)
            logs = self._collect_logs()
            if self.request.snapshot:
                self._save_snapshot()
            summary = self._summarise(series, supervised, logs)
        self._write_manifest(supervised)
        self.folder.write(SUMMARY, summary.to_json())
        self.events.emit(
            SummaryWritten(summary.run_id, summary.status, str(self.folder.path), self._timings(supervised))
        )
        return summary

    def _cut(self, series: Sequence[Series]) -> WarmUp:
        """Settle the measured window: where no warm-up was given, it depends on what was measured."""
        begin, start, end = self.times["load"], self.times["start"], self.times["end"]
        if not self.request.find_warm_up:
            return WarmUp(seconds=start - begin, method="as asked for")
        interval = self.testbed.settings.scrape_interval.total_seconds()
        metrics = self.request.protocol.metrics
        start, end, found = find_window(series, begin, start, end, scrape_interval=interval, metrics=metrics)
        self.times |= {"start": start, "end": end}
        return found

    def _summarise(self, series: Sequence[Series], supervised: Supervisor, logs: LogReport) -> Summary:
        evidence = Evidence(
            series=series,
            start=self.times["start"],
            end=self.times["end"],
            scrape_interval=self.testbed.settings.scrape_interval.total_seconds(),
            clocks=supervised.clocks,
            facts=self.prepared.facts,
            logs=logs,
            warm_up=self.warm_up,
            warnings=self.prepared.installed.warnings if self.prepared.installed else (),
        )
        return evaluate(self.request.protocol, self.plan, self.identity, evidence)

    def _collect_logs(self) -> LogReport:
        """Have the hosts search and compress their logs, and bring these home."""
        if not self.testbed.settings.log_processing:
            return LogReport()
        fleet = self.testbed.fleet
        directory = f"{self.testbed.settings.working_dir}/{supervisor.RUN_DIRECTORY}"
        files = collected(self.processes, directory)
        searched = fleet.run(collect_command(directory), hosts=files, stdin=script(), deadline=_LOG_DEADLINE_S)
        there = {host: files[host] for host in searched.ok}
        got = fleet.get(there, self.folder.path / LOGS, deadline=_LOG_DEADLINE_S)
        for host, reason in {**searched.failed, **got.failed}.items():
            self.events.emit(WarningIssued(f"logs of {host} are not complete: {reason}"))
        return parse_report({host: answer.stdout for host, answer in searched.ok.items()})

    def _save_snapshot(self) -> None:
        host = self.testbed.inventory.monitoring
        assert host is not None
        try:
            save_snapshot(self.testbed.fleet, host.name, self.prepared.prometheus.url, self.folder.path)
        except InfrastructureError as error:  # the run itself is complete without it
            self.events.emit(WarningIssued(str(error)))

    def _record_failure(self, error: Exception, supervised: Supervisor | None) -> None:
        """Keep what is known of a run that came to no result."""
        status: Literal["failed", "interrupted"] = "interrupted" if isinstance(error, Interrupted) else "failed"
        text = str(error) if isinstance(error, TestbedError) else repr(error)
        failure = failure_kind(error) if status == "failed" else None
        summary = not_measured(self.identity, status, text, failure)
        self.folder.write(SUMMARY, summary.to_json())
        self._write_manifest(supervised)
        if supervised is not None:
            logs = self._collect_logs()
            found = {"warnings": logs.warnings(), "log_findings": logs.findings}
            self.folder.write(SUMMARY, summary.model_copy(update=found).to_json())

    def _timings(self, supervised: Supervisor) -> dict[str, float]:
        """Seconds of each phase, of the system's own start, and of the overhead: all but start, warm-up and window."""
        states = [supervised.states[process.name] for process in self.nodes]
        begun = [state.started for state in states if state.started is not None]
        ready = [state.ready for state in states if state.ready is not None]
        system = max(ready, default=0.0) - min(begun, default=0.0) if ready else 0.0
        phases = self.events.phases
        spent = sum(phases.values()) - phases.get("warm_up", 0.0) - phases.get("measure", 0.0)
        return {**phases, "system_start": system, "overhead": spent - system}

    def _with_log(self, error: SystemFailure) -> SystemFailure:
        """Add the last log lines of the process that failed."""
        process = next((process for process in self.processes if process.name == error.process), None)
        if process is None:
            return error
        logs = f"{self.testbed.settings.working_dir}/{supervisor.RUN_DIRECTORY}/{LOGS}"
        tail = f"tail -n {_LOG_TAIL} {logs}/{process.name}.log"
        answer = self.testbed.fleet.run(tail, hosts=[process.host.name], deadline=_CLOCK_DEADLINE_S).ok
        text = answer[process.host.name].stdout if process.host.name in answer else ""
        return SystemFailure(str(error), process=process.name, log_tail=text)

    def _write_manifest(self, supervised: Supervisor | None = None) -> None:
        document = with_outcome(
            make_manifest(self.request, self.testbed.inventory, self.plan, self.prepared, self.identity),
            RunTimes(**self.times) if self.times else None,
            self.warm_up,
            supervised,
            self.nodes,
            self._timings(supervised) if supervised else {},
        )
        self.folder.write(MANIFEST, document.to_json())
