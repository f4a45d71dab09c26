"""Prepare a testbed for the runs of a request: Prometheus targets, facts about the hosts, installation."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

from benchmark.artifacts.binaries import require_used
from benchmark.artifacts.install import Installation, Installed
from benchmark.artifacts.store import FOLDER
from benchmark.errors import UsageError
from benchmark.host_layout import TARGETS_DIRECTORY
from benchmark.metrics.prometheus import Prometheus
from benchmark.metrics.targets import targets
from benchmark.plan.deployment import deploy
from benchmark.plan.placement import endpoints, ports
from benchmark.plan.request import Request
from benchmark.plan.source import Binaries
from benchmark.remote.deadlines import CHANGE_S
from benchmark.results.events import Events, Step, WarningIssued
from benchmark.testbed import machines, packages
from benchmark.testbed.facts import Facts
from benchmark.testbed.testbed import Testbed
from benchmark.verify.linearizability import build_checker


@dataclass(frozen=True)
class Prepared:
    """What is known once the testbed is ready for runs."""

    facts: Mapping[str, Facts]
    rtt_ms: Mapping[tuple[str, str], float]
    commit: str
    packages: Mapping[str, str]
    prometheus: Prometheus | None
    """None where there is no monitoring host."""
    installed: Installed | None = None
    """The artifact; None for a system that is installed from packages."""

    def binaries(self, host: str) -> str | None:
        """Return the folder of the artifact on a host, within the working folder."""
        return f"{FOLDER}/{self.installed.by_host[host]}" if self.installed else None


def prepare(testbed: Testbed, request: Request, events: Events, stack: ExitStack) -> Prepared:
    """Make all hosts ready for runs of `request` at any of its loads; `stack` closes the tunnel to Prometheus.

    Hosts are probed once; what an installation changes is updated from its output. Raises InfrastructureError,
    SystemFailure, UsageError.
    """
    protocol = request.protocol
    # Ports and endpoints do not depend on the round trips, which are not known yet.
    deployment = deploy(testbed.inventory, request, max(request.loads))
    plan, processes = deployment.plan, deployment.processes
    if isinstance(request.source, Binaries):
        require_used(request.source.folder, processes)
    if deployment.probe:
        try:
            build_checker()
        except UsageError as error:  # the history is kept
            events.emit(WarningIssued(f"the verdict of --verify will be unknown: {error}"))
    carriers = list({host.name: host for host in (*plan.nodes, *plan.clients)}.values())
    if machines.machines(testbed):
        with events.phase("install"):
            machines.set_up(testbed, lambda text: events.emit(Step(text)))
    # Before the rest, as Prometheus takes up to ten seconds to act on changed targets.
    prometheus = None
    if testbed.inventory.monitoring:
        with events.phase("monitor"):
            documents = targets(testbed.running, endpoints(processes))
            content = {f"{TARGETS_DIRECTORY}/{name}": text.encode() for name, text in documents.items()}
            done = testbed.fleet.put({testbed.monitoring.name: content}, deadline=CHANGE_S)
            done.raise_for_failures("could not write the targets of Prometheus:")
            prometheus = stack.enter_context(testbed.prometheus())
            prometheus.query("vector(1)")  # one that is dead is an error before anything is started
    with events.phase("check"):
        with ThreadPoolExecutor(1) as pool:
            measuring = pool.submit(testbed.round_trips, carriers)
            facts = testbed.probe(clean=True, packages=protocol.packages, carriers=carriers)
            round_trips = measuring.result()
        testbed.check(ports(processes), facts)
        for host, reason in round_trips.failed.items():
            events.emit(WarningIssued(f"{host}: round trips unknown: {reason}"))
    rtt_ms = round_trips.between_regions()
    with events.phase("install"):
        with_packages = carriers if protocol.packages_on_clients else plan.nodes
        missing = packages.missing_packages({host.name: facts[host.name].packages for host in with_packages})
        for name, versions in testbed.install(missing).items() if missing else ():
            facts[name] = dataclasses.replace(facts[name], packages={**facts[name].packages, **versions})
        installed = None
        if request.source:
            installation = Installation(
                testbed,
                carriers,
                report=lambda text: events.emit(Step(text)),
                log_folder=request.results_dir / testbed.inventory.testbed_id,
                rtt_ms=rtt_ms,
            )
            if isinstance(request.source, Binaries):
                installed = installation.from_binaries(request.build, request.source)
            else:
                assert request.build is not None
                installed = installation.from_repository(request.build, request.source)
            for text in installed.warnings:
                events.emit(WarningIssued(text))
    versions_by_host = {host.name: facts[host.name].packages for host in with_packages}
    commit = installed.commit if installed else packages.package_commit(protocol.packages, versions_by_host)
    return Prepared(facts, rtt_ms, commit, facts[plan.nodes[0].name].packages, prometheus, installed)
