"""All that is needed to know what a run was, and to do it again: how it is written, and what is read from it."""

from __future__ import annotations

import dataclasses
import platform
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import benchmark
from benchmark.settings import redact

if TYPE_CHECKING:
    from benchmark.inventory import Inventory
    from benchmark.orchestrator.prepare import Prepared
    from benchmark.plan.request import Request
    from benchmark.protocols.process import Plan, Process
    from benchmark.results.summary import Identity

_DEPENDENCIES = ("fabric", "paramiko", "prometheus-api-client", "numpy", "pyarrow", "pydantic")


def manifest(
    request: Request, inventory: Inventory, plan: Plan, prepared: Prepared, identity: Identity
) -> dict[str, Any]:
    """Return the manifest of a run before it began: what was asked for, where, and of what versions."""
    protocol = request.protocol
    return {
        "schema": 1,
        "run_id": identity.run_id,
        "name": request.name,
        "protocol": protocol.name,
        "metrics": dataclasses.asdict(protocol.metrics),
        "commit": prepared.commit,
        "packages": dict(prepared.packages),
        "artifact": prepared.installed.to_manifest() if prepared.installed else None,
        "parameters": {
            **request.parameters,
            "load_tps": plan.load,
            "offered_tps": plan.scheduled_tps,
            "shares_tps": list(plan.shares),
            "duration_s": request.duration_s,
            "warm_up_s": request.warm_up_s,
            "profile": request.profile,
            "node_parameters": protocol.node_parameters.model_dump(mode="json"),
            "client_parameters": protocol.client_parameters.model_dump(mode="json"),
        },
        "placement": {
            "nodes": [host.name for host in plan.nodes],
            "clients": [host.name for host in plan.clients],
            "processes": {p.name: _process(p) for p in (*protocol.nodes(plan), *protocol.clients(plan))},
        },
        "rtt_ms": {f"{a}/{b}": milliseconds for (a, b), milliseconds in plan.rtt_ms.items()},
        "inventory": inventory.model_dump(mode="json"),
        "hosts": {name: _facts(dataclasses.asdict(facts)) for name, facts in prepared.facts.items()},
        "versions": versions(),
        "command": [redact(word) for word in sys.argv],
        "faults": [],
    }


def versions() -> dict[str, str]:
    """Versions of this tool and of what it drives."""
    found = {"geobench": benchmark.__version__, "python": platform.python_version()}
    for name in _DEPENDENCIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found


def _process(process: Process) -> dict[str, Any]:
    return {"host": process.host.name, "argv": list(process.argv), "environment": dict(process.environment)}


def _facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name not in ("listening", "rtt_ms")}
