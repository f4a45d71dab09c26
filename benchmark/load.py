"""The offered load: how it is split over clients so that nothing of it is lost, and the generator that offers it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path

from pydantic import BaseModel, Field

from benchmark.inventory import Host
from benchmark.protocols import Process
from benchmark.settings import Duration

METRICS_PORT = 18600
_SCRIPT = Path(__file__).resolve().parent.parent / "assets" / "load_generator.py"


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


def offsets(shares: tuple[int, ...]) -> tuple[float, ...]:
    """Phase of each client's schedule in seconds, so that the requests of all clients interleave evenly."""
    total = sum(shares)
    return tuple(index / total if total else 0.0 for index in range(len(shares)))


def generator(
    name: str, host: Host, workload: str, share: int, offset: float, request: HttpRequest, parameters: LoadGenerator
) -> Process:
    """Describe one load generator that offers `share` tx/s, `offset` seconds into the common schedule."""
    config = {
        "workload": workload,
        "rate": share,
        "offset_s": offset,
        "requests": {"method": request.method, "url": request.url, "headers": request.headers, "body": request.body},
        "timeout_s": parameters.timeout.total_seconds(),
        "max_connections": parameters.max_connections,
        "listen": f"0.0.0.0:{METRICS_PORT}",
        "seed": int.from_bytes(name.encode()[-4:]),
    }
    return Process(
        name=name,
        job="client",
        host=host,
        argv=("python3", "-I", "load_generator.py", "--config", "config.json"),
        files={"config.json": json.dumps(config, indent=1), "load_generator.py": _script()},
        ports=(METRICS_PORT,),
        metrics_port=METRICS_PORT,
        ready=f"http {METRICS_PORT} /metrics",
        grace=2,
    )


@cache
def _script() -> str:
    return _SCRIPT.read_text(encoding="utf-8")
