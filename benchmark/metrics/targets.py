"""Write the scrape targets of a run and the marks of its phases in the formats of Prometheus."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict
from urllib.parse import parse_qsl

from benchmark.errors import UsageError
from benchmark.host_layout import NODE_EXPORTER_PORT
from benchmark.inventory import Host

Job = Literal["host", "node", "client"]
Identity = tuple[str, str, str]
"""Job, host and address of a target."""
JOBS: tuple[Job, ...] = ("host", "node", "client")
"""Node exporters, nodes of the system under test, load generators."""
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
"""Escapes in label values: https://prometheus.io/docs/instrumenting/exposition_formats/"""


@dataclass(frozen=True)
class Endpoint:
    """HTTP endpoint at which a node or client serves its metrics."""

    host: str
    port: int
    job: Literal["node", "client"]
    path: str = "/metrics"
    """May have a query string."""


@dataclass(frozen=True)
class Mark:
    """An event of a run that the dashboards show; `time` in Unix seconds."""

    time: float
    kind: Literal["phase", "fault"]
    name: str
    detail: str = ""


class TargetGroup(TypedDict):
    """One entry of a target file."""

    targets: list[str]
    labels: dict[str, str]


def targets(hosts: Sequence[Host], endpoints: Iterable[Endpoint]) -> dict[str, str]:
    """Return the target files of a run by their names in TARGETS_DIRECTORY.

    Every host with an address is a target of job `host`. A job without targets gets an empty file, which replaces that
    of an earlier run. Format (of file_sd): https://prometheus.io/docs/prometheus/latest/http_sd/
    UsageError if the host of an endpoint is unknown, or its path cannot be scraped.
    """
    by_name = {host.name: host for host in hosts}
    groups: dict[Job, list[TargetGroup]] = {job: [] for job in JOBS}
    groups["host"] = [_target(host, "host", NODE_EXPORTER_PORT) for host in hosts if host.address]
    for endpoint in endpoints:
        if endpoint.host not in by_name:
            raise UsageError(f"no host named {endpoint.host!r} to scrape; the hosts are: {', '.join(by_name)}")
        groups[endpoint.job].append(_target(by_name[endpoint.host], endpoint.job, endpoint.port, endpoint.path))
    return {f"{job}.json": json.dumps(group, indent=1) + "\n" for job, group in groups.items()}


def identities(hosts: Iterable[Host], endpoints: Iterable[Endpoint]) -> set[Identity]:
    """Return the (job, host, address) of each target of a run, which identify its series.

    The name alone does not: restarted hosts may get each other's addresses, and until Prometheus has read the new
    target files it scrapes them under the former names.
    """
    by_name = {host.name: host for host in hosts}
    found = {("host", host.name, host.endpoint(NODE_EXPORTER_PORT)) for host in by_name.values()}
    return found | {(one.job, one.host, by_name[one.host].endpoint(one.port)) for one in endpoints}


def identity_of(labels: Mapping[str, str]) -> Identity:
    """Return the (job, host, address) of the target with these labels."""
    return labels.get("job", ""), labels.get("host", ""), labels.get("instance", "")


def _target(host: Host, job: Job, port: int, path: str = "/metrics") -> TargetGroup:
    labels = {"job": job, "host": host.name, "region": host.region, "role": host.role}
    return {"targets": [host.endpoint(port)], "labels": labels | path_labels(path)}


def path_labels(path: str) -> dict[str, str]:
    """Return the labels with which Prometheus scrapes `/PATH?NAME=VALUE`; UsageError if it cannot."""
    path, _, query = path.partition("?")
    labels = {"__metrics_path__": path} if path != "/metrics" else {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        label = f"__param_{name}"
        if not re.fullmatch(r"[A-Za-z0-9_]+", name) or label in labels:
            raise UsageError(
                f"cannot scrape {path}?{query}: found parameter {name!r}{' twice' if label in labels else ''}, "
                "Prometheus takes names of letters, digits and underscores, each once"
            )
        labels[label] = value
    return labels


def marks(run: str, events: Iterable[Mark]) -> str:
    """Return the marks of `run` in Prometheus' text format, for the textfile collector of a node exporter."""
    lines = [
        "# HELP run_mark_time_seconds Start of a phase or fault of a run, Unix seconds.",
        "# TYPE run_mark_time_seconds gauge",
    ]
    for event in events:
        labels = {"run": run, "kind": event.kind, "mark": event.name, "detail": event.detail}
        shown = ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels.items())
        lines.append(f"run_mark_time_seconds{{{shown}}} {event.time:.3f}")
    return "\n".join(lines) + "\n"
