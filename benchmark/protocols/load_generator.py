"""Split the load over clients and describe the load generator of each."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta

from pydantic import BaseModel, Field, model_validator

from benchmark.errors import SettingsError
from benchmark.host_scripts import build_archive
from benchmark.host_scripts.load_generator.config import Config
from benchmark.host_scripts.load_generator.fields import ConfigError
from benchmark.inventory import Host
from benchmark.protocols.process import Plan, Process
from benchmark.settings import Duration

METRICS_PORT = 18600
LATENCY_LOG = "latencies.hlog"


class LoadGenerator(BaseModel, extra="forbid", frozen=True, use_attribute_docstrings=True):
    """`client_parameters` of every protocol that uses the project's load generator."""

    timeout: Duration = Field(default=timedelta(seconds=10), ge=timedelta(milliseconds=1))
    """Time after which a request fails, counted from when it was scheduled."""
    max_connections: int = Field(default=1024, ge=1, le=20_000)
    """Connections per client. While all are in use, requests wait, and the wait is part of their latency."""
    processes: int | None = Field(default=None, ge=1, le=256)
    """Processes of each client that send requests; by default as many as its share of the load requires."""

    @model_validator(mode="after")
    def _a_connection_for_each_process(self) -> LoadGenerator:
        if self.processes and self.processes > self.max_connections:
            raise ValueError("expected at most as many `processes` as `max_connections`, because each needs one")
        return self


@dataclass(frozen=True)
class HttpRequest:
    """The request that is one transaction; placeholders in the body (`{{key:10:base64}}`) get new values each time."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    expect: Mapping[str, str] = field(default_factory=dict)
    """`match` and `no_match`: patterns that the body of a response must contain, or must not, to be a success."""
    workload: str = ""
    """Name under which its latencies are recorded, where a client sends several kinds of requests."""
    weight: float = 1.0
    """Its share of all requests, relative to the weights of the others."""
    preload: bool = False
    """Whether the clients send it once for every key before the load; its body has keys of one number."""

    def config(self) -> dict[str, object]:
        """Return the request as the configuration of a load generator has it where it is the only one."""
        fields = {name: value for name, value in asdict(self).items() if value}
        return {name: value for name, value in fields.items() if name not in ("workload", "weight", "preload")}

    def check(self) -> None:
        """Raise SettingsError, with the field first, if the load generator would reject the request on the hosts."""
        try:
            Config({"rate": 1, "requests": self.config() | ({"preload": [0, 1]} if self.preload else {})})
        except ConfigError as error:
            raise SettingsError(str(error).removeprefix("requests.")) from None


def split(load: int, parts: int, step: int = 1) -> tuple[int, ...]:
    """Split `load` (tx/s) into `parts` multiples of `step` that differ by at most one step.

    The parts sum exactly to `load`, or to the nearest multiple of `step`, but at least to one step.
    """
    whole, extra = divmod(max(1, round(load / step)), parts)
    return tuple(step * (whole + 1 if index < extra else whole) for index in range(parts))


def nearest(
    client: Host, nodes: tuple[Host, ...], index: int, rtt_ms: Mapping[tuple[str, str], float] | None = None
) -> Host:
    """Return the node on the client's host, else one in its region, else one in the nearest region.

    `rtt_ms` are the round-trip times between regions, by (from, to); without them all other regions are equally near.
    `index` selects one of several.
    """
    same_host = [node for node in nodes if node.name == client.name]
    same_region = [node for node in nodes if node.region == client.region]
    away = {node.region: (rtt_ms or {}).get((client.region, node.region), math.inf) for node in nodes}
    # Noise must not decide between regions that are equally near, or runs would differ.
    closest = [node for node in nodes if away[node.region] <= 1.1 * min(away.values()) + 1.0]
    choices = same_host or same_region or closest
    return choices[index % len(choices)]


def generators(
    plan: Plan,
    workload: str,
    requests: Sequence[HttpRequest | Sequence[HttpRequest]],
    parameters: LoadGenerator,
) -> tuple[Process, ...]:
    """Return the load generator of each client of `plan`; client i sends `requests[i]`.

    That is one request, whose latencies are those of `workload`, or several with workloads of their own, which are
    sent in random order in proportion to their weights. The offsets of their schedules make the requests of all
    clients interleave evenly.
    """
    found = []
    total: float = plan.scheduled_tps
    if plan.rate_segments:
        total *= next((low + high) / 2 for _, low, high in plan.rate_segments if low + high)
    for index, (host, share, request) in enumerate(zip(plan.clients, plan.shares, requests, strict=True)):
        name = f"client-{index}"
        segments = [[start, share * low, share * high] for start, low, high in plan.rate_segments]
        config = {
            **_requests_config(workload, request, (index, len(plan.clients))),
            **({"profile": segments} if segments else {"rate": share}),
            "offset_s": index / total,
            "timeout_s": parameters.timeout.total_seconds(),
            "max_connections": parameters.max_connections,
            "listen": f"0.0.0.0:{METRICS_PORT}",
            "processes": parameters.processes or 0,
            "latency_log": LATENCY_LOG,
            "seed": int.from_bytes(name.encode()[-4:]),
        }
        process = Process(
            name=name,
            job="client",
            host=host,
            argv=("python3", "-I", "-S", "load_generator.pyz", "--config", "config.json"),
            files={"config.json": json.dumps(config, indent=1), "load_generator.pyz": build_archive("load_generator")},
            ports=(METRICS_PORT,),
            metrics_port=METRICS_PORT,
            ready=f"http {METRICS_PORT} /metrics",
            grace=2,
            latency_log=LATENCY_LOG,
        )
        found.append(process)
    return tuple(found)


def _requests_config(
    workload: str, requests: HttpRequest | Sequence[HttpRequest], part: tuple[int, int]
) -> dict[str, object]:
    """Return the fields for requests; `part` is the index of the client and the number of clients."""
    kinds = [requests] if isinstance(requests, HttpRequest) else requests
    fields = [each.config() | ({"preload": part} if each.preload else {}) for each in kinds]
    if len(kinds) == 1:
        return {"workload": kinds[0].workload or workload, "requests": fields[0]}
    named = zip(kinds, fields, strict=True)
    return {"requests": [{"workload": each.workload, "weight": each.weight, **rest} for each, rest in named]}
