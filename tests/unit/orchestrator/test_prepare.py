"""Preparing a testbed whose hosts are fakes: each fact is gathered once, and only what changed is updated."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from factories.hosts import inventory, of_provider
from fakes.fleet import FakeFleet
from fakes.prometheus import fake_testbed
from fakes.recorder import Recorder

from benchmark.errors import HostError, InfrastructureError
from benchmark.host_layout import TARGETS_DIRECTORY
from benchmark.orchestrator.prepare import Prepared, prepare
from benchmark.plan.request import Request
from benchmark.protocols.parameters import make_protocol
from benchmark.protocols.registry import find_protocol
from benchmark.results.events import Events
from benchmark.settings import Settings
from benchmark.testbed.testbed import Testbed


@pytest.fixture
def prepared(testbed: Testbed, recorder: Recorder, make_request: Callable[..., Request]) -> Callable[..., Prepared]:
    """Prepare the testbed for a request."""

    def run(of: Testbed = testbed, **fields: object) -> Prepared:
        with ExitStack() as stack:
            return prepare(of, make_request(**fields), Events(recorder), stack)

    return run


def probes(fleet: FakeFleet) -> list[str]:
    return [command for command in fleet.commands if command.startswith("exec bash -s -- geobench")]


def test_every_host_is_probed_once(prepared: Callable[..., Prepared], fleet: FakeFleet, recorder: Recorder) -> None:
    found = prepared()
    assert len(probes(fleet)) == len(fleet.hosts)
    assert set(found.facts) == set(fleet.hosts)
    assert (found.commit, found.packages["etcd-client"]) == ("3.4.23", "3.4.23")
    assert dict(found.rtt_ms) == {("a", "b"): 80.0, ("b", "a"): 80.0}
    assert recorder.phases() == ["monitor", "check", "install"]
    assert found.binaries("a-1") is None


def test_an_installation_updates_versions_without_another_probe(
    prepared: Callable[..., Prepared], fleet: FakeFleet
) -> None:
    fleet.versions = {"etcd-client": "1.0"}
    found = prepared()
    assert len(probes(fleet)) == len(fleet.hosts)
    installations = [command for command in fleet.commands if command.endswith("install etcd-server; fi")]
    assert len(installations) == 3
    for host in ("a-1", "a-2", "b-0"):
        assert found.facts[host].packages == {"etcd-server": "1.0", "etcd-client": "1.0"}
        assert found.facts[host].memory_mb == 8000
    assert found.commit == "1.0"


def test_packages_are_also_installed_where_a_declared_client_runs(
    prepared: Callable[..., Prepared], fleet: FakeFleet, tmp_path: Path
) -> None:
    path = tmp_path / "system.yaml"
    path.write_text("name: sql\npackages: [postgresql]\nnode: {command: x}\nclient: {command: y, latency_log: z}\n")
    protocol = make_protocol(find_protocol(str(path)), Settings(regions=("a",)))
    found = prepared(protocol=protocol, committee=1, dedicated_clients=2)
    installed = {host for host, facts in found.facts.items() if facts.packages.get("postgresql")}
    assert installed == {"a-1", "a-2", "b-0"}


def test_prometheus_targets_are_written_first(
    prepared: Callable[..., Prepared], fleet: FakeFleet, recorder: Recorder
) -> None:
    prepared(committee=2)
    assert fleet.operations[:2] == ["put", "tunnel"]
    nodes = json.loads(fleet.files["a-0"][f"{TARGETS_DIRECTORY}/node.json"])
    assert [group["labels"]["host"] for group in nodes] == ["a-1", "b-0"]
    hosts = json.loads(fleet.files["a-0"][f"{TARGETS_DIRECTORY}/host.json"])
    assert len(hosts) == len(fleet.hosts)
    assert fleet.operations[-1] == "close Prometheus"


def test_a_dead_prometheus_is_an_error_before_anything_is_installed(
    prepared: Callable[..., Prepared], fleet: FakeFleet
) -> None:
    def fail(operation: str) -> None:
        if operation == "query":
            raise InfrastructureError("Prometheus did not answer")

    fleet.hook = fail
    with pytest.raises(InfrastructureError, match="Prometheus did not answer"):
        prepared()
    assert probes(fleet) == []
    assert fleet.tunnels == 0


def test_targets_are_those_of_the_highest_load(prepared: Callable[..., Prepared], fleet: FakeFleet) -> None:
    prepared(loads=(1, 60))
    clients = json.loads(fleet.files["a-0"][f"{TARGETS_DIRECTORY}/client.json"])
    assert len(clients) == 3


def test_a_port_in_use_is_an_error_before_anything_is_installed(
    prepared: Callable[..., Prepared], fleet: FakeFleet
) -> None:
    fleet.facts += "listening 2379\n"
    fleet.versions = {}
    with pytest.raises(HostError, match="a run is not possible on these hosts:") as error:
        prepared()
    assert set(error.value.hosts) == {"a-1", "a-2", "b-0"}
    assert not any("install etcd" in command for command in fleet.commands)


def test_a_full_disk_is_an_error_on_every_host(prepared: Callable[..., Prepared], fleet: FakeFleet) -> None:
    fleet.facts = fleet.facts.replace("disk_free_mb 90000", "disk_free_mb 100")
    with pytest.raises(HostError) as error:
        prepared()
    assert set(error.value.hosts) == set(fleet.hosts)


def test_existing_machines_are_set_up_before_they_are_probed(
    prepared: Callable[..., Prepared], recorder: Recorder
) -> None:
    found = inventory(a=3, b=2)
    hosts = tuple(of_provider(host, "machines") for host in found.hosts)
    testbed, fleet = fake_testbed(found.model_copy(update={"hosts": hosts}))
    fleet.answers = {"-- inspect": "missing procps\nset-up\n", "-- set-up": ""}
    prepared(testbed)
    kinds = [
        kind
        for command in fleet.commands
        for kind in ("-- inspect", "install procps", "-- set-up", "-- geobench remove")
        if kind in command
    ]
    assert list(dict.fromkeys(kinds)) == ["-- inspect", "install procps", "-- set-up", "-- geobench remove"]
    assert len(kinds) == 4 * len(hosts)
    assert recorder.texts() == ["installing procps on a-0, a-1, a-2, b-0, b-1"]


def test_machines_with_problems_are_listed_with_their_problems(prepared: Callable[..., Prepared]) -> None:
    found = inventory(a=3, b=2)
    hosts = tuple(of_provider(host, "machines") for host in found.hosts)
    testbed, fleet = fake_testbed(found.model_copy(update={"hosts": hosts}))
    fleet.answers = {"-- inspect": "problem it has no apt-get\n"}
    with pytest.raises(HostError, match="machines cannot be set up for measurements:\n  a-0: it has no apt-get"):
        prepared(testbed)
