"""Counters of the emulator's workers, their sum in Prometheus' text format, and the process that writes it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypedDict

BOUNDS_S = (1e-4, 2e-4, 3e-4, 5e-4, 7e-4, 1e-3, 1.5e-3, 2e-3, 3e-3, 5e-3, 1e-2, 2e-2, 5e-2, 1e-1)
"""Upper bounds of the buckets of wan_lateness_seconds."""


class Counters(TypedDict):
    """What one worker has counted since it started."""

    worker: str
    """Identifies the process."""
    unchanged_since: float
    packets: int
    bytes: int
    late: list[int]
    """Deliveries in each bucket of BOUNDS_S, and beyond."""
    late_sum: float
    dropped: dict[str, int]


def exposition(workers: Iterable[Counters]) -> str:
    """Return the sum of all workers in Prometheus' text format; those that died keep what they counted."""
    counted = list(workers)
    late = [sum(bucket) for bucket in zip(*(each["late"] for each in counted), strict=True)]
    dropped: Counter[str] = Counter()
    for each in counted:
        dropped.update(each["dropped"])
    lines = ["# TYPE wan_lateness_seconds histogram"]
    total = 0
    for bound, count in zip((*BOUNDS_S, "+Inf"), late, strict=True):
        total += count
        lines.append(f'wan_lateness_seconds_bucket{{le="{bound}"}} {total}')
    lines += [f"wan_lateness_seconds_sum {sum(each['late_sum'] for each in counted):.6f}"]
    lines += [f"wan_lateness_seconds_count {total}"]
    lines += ["# TYPE wan_unchanged_since_seconds gauge"]
    lines += [f"wan_unchanged_since_seconds {max(each['unchanged_since'] for each in counted):.3f}"]
    lines += ["# TYPE wan_packets_total counter", f"wan_packets_total {sum(each['packets'] for each in counted)}"]
    lines += ["# TYPE wan_bytes_total counter", f"wan_bytes_total {sum(each['bytes'] for each in counted)}"]
    lines.append("# TYPE wan_dropped_packets_total counter")
    lines += [f'wan_dropped_packets_total{{reason="{reason}"}} {n}' for reason, n in sorted(dropped.items())]
    return "\n".join(lines) + "\n"


def writer(path: Path) -> Callable[[Counters], None]:
    """Start a process that writes the sum of what workers report to `path`, so that a slow disk delays no packet.

    It ends with the last process that has the returned function.
    """
    mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        os.closerange(3, its.fileno())  # it must not keep the interfaces of hosts
        os.closerange(its.fileno() + 1, os.sysconf("SC_OPEN_MAX"))
        found: dict[str, Counters] = {}
        partial = path.with_suffix(".partial")
        while text := its.recv(65536):
            counters: Counters = json.loads(text)
            found[counters["worker"]] = counters
            partial.write_text(exposition(found.values()), encoding="utf-8")
            partial.replace(path)
        os._exit(0)
    its.close()
    mine.setblocking(False)

    def report(counters: Counters) -> None:
        with contextlib.suppress(OSError):
            mine.send(json.dumps(counters).encode())

    return report
