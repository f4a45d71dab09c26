"""The runner writes every field of a manifest, and no credentials."""

from __future__ import annotations

import importlib
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from factories.hosts import inventory
from pydantic import BaseModel

from benchmark.artifacts.install import Installed, Variant
from benchmark.artifacts.source import Origin, Revision
from benchmark.artifacts.store import File
from benchmark.faults.record import FaultRecord
from benchmark.measure.warm_up import WarmUp
from benchmark.orchestrator.manifest import make_manifest, versions, with_outcome
from benchmark.orchestrator.network import RunNetwork
from benchmark.orchestrator.prepare import Prepared
from benchmark.orchestrator.supervisor import Clock, ProcessState, Supervisor
from benchmark.plan.deployment import deploy
from benchmark.plan.request import Request
from benchmark.protocols.base import Protocol
from benchmark.protocols.etcd import Etcd
from benchmark.protocols.parameters import make_protocol
from benchmark.protocols.process import Build
from benchmark.protocols.registry import find_protocol
from benchmark.results.manifest import Manifest, RunTimes, parse_manifest
from benchmark.results.summary import Identity
from benchmark.settings import Repository, Settings, load_settings, parse_phase
from benchmark.testbed.facts import Facts
from benchmark.testbed.round_trips import RoundTrips, Sample
from benchmark.version import full_version

TOKEN = "s3cret"
NEVER_WRITTEN = {"definition"}
"""Fields that stay empty here: the version of this project covers etcd."""
FAULT = FaultRecord(
    kind="loss", target="one", nodes=("node-0",), hosts=("a-1",), parameters={"share": 0.1}, seed=7,
    scheduled_start_s=1.0, scheduled_end_s=2.0, injected=3.0, in_force=3.1, healing=4.0, healed=4.1,
    proof="9 of 90 packets dropped",
    healed_proof="1 host answers", problem="was healed late",
)  # fmt: skip
DESCRIBED = f"""\
name: described
node_parameters: {{password: hunter2, size: 3}}
node:
  ports: {{http: 8000}}
  files: {{a.conf: "url=https://{TOKEN}@x.org size={{{{ parameters.size }}}}"}}
  prepare: [make, ready]
  command: [serve, a.conf]
  ready: "tcp {{{{ ports.http }}}}"
load: {{url: "http://{{{{ nearest.address }}}}:{{{{ ports.http }}}}", headers: {{token: {TOKEN}}}}}
"""


SETTINGS = Settings(regions=("a", "b"), repository=Repository(url=f"https://{TOKEN}@x.org/a"))


def write_manifest(kind: type[Protocol] = Etcd, settings: Settings = SETTINGS) -> Manifest:
    """Write the manifest of a run of which everything is known."""
    hosts = inventory(a=2, b=1)
    assert SETTINGS.repository is not None
    request = Request(
        phases=(parse_phase("all 60s"),),
        protocol=make_protocol(kind, settings),
        settings=settings,
        loads=(100,),
        duration_s=20.0,
        warm_up_s=5.0,
        name="first",
        source=SETTINGS.repository,
    )
    build = Build(packages=("git",), command="make", outputs=("etcd",), repository="https://x.org/a")
    variant = Variant("a" * 64, {"etcd": File("b" * 64, 7)}, copied_to=("a-1",), builder="a-1", changed=("lock",))
    prepared = Prepared(
        facts={
            host.name: Facts(
                cpus=2, kernel="6.1", cpu_model="X", os="Debian 12", boot_id="b", packages={"etcd-server": "3.4"}
            )
            for host in hosts.hosts
        },
        rtt_ms={("a", "b"): 70.0},
        commit="3.4",
        packages={"etcd-server": "3.4"},
        prometheus=cast(Any, None),
        installed=Installed(
            "c" * 40,
            {"x86_64": variant},
            {"a-1": "a" * 64},
            Origin.of(SETTINGS.repository),
            Revision("c" * 40, "d" * 40, datetime(2026, 1, 1, tzinfo=UTC)),
            build,
            folder=Path("/binaries"),
        ),
    )
    deployment = deploy(hosts, request, 100, prepared.rtt_ms)
    identity = Identity(run_id="r", protocol="etcd", commit="3.4", nodes=2, clients=2, requested_tps=100.0)
    nodes = deployment.nodes
    supervised = Supervisor({}, nodes, clocks={"a-1": Clock(0.001, 0.002)})
    supervised.states = {process.name: ProcessState(1.0, 2.0, 0, 3.0, 4.0) for process in nodes}
    warm_up = WarmUp(seconds=5.0, method="as requested")
    begun = make_manifest(request, hosts, deployment, prepared, identity)
    trips = RoundTrips({("a", "b"): [Sample(0.0, 70.0)]})
    network = RunNetwork({}, trips, trips)
    times = RunTimes(load=1.0, start=2.0, end=3.0)
    return with_outcome(begun, times, warm_up, supervised, network, nodes, {"overhead": 1.0}, [FAULT])


def empty_fields(model: BaseModel, prefix: str = "") -> list[str]:
    """Return the paths of all empty fields of a model and of nested models."""
    found = []
    for name in type(model).model_fields:
        value = getattr(model, name)
        inner = next(iter(value.values()), None) if isinstance(value, dict) else value
        if isinstance(inner, BaseModel):
            found += empty_fields(inner, f"{prefix}{name}.")
        elif value is None or value in ((), {}, ""):
            found.append(f"{prefix}{name}")
    return found


def test_every_manifest_field_is_written() -> None:
    written = write_manifest()
    here = ("inventory.", "placement.", "metrics.")
    assert [name for name in empty_fields(written) if not name.startswith(here)] == sorted(NEVER_WRITTEN)


def test_written_manifest_can_be_read_back() -> None:
    written = write_manifest()
    assert parse_manifest(written.to_json(), "x") == written


def test_the_definition_of_a_described_system_is_written_without_credentials(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(DESCRIBED)
    written = write_manifest(find_protocol(str(tmp_path / "s.yaml")))
    assert written.definition
    assert written.definition.content["load"] == {
        "url": "http://{{ nearest.address }}:{{ ports.http }}",
        "headers": {"token": "REDACTED"},
    }
    assert TOKEN not in written.model_dump_json(include={"definition"})
    assert len(written.definition.sha256) == 64


def test_all_of_a_process_is_written(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(DESCRIBED)
    placement = write_manifest(find_protocol(str(tmp_path / "s.yaml"))).placement
    node, client = placement.processes["node-0"], placement.processes["client-0"]
    assert (node.argv, node.prepare, node.ready) == (("serve", "a.conf"), ("make", "ready"), "tcp 8000")
    assert placement.file_contents[node.files["a.conf"]] == "url=https://x.org size=3"
    assert set(client.files) == {"config.json", "load_generator.pyz"}
    assert client.files["load_generator.pyz"] not in placement.file_contents, "it is no text"


def test_equal_definitions_have_equal_hashes(tmp_path: Path) -> None:
    hashes = []
    for change in ("# a comment", "summary: another", "minimum_nodes: 1", "minimum_nodes: 2"):
        (tmp_path / "s.yaml").write_text(f"{change}\n{DESCRIBED}")
        definition = write_manifest(find_protocol(str(tmp_path / "s.yaml"))).definition
        assert definition
        hashes.append(definition.sha256)
    assert hashes[0] == hashes[1] == hashes[2] != hashes[3]


def test_the_definition_of_a_plugin_is_its_source_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / "my_plugin.py"
    module.write_text("from benchmark.protocols.etcd import Etcd\nclass Mine(Etcd): name = 'mine'\n")
    mine = importlib.import_module("my_plugin").Mine
    first = write_manifest(mine).definition
    module.write_text(module.read_text() + "# changed\n")
    second = write_manifest(mine).definition
    assert first
    assert second
    assert str(first.content["source code"]).startswith("my_plugin, sha256 ")
    assert first.sha256 != second.sha256


def test_no_credentials_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["geobench", "run", f"--repository=https://{TOKEN}@x.org/a"])
    text = write_manifest().to_json()
    assert TOKEN not in text
    assert "--repository=https://x.org/a" in text


def test_each_binary_has_its_hash() -> None:
    artifact = write_manifest().artifact
    assert artifact is not None
    assert artifact.variants["x86_64"].files["etcd"].sha256 == "b" * 64


def test_versions_of_all_components_are_recorded() -> None:
    found = versions()
    assert found["fabric"].count(".") >= 1
    assert found["geobench"] == full_version()
    assert set(found) > {"geobench", "python", "fabric", "numpy"}


def test_no_value_from_the_environment_is_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GEOBENCH_TEST_PHRASE", "battery staple")
    system = tmp_path / "x.yaml"
    system.write_text(
        "name: x\nnode_parameters: {phrase: ''}\n"
        "node:\n  ports: {http: 8000}\n  files: {a.conf: '{{ parameters.phrase }}'}\n"
        "  command: [serve, '{{ parameters.phrase }}']\n  environment: {PHRASE: '{{ parameters.phrase }}'}\n"
        "  ready: 'tcp {{ ports.http }}'\n"
        "load: {url: 'http://{{ nearest.address }}:{{ ports.http }}'}\n"
    )
    path = tmp_path / "s.yaml"
    path.write_text(f"regions: [a, b]\nprotocol: {system}\nnode_parameters: {{phrase: '${{GEOBENCH_TEST_PHRASE}}'}}\n")
    settings = load_settings(path)
    kind = find_protocol(str(system))
    assert settings.node_parameters == {"phrase": "battery staple"}
    text = write_manifest(kind, settings).to_json()
    assert "staple" not in text
    assert text.count("${GEOBENCH_TEST_PHRASE}") >= 4
