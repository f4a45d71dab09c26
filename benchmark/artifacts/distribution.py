"""Bringing an artifact from hosts that have it to those that lack it, within the testbed (share.py)."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

from benchmark.artifacts.store import FOLDER, File
from benchmark.errors import HostError
from benchmark.host_scripts import read_script
from benchmark.inventory import Host
from benchmark.remote.fleet import Fleet, Session, Sessions

_START_DEADLINE_S = 60.0
_SLOWEST_BYTES_PER_S = 1 << 20
_BRANCHES = 2
_LOOK_S = 0.01


def sources(root: Host, receivers: Sequence[Host], rtt_ms: Mapping[tuple[str, str], float]) -> dict[str, Host]:
    """Say from whom each receiver gets the artifact while that one still gets it: a tree over regions, and in each one.

    Every byte enters a region once, from the nearest region that is free, as one connection is the slower the longer
    the round trip. A host feeds at most two others of its region, and the first of a region two other regions as well.
    """
    regions: dict[str, list[Host]] = {root.region: [root]}
    for host in receivers:
        regions.setdefault(host.region, []).append(host)
    found: dict[str, Host] = {}
    placed = {root.region: 0}
    for region in sorted(regions.keys() - placed, key=lambda name: (rtt_ms.get((root.region, name), 0.0), name)):
        free = [name for name, fed in placed.items() if fed < _BRANCHES]
        nearest = min(free, key=lambda name: rtt_ms.get((name, region), 0.0))
        found[regions[region][0].name] = regions[nearest][0]
        placed[nearest] += 1
        placed[region] = 0
    for hosts in regions.values():
        found |= {host.name: hosts[(index - 1) // _BRANCHES] for index, host in enumerate(hosts) if index}
    return found


def distribute(
    fleet: Fleet,
    working_dir: str,
    name: str,
    root: Host,
    receivers: Sequence[Host],
    rtt_ms: Mapping[tuple[str, str], float],
) -> tuple[dict[str, File], dict[str, float]]:
    """Bring the artifact called `name` from `root` to `receivers`; return its files, and seconds by host.

    Every host passes on what it has received so far, and what it has is verified before it gets its name. The servers
    end with this call, or with the operator's connection. Raises HostError.
    """
    hosts = [root, *receivers]
    folder = f"{working_dir}/{FOLDER}"
    script = {f"{folder}/share.py": read_script("share.py").encode()}
    fleet.put({host.name: script for host in hosts}, deadline=_START_DEADLINE_S).raise_for_failures(
        "hosts cannot take an artifact:"
    )
    opened = fleet.open(
        f"exec python3 {folder}/share.py {folder} {name}",
        hosts=[host.name for host in hosts],
        deadline=_START_DEADLINE_S,
    )
    transfer = _Transfer(opened.ok)
    try:
        opened.raise_for_failures("hosts cannot share an artifact:")
        return transfer.run(root, sources(root, receivers, rtt_ms))
    finally:
        transfer.end()


class _Transfer:
    """The conversation with the servers of all hosts."""

    def __init__(self, sessions: Mapping[str, Session]) -> None:
        self._sessions = sessions
        self._watched = Sessions(sessions.values())
        self._answers: dict[str, dict[str, Any]] = {}

    def run(self, root: Host, parents: Mapping[str, Host]) -> tuple[dict[str, File], dict[str, float]]:
        token = secrets.token_hex(16)
        ports = self._ask({name: {"token": token} for name in self._sessions}, "port", _START_DEADLINE_S)
        files = self._answers[root.name]["files"]
        orders = {}
        for name, parent in parents.items():
            chosen = {each.name: each for each in (parent, root)}.values()
            orders[name] = {"files": files, "sources": [[each.address, ports[each.name]] for each in chosen]}
        total = sum(length for *_, extents in files for _, length in extents)
        limit = _START_DEADLINE_S + total / _SLOWEST_BYTES_PER_S
        seconds = self._ask(orders, "done", limit)
        return {name: File(sha256, size) for name, size, sha256, _ in files}, seconds

    def end(self) -> None:
        for session in self._sessions.values():
            session.close()

    def _ask(self, orders: Mapping[str, Any], wanted: str, deadline_s: float) -> dict[str, Any]:
        """Tell hosts something and wait until each has answered with `wanted`; return the answers."""
        for name, order in orders.items():
            self._sessions[name].send(json.dumps(order) + "\n")
        ends = time.monotonic() + deadline_s
        while missing := {name for name in orders if wanted not in self._answers.get(name, {})}:
            failed = self._failures(missing)
            left = ends - time.monotonic()
            if not failed and left <= 0:
                failed = dict.fromkeys(missing, f"did not have it after {deadline_s:.0f} s")
            if failed:
                raise HostError("an artifact did not reach hosts:", failed)
            self._watched.wait(min(left, _LOOK_S))
            for name in missing:
                for line in self._sessions[name].read_lines():
                    self._answers.setdefault(name, {}).update(json.loads(line))
        return {name: self._answers[name][wanted] for name in orders}

    def _failures(self, names: set[str]) -> dict[str, str]:
        failed = {name: self._answers[name]["failed"] for name in names if "failed" in self._answers.get(name, {})}
        for name in names - failed.keys():
            if (session := self._sessions[name]).ended:
                failed[name] = session.stderr.strip()[-300:] or session.failure or "its server ended"
        return failed
