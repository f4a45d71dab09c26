"""The runner writes every field of a manifest, and no credentials."""

from __future__ import annotations

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
from benchmark.measure.warm_up import WarmUp
from benchmark.orchestrator.manifest import make_manifest, versions, with_outcome
from benchmark.orchestrator.prepare import Prepared
from benchmark.orchestrator.supervisor import Clock, ProcessState, Supervisor
from benchmark.plan.deployment import deploy
from benchmark.plan.request import Request
from benchmark.protocols.etcd import Etcd
from benchmark.protocols.parameters import make_protocol
from benchmark.protocols.process import Build
from benchmark.results.manifest import Manifest, RunTimes, parse_manifest
from benchmark.results.summary import Identity
from benchmark.settings import Repository, Settings
from benchmark.testbed.facts import Facts
from benchmark.version import full_version

TOKEN = "s3cret"
NEVER_WRITTEN = {"faults"}
"""Fields that stay empty for now: no fault is injected yet."""


def write_manifest() -> Manifest:
    """Write the manifest of a run of which everything is known."""
    hosts = inventory(a=2, b=1)
    settings = Settings(regions=("a", "b"), repository=Repository(url=f"https://{TOKEN}@x.org/a"))
    assert settings.repository is not None
    request = Request(
        protocol=make_protocol(Etcd, settings),
        settings=settings,
        loads=(100,),
        duration_s=20.0,
        warm_up_s=5.0,
        name="first",
        source=settings.repository,
    )
    build = Build(packages=("git",), command="make", outputs=("etcd",), repository="https://x.org/a")
    variant = Variant("a" * 64, {"etcd": File("b" * 64, 7)}, copied_to=("a-1",), builder="a-1", changed=("lock",))
    prepared = Prepared(
        facts={
            host.name: Facts(cpus=2, kernel="6.1", boot_id="b", packages={"etcd-server": "3.4"}) for host in hosts.hosts
        },
        rtt_ms={("a", "b"): 70.0},
        commit="3.4",
        packages={"etcd-server": "3.4"},
        prometheus=cast(Any, None),
        installed=Installed(
            "c" * 40,
            {"x86_64": variant},
            {"a-1": "a" * 64},
            Origin.of(settings.repository),
            Revision("c" * 40, "d" * 40, datetime(2026, 1, 1, tzinfo=UTC)),
            build,
            folder=Path("/binaries"),
        ),
    )
    deployment = deploy(hosts, request, 100, prepared.rtt_ms)
    identity = Identity(run_id="r", protocol="etcd", commit="3.4", nodes=2, clients=2, requested_tps=100.0)
    nodes = deployment.nodes
    supervised = Supervisor({}, nodes, clocks={"a-1": Clock(0.001, 0.002)})
    supervised.states = {process.name: ProcessState(1.0, 2.0, 0) for process in nodes}
    warm_up = WarmUp(seconds=5.0, method="as requested")
    begun = make_manifest(request, hosts, deployment, prepared, identity)
    return with_outcome(begun, RunTimes(load=1.0, start=2.0, end=3.0), warm_up, supervised, nodes, {"overhead": 1.0})


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
    here = ("inventory.", "placement.processes.environment", "metrics.")
    assert [name for name in empty_fields(written) if not name.startswith(here)] == sorted(NEVER_WRITTEN)


def test_written_manifest_can_be_read_back() -> None:
    written = write_manifest()
    assert parse_manifest(written.to_json(), "x") == written


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
