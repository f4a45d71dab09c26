"""Write the manifest of a run."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

from pydantic import JsonValue

from benchmark.faults.record import FaultRecord
from benchmark.inventory import Inventory
from benchmark.measure.warm_up import WarmUp
from benchmark.orchestrator.network import RunNetwork
from benchmark.orchestrator.prepare import Prepared
from benchmark.orchestrator.supervisor import Supervisor
from benchmark.plan.deployment import Deployment
from benchmark.plan.request import Request
from benchmark.protocols.process import Process
from benchmark.results.manifest import (
    ClockOffset,
    DefinitionRecord,
    HostFacts,
    Manifest,
    Parameters,
    PhaseRecord,
    Placement,
    ProcessRecord,
    ProcessState,
    RunTimes,
)
from benchmark.results.summary import Identity
from benchmark.settings import redact, redact_words, redacted
from benchmark.version import full_version

_MOST_CONTENT = 1 << 20
_DEPENDENCIES = ("fabric", "paramiko", "prometheus-api-client", "numpy", "pyarrow", "pydantic")


def make_manifest(
    request: Request, inventory: Inventory, deployment: Deployment, prepared: Prepared, identity: Identity
) -> Manifest:
    """Return the manifest of a run that has not begun: what was requested, where it runs, and with which versions."""
    protocol, plan = request.protocol, deployment.plan
    return Manifest(
        schema=2,
        run_id=identity.run_id,
        name=request.name,
        protocol=protocol.name,
        definition=_definition(protocol.definition()),
        metrics=protocol.metrics,
        quorum=protocol.quorum,
        commit=prepared.commit,
        packages=dict(prepared.packages),
        artifact=prepared.installed.to_record() if prepared.installed else None,
        parameters=Parameters(
            settings=redacted(request.settings.model_dump(mode="json", exclude={"token_file", "repository"})),
            scrape_interval_s=request.settings.scrape_interval.total_seconds(),
            requested_tps=plan.load,
            scheduled_tps=plan.scheduled_tps,
            shares_tps=plan.shares,
            duration_s=request.duration_s,
            warm_up_s=request.warm_up_s,
            load_shape=request.load_shape,
            phases=tuple(
                PhaseRecord(name=phase.name, duration_s=phase.duration.total_seconds()) for phase in request.phases
            ),
            node_parameters=redacted(protocol.node_parameters.model_dump(mode="json")),
            client_parameters=redacted(protocol.client_parameters.model_dump(mode="json")),
        ),
        placement=make_placement(deployment),
        rtt_ms={f"{a}/{b}": milliseconds for (a, b), milliseconds in plan.rtt_ms.items()},
        inventory=inventory,
        hosts={
            name: HostFacts(
                stale_processes=facts.stale_processes,
                cpus=facts.cpus,
                memory_mb=facts.memory_mb,
                memory_free_mb=facts.memory_free_mb,
                disk_free_mb=facts.disk_free_mb,
                kernel=facts.kernel,
                cpu_model=facts.cpu_model,
                os=facts.os,
                boot_id=facts.boot_id,
                packages=dict(facts.packages),
            )
            for name, facts in prepared.facts.items()
        },
        versions=versions(),
        command=tuple(redact_words(sys.argv)),
    )


def make_placement(deployment: Deployment) -> Placement:
    """Return where the processes of a deployment run, and all that they are started with."""
    return Placement(
        nodes=tuple(host.name for host in deployment.plan.nodes),
        clients=tuple(host.name for host in deployment.plan.clients),
        processes={process.name: _process(process) for process in deployment.processes},
        file_contents=_file_contents(deployment.processes),
    )


def with_outcome(
    manifest: Manifest,
    times: RunTimes | None,
    warm_up: WarmUp | None,
    supervised: Supervisor | None,
    network: RunNetwork | None,
    nodes: Sequence[Process],
    timings_s: Mapping[str, float],
    faults: Sequence[FaultRecord] = (),
) -> Manifest:
    """Return the manifest with the facts gathered during the run; `supervised` is None if nothing started."""
    outcome: dict[str, object] = {
        "times": times, "warm_up": warm_up, "timings_s": dict(timings_s), "faults": tuple(faults)
    }  # fmt: skip
    if network:
        outcome["network"] = network.records()
    if supervised:
        outcome |= {
            "start_skew_s": supervised.skew(nodes),
            "clock_offsets_s": {
                host: ClockOffset(**dataclasses.asdict(clock)) for host, clock in supervised.clocks.items()
            },
            "processes": {name: ProcessState(**dataclasses.asdict(life)) for name, life in supervised.states.items()},
        }
    return manifest.model_copy(update=outcome)


def versions() -> dict[str, str]:
    """Return the versions of this tool and of the software that it uses."""
    found = {"geobench": full_version(), "python": platform.python_version()}
    for name in _DEPENDENCIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found


def _definition(content: Mapping[str, JsonValue]) -> DefinitionRecord | None:
    if not content:
        return None
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return DefinitionRecord(sha256=hashlib.sha256(text.encode()).hexdigest(), content=dict(content))


def _process(process: Process) -> ProcessRecord:
    return ProcessRecord(
        host=process.host.name,
        argv=tuple(redact_words(process.argv)),
        environment=redacted(process.environment),
        prepare=tuple(redact_words(process.prepare)),
        ready=redact(process.ready),
        user=process.user,
        files={path: _sha256(content) for path, content in process.files.items()},
    )


def _sha256(content: str | bytes) -> str:
    return hashlib.sha256(redact(content).encode() if isinstance(content, str) else content).hexdigest()


def _file_contents(processes: Sequence[Process]) -> dict[str, str]:
    """Return the texts of all files, each once and without credentials, up to a total size."""
    found: dict[str, str] = {}
    left = _MOST_CONTENT
    for content in (content for process in processes for content in process.files.values()):
        if isinstance(content, str) and (name := _sha256(content)) not in found and len(content) <= left:
            found[name] = redact(content)
            left -= len(content)
    return found
