"""Describe the probe workload of `--verify`: how replicas are read and written, and the process on a host."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from benchmark.host_scripts import read_script
from benchmark.inventory import Host
from benchmark.protocols.process import Plan, Process

HISTORY = "history.jsonl"
"""The file in the process's folder that has all operations."""
_SCRIPT = "probe_workload.py"
_CLIENTS, _KEYS, _RATE = 8, 10, 100
"""Few keys, each with several operations in flight, at a rate that the load hardly notices."""
_RATE_OF_COMMANDS = 20
"""To start a command costs much more than to send a request."""
_TIMEOUT_S, _READ_BACK_S = 5, 10
_GRACE_S = 2 * _TIMEOUT_S + _READ_BACK_S
"""For the operations in flight, and for reading all keys back, the last of which may begin just in time."""


@dataclass(frozen=True)
class Operation:
    """How one operation on a key is sent, as an HTTP request or as a command, and how its response is understood.

    `url`, `body` and the words of `command` have placeholders such as `{{key}}` or `{{key:base64}}`: `key`, the `value`
    of a write or compare-and-swap, and the `expected` one of a compare-and-swap. A response is one text: the HTTP
    status or the exit code, a space, and the body or what the command printed. Exactly one pattern must match it, or
    the outcome is unknown.
    """

    done: str
    """Pattern: the value was read (group 1), written or swapped; counts only for a status of 2xx, or exit code 0."""
    otherwise: str = ""
    """Pattern: the key does not exist, or had another value than was expected."""
    failed: str = ""
    """Pattern: the operation had no effect, and never will."""
    url: str = ""
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    command: tuple[str, ...] = ()
    """Runs on the host of the probe workload; used instead of `url`."""
    base64: bool = False
    """Whether a read returns the value in base64."""


@dataclass(frozen=True)
class KeyValueApi:
    """The operations on one key that a replica offers; together, those of all replicas must be linearizable."""

    read: Operation
    write: Operation
    cas: Operation | None = None
    """Compare-and-swap, where there is one."""


def prober(plan: Plan) -> Host:
    """Return the host of the probe workload: that of the first client."""
    return (plan.clients or plan.nodes)[0]


def probe(replicas: Sequence[KeyValueApi], plan: Plan) -> Process:
    """Return the process that probes the replicas, one of each node, from the host of the first client."""
    commands = any(replica.read.command or replica.write.command for replica in replicas)
    config = {
        "replicas": [
            {"node": f"node-{index}", **{name: each for name, each in asdict(replica).items() if each}}
            for index, replica in enumerate(replicas)
        ],
        "clients": _CLIENTS,
        "keys": _KEYS,
        "rate": _RATE_OF_COMMANDS if commands else _RATE,
        "timeout_s": _TIMEOUT_S,
        "read_back_s": _READ_BACK_S,
        "seed": 1,
    }
    return Process(
        name="probe",
        job="probe",
        host=prober(plan),
        argv=("python3", "-I", "-S", _SCRIPT, "--config", "config.json"),
        files={"config.json": json.dumps(config, indent=1), _SCRIPT: read_script(_SCRIPT)},
        grace=_GRACE_S,
    )
