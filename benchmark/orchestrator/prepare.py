"""What is done once for all runs of a benchmark: monitoring, checks, installation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from benchmark.artifacts.install import Installation, Installed
from benchmark.artifacts.store import FOLDER
from benchmark.host_layout import PROMETHEUS_PORT, TARGETS_DIRECTORY
from benchmark.inventory import Host
from benchmark.metrics.prometheus import Prometheus
from benchmark.metrics.targets import targets
from benchmark.plan.placement import endpoints, ports
from benchmark.plan.request import Request
from benchmark.plan.source import Binaries
from benchmark.protocols.process import Plan
from benchmark.results.events import Events, Step, WarningIssued
from benchmark.testbed import machines, packages
from benchmark.testbed.facts import Facts
from benchmark.testbed.testbed import Testbed

_FILE_DEADLINE_S = 30.0


@dataclass(frozen=True)
class Prepared:
    """What is known once the testbed is ready for runs."""

    facts: Mapping[str, Facts]
    rtt_ms: Mapping[tuple[str, str], float]
    commit: str
    packages: Mapping[str, str]
    prometheus: Prometheus
    installed: Installed | None = None
    """The artifact, for a system that does not come from packages."""

    def binaries(self, host: str) -> str | None:
        """The folder of the artifact on a host, within the working folder."""
        return f"{FOLDER}/{self.installed.by_host[host]}" if self.installed else None


def prepare(testbed: Testbed, request: Request, plan: Plan, events: Events, stack: ExitStack) -> Prepared:
    """Point Prometheus at the run, check the hosts, install what is missing; `stack` closes the way to Prometheus."""
    protocol = request.protocol
    processes = [*protocol.nodes(plan), *protocol.clients(plan)]
    carriers = _unique([*plan.nodes, *plan.clients])
    if machines.machines(testbed):
        with events.phase("install"):
            machines.set_up(testbed, lambda text: events.emit(Step(text)))
    # Before the rest, as Prometheus takes up to ten seconds to act on changed targets.
    with events.phase("monitor"):
        monitoring = testbed.inventory.monitoring
        assert monitoring is not None
        documents = targets(testbed.running, endpoints(processes))
        content = {f"{TARGETS_DIRECTORY}/{name}": text.encode() for name, text in documents.items()}
        testbed.fleet.put({monitoring.name: content}, deadline=_FILE_DEADLINE_S).raise_for_failures(
            "Prometheus cannot be told what to scrape:"
        )
        port = stack.enter_context(testbed.fleet.tunnel(monitoring.name, PROMETHEUS_PORT))
        prometheus = stack.enter_context(Prometheus(f"http://127.0.0.1:{port}"))
    with events.phase("check"):
        facts = testbed.probe(clean=True, packages=protocol.packages, carriers=carriers)
        testbed.check(ports(processes), facts)
    with events.phase("install"):
        versions = {host.name: facts[host.name].packages for host in plan.nodes}
        if lacking := packages.missing_packages(versions):
            testbed.install(lacking)
            facts = testbed.probe(clean=True, packages=protocol.packages, carriers=carriers)
            versions = {host.name: facts[host.name].packages for host in plan.nodes}
        installed = _install(testbed, request, carriers, facts, events)
        commit = installed.commit if installed else packages.package_commit(protocol.packages, versions)
    return Prepared(facts, testbed.rtt_ms(facts), commit, versions[plan.nodes[0].name], prometheus, installed)


def _install(
    testbed: Testbed, request: Request, carriers: Sequence[Host], facts: Mapping[str, Facts], events: Events
) -> Installed | None:
    """Bring what the request names to all hosts; None for a system from packages."""
    if request.source is None:
        return None
    installation = Installation(
        testbed,
        carriers,
        tell=lambda text: events.emit(Step(text)),
        log_folder=request.results_dir / testbed.inventory.testbed_id,
        rtt_ms=testbed.rtt_ms(facts),
    )
    build = request.protocol.build
    if isinstance(request.source, Binaries):
        installed = installation.from_binaries(build, request.source)
    else:
        assert build is not None
        installed = installation.from_repository(build, request.source)
    for text in installed.warnings:
        events.emit(WarningIssued(text))
    return installed


def _unique(hosts: Sequence[Host]) -> list[Host]:
    return list({host.name: host for host in hosts}.values())
