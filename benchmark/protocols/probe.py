"""Describe the probe workload of `--verify`: how replicas are read and written, and the process on a host."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from benchmark.host_scripts import read_script
from benchmark.protocols.process import Plan, Process

HISTORY = "history.jsonl"
"""The file in the process's folder that has all operations."""
_SCRIPT = "probe_workload.py"
_CLIENTS, _KEYS, _RATE = 8, 10, 100
"""Few keys, each with several operations in flight, at a rate that the load hardly notices."""
_TIMEOUT_S, _READ_BACK_S = 5, 10
_GRACE_S = 2 * _TIMEOUT_S + _READ_BACK_S
"""For the operations in flight, and for reading all keys back, the last of which may begin just in time."""


@dataclass(frozen=True)
class ProbeRequest:
    """An HTTP request for one operation; `path` and `body` have placeholders such as `{{key}}` or `{{key:base64}}`.

    The placeholders are `key`, `value` of a write or compare-and-swap, and `expected` of a compare-and-swap.
    """

    body: str
    path: str
    done: str
    """Pattern in the body of a response: the value was read (group 1), written or swapped."""
    otherwise: str = ""
    """Pattern otherwise: the key does not exist, or had another value than was expected."""
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


@dataclass(frozen=True)
class KeyValueApi:
    """The operations on one key that every replica offers over HTTP at `port`; all three must be linearizable."""

    port: int
    read: ProbeRequest
    write: ProbeRequest
    cas: ProbeRequest
    base64: bool = False
    """Whether reads return values in base64."""


def probe(api: KeyValueApi, plan: Plan) -> Process:
    """Return the process that probes the replicas from the host of the first client."""
    host = (plan.clients or plan.nodes)[0]
    config = {
        # By loopback on the same host: clouds route its public address through the internet.
        "replicas": [f"127.0.0.1:{api.port}" if node == host else node.endpoint(api.port) for node in plan.nodes],
        "requests": {name: asdict(getattr(api, name)) for name in ("read", "write", "cas")},
        "base64": api.base64,
        "clients": _CLIENTS,
        "keys": _KEYS,
        "rate": _RATE,
        "timeout_s": _TIMEOUT_S,
        "read_back_s": _READ_BACK_S,
        "seed": 1,
    }
    return Process(
        name="probe",
        job="probe",
        host=host,
        argv=("python3", "-I", "-S", _SCRIPT, "--config", "config.json"),
        files={"config.json": json.dumps(config, indent=1), _SCRIPT: read_script(_SCRIPT)},
        grace=_GRACE_S,
    )
