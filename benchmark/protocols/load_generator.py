"""The offered load: how it is split over clients so that nothing of it is lost, and the generator that offers it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from pydantic import BaseModel, Field

from benchmark.host_scripts import build_load_generator
from benchmark.inventory import Host
from benchmark.protocols.process import Plan, Process
from benchmark.settings import Duration

METRICS_PORT = 18600


class LoadGenerator(BaseModel, extra="forbid", frozen=True, use_attribute_docstrings=True):
    """`client_parameters` that every use of the project's load generator has."""

    timeout: Duration = timedelta(seconds=10)
    """A request without an answer after this time counts as an error."""
    max_connections: int = Field(default=1024, ge=1, le=20_000)
    """Connections of one client; when all are busy requests wait, and their wait counts."""


@dataclass(frozen=True)
class HttpRequest:
    """What one transaction is: a request; the body's placeholders (`{{key:10:base64}}`) are filled anew for each."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""


def split(load: int, parts: int, step: int = 1) -> tuple[int, ...]:
    """Split `load` (tx/s) into `parts` multiples of `step` that differ by at most one step.

    They sum exactly to `load`, or where it is no multiple of `step` to the nearest one, at least one step.
    """
    whole, extra = divmod(max(1, round(load / step)), parts)
    return tuple(step * (whole + 1 if index < extra else whole) for index in range(parts))


def nearest(client: Host, nodes: tuple[Host, ...], index: int) -> Host:
    """The node on the client's own host, else one of its region, else by turn."""
    same_host = [node for node in nodes if node.name == client.name]
    same_region = [node for node in nodes if node.region == client.region]
    choices = same_host or same_region or list(nodes)
    return choices[index % len(choices)]


def generators(
    plan: Plan, workload: str, requests: Sequence[HttpRequest], parameters: LoadGenerator
) -> tuple[Process, ...]:
    """Describe the load generator of each client of `plan`; client i sends `requests[i]`."""
    return tuple(
        _generator(plan, index, workload, request, parameters)
        for index, request in zip(range(len(plan.clients)), requests, strict=True)
    )


def _generator(plan: Plan, index: int, workload: str, request: HttpRequest, parameters: LoadGenerator) -> Process:
    name = f"client-{index}"
    config = {
        "workload": workload,
        **_schedule(plan, index),
        "requests": {"method": request.method, "url": request.url, "headers": request.headers, "body": request.body},
        "timeout_s": parameters.timeout.total_seconds(),
        "max_connections": parameters.max_connections,
        "listen": f"0.0.0.0:{METRICS_PORT}",
        "seed": int.from_bytes(name.encode()[-4:]),
    }
    return Process(
        name=name,
        job="client",
        host=plan.clients[index],
        argv=("python3", "-I", "-S", "load_generator.pyz", "--config", "config.json"),
        files={"config.json": json.dumps(config, indent=1), "load_generator.pyz": build_load_generator()},
        ports=(METRICS_PORT,),
        metrics_port=METRICS_PORT,
        ready=f"http {METRICS_PORT} /metrics",
        grace=2,
    )


def _schedule(plan: Plan, index: int) -> dict[str, object]:
    """The client's rate or profile, and its phase: the requests of all clients interleave evenly."""
    share, total = plan.shares[index], plan.scheduled_tps
    if not plan.profile:
        return {"rate": share, "offset_s": index / total}
    first = next((low + high) / 2 for _, low, high in plan.profile if low + high)
    pieces = [[start, share * low, share * high] for start, low, high in plan.profile]
    return {"profile": pieces, "offset_s": index / (total * first)}
