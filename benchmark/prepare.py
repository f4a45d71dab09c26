"""What is done once for all runs of a benchmark: monitoring, checks, installation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from benchmark.artifacts import packages
from benchmark.events import Timeline
from benchmark.inventory import PROMETHEUS_PORT, TARGETS_DIRECTORY, Host
from benchmark.monitoring import Prometheus, targets
from benchmark.placement import endpoints, ports
from benchmark.probe import Facts
from benchmark.protocols import Plan
from benchmark.request import Request
from benchmark.testbed import Testbed

_FILE_DEADLINE_S = 30.0


@dataclass(frozen=True)
class Prepared:
    """What is known once the testbed is ready for runs."""

    facts: Mapping[str, Facts]
    rtt_ms: Mapping[tuple[str, str], float]
    commit: str
    packages: Mapping[str, str]
    prometheus: Prometheus


def prepare(testbed: Testbed, request: Request, plan: Plan, timeline: Timeline, stack: ExitStack) -> Prepared:
    """Point Prometheus at the run, check the hosts, install what is missing; `stack` closes the way to Prometheus."""
    protocol = request.protocol
    processes = [*protocol.nodes(plan), *protocol.clients(plan)]
    carriers = _unique([*plan.nodes, *plan.clients])
    # First of all, as Prometheus takes up to ten seconds to act on changed targets.
    with timeline.phase("monitor"):
        monitoring = testbed.inventory.monitoring
        assert monitoring is not None
        documents = targets(testbed.running, endpoints(processes))
        content = {f"{TARGETS_DIRECTORY}/{name}": text.encode() for name, text in documents.items()}
        testbed.fleet.put({monitoring.name: content}, deadline=_FILE_DEADLINE_S).raise_for_failures(
            "Prometheus cannot be told what to scrape:"
        )
        port = stack.enter_context(testbed.fleet.tunnel(monitoring.name, PROMETHEUS_PORT))
        prometheus = stack.enter_context(Prometheus(f"http://127.0.0.1:{port}"))
    with timeline.phase("check"):
        facts = testbed.probe(clean=True, packages=protocol.packages, carriers=carriers)
        testbed.check(ports(processes), facts)
    with timeline.phase("install"):
        versions = {host.name: facts[host.name].packages for host in plan.nodes}
        if lacking := packages.missing_packages(versions):
            testbed.install(lacking)
            facts = testbed.probe(clean=True, packages=protocol.packages, carriers=carriers)
            versions = {host.name: facts[host.name].packages for host in plan.nodes}
        commit = packages.package_commit(protocol.packages, versions)
    return Prepared(facts, testbed.rtt_ms(facts), commit, versions[plan.nodes[0].name], prometheus)


def _unique(hosts: Sequence[Host]) -> list[Host]:
    return list({host.name: host for host in hosts}.values())
