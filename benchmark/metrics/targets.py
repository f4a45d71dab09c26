"""Scrape targets of a run and the marks of its phases, in the formats that Prometheus reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from benchmark.errors import UsageError
from benchmark.host_layout import NODE_EXPORTER_PORT
from benchmark.inventory import Host

if TYPE_CHECKING:  # numpy, requests and pyarrow take 0.1 s each to import: only commands that use them pay
    pass


Job = Literal["host", "node", "client"]
JOBS: tuple[Job, ...] = ("host", "node", "client")
"""Node exporters, nodes of the system under test, load generators."""


@dataclass(frozen=True)
class Endpoint:
    """Where a node or a client of a run serves its metrics over HTTP."""

    host: str
    port: int
    job: Literal["node", "client"]
    path: str = "/metrics"


@dataclass(frozen=True)
class Mark:
    """Something that happened during a run and is shown in the dashboards; `time` in Unix seconds."""

    time: float
    kind: Literal["phase", "fault"]
    name: str
    detail: str = ""


def targets(hosts: Sequence[Host], endpoints: Iterable[Endpoint]) -> dict[str, str]:
    """Return the target files of a run: file name in TARGETS_DIRECTORY to content, the same for the same run.

    Every host with an address is a target of job `host`. Files of jobs without targets are there, and empty,
    so that they replace those of an earlier run. Format: https://prometheus.io/docs/prometheus/latest/http_sd/
    (that of file_sd). UsageError if an endpoint's host is unknown.
    """
    by_name = {host.name: host for host in hosts}
    groups: dict[Job, list[dict[str, Any]]] = {job: [] for job in JOBS}
    groups["host"] = [_target(host, "host", NODE_EXPORTER_PORT) for host in hosts if host.address]
    for endpoint in endpoints:
        if endpoint.host not in by_name:
            raise UsageError(f"no host named {endpoint.host!r} to scrape; the hosts are: {', '.join(by_name)}")
        groups[endpoint.job].append(_target(by_name[endpoint.host], endpoint.job, endpoint.port, endpoint.path))
    return {f"{job}.json": json.dumps(group, indent=1) + "\n" for job, group in groups.items()}


def identities(hosts: Iterable[Host], endpoints: Iterable[Endpoint]) -> set[tuple[str, str, str]]:
    """Return the (job, host, address) of the targets of a run, by which its series are told from all others.

    Hosts that were stopped may come back with each other's addresses, and until Prometheus has read the new targets it
    scrapes them under the names that these addresses had.
    """
    by_name = {host.name: host for host in hosts}
    found = {("host", host.name, host.endpoint(NODE_EXPORTER_PORT)) for host in by_name.values()}
    return found | {(one.job, one.host, by_name[one.host].endpoint(one.port)) for one in endpoints}


def _target(host: Host, job: Job, port: int, path: str = "/metrics") -> dict[str, Any]:
    labels = {"job": job, "host": host.name, "region": host.region, "role": host.role}
    if path != "/metrics":
        labels["__metrics_path__"] = path
    return {"targets": [host.endpoint(port)], "labels": labels}


def marks(run: str, events: Iterable[Mark]) -> str:
    """Return the marks of run `run` in Prometheus' text format, for a node exporter's textfile collector."""
    lines = [
        "# HELP run_mark_time_seconds When a phase or a fault of a run began.",
        "# TYPE run_mark_time_seconds gauge",
    ]
    for event in events:
        labels = {"run": run, "kind": event.kind, "mark": event.name, "detail": event.detail}
        shown = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
        lines.append(f"run_mark_time_seconds{{{shown}}} {event.time:.3f}")
    return "\n".join(lines) + "\n"


def _escaped(value: str) -> str:
    """Escape a label value: https://prometheus.io/docs/instrumenting/exposition_formats/"""
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
