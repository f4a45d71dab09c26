"""Copy an artifact between the hosts of a testbed, with share.py."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict

from benchmark.artifacts.store import FOLDER, File
from benchmark.errors import HostError
from benchmark.host_scripts import read_script
from benchmark.inventory import Host
from benchmark.remote.deadlines import INSPECT_S
from benchmark.remote.fleet import Fleet, Session, Sessions

_SLOWEST_BYTES_PER_S = 1 << 20
_BRANCHES = 2
_POLL_S = 0.01


def sources(root: Host, receivers: Sequence[Host], rtt_ms: Mapping[tuple[str, str], float]) -> dict[str, Host]:
    """Return the host that each receiver copies from: a tree over regions, and a tree within each region.

    Every byte enters a region once, from the nearest available region, because a connection is slower the longer its
    round trip. Hosts forward what they are still receiving. A host serves at most two others in its region, and the
    first host of a region also serves at most two other regions.
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
    """Copy the artifact `name` from `root` to `receivers`; return its files, and seconds by host.

    Each host verifies the files before the artifact appears under its name. The servers end with this call, or with
    the operator's connection. Raises HostError.
    """
    hosts = [root, *receivers]
    folder = f"{working_dir}/{FOLDER}"
    script = {f"{folder}/share.py": read_script("share.py").encode()}
    fleet.put({host.name: script for host in hosts}, deadline=INSPECT_S).raise_for_failures(
        "could not upload share.py to:"
    )
    opened = fleet.open(
        f"exec python3 {folder}/share.py {folder} {name}",
        hosts=[host.name for host in hosts],
        deadline=INSPECT_S,
    )
    transfer = _Transfer(opened.ok)
    try:
        opened.raise_for_failures("could not start share.py on:")
        return transfer.run(root, sources(root, receivers, rtt_ms))
    finally:
        transfer.end()


class _Reply(TypedDict, total=False):
    """What share.py has replied so far."""

    port: int
    files: list[tuple[str, int, str, list[list[int]]]]
    done: float
    failed: str


class _Transfer:
    """The conversation with share.py on every host."""

    def __init__(self, sessions: Mapping[str, Session]) -> None:
        self._sessions = sessions
        self._watched = Sessions(sessions.values())
        self._replies: dict[str, _Reply] = {name: {} for name in sessions}

    def run(self, root: Host, parents: Mapping[str, Host]) -> tuple[dict[str, File], dict[str, float]]:
        """Copy from `root` to the hosts in `parents`; return the files, and seconds by host."""
        token = secrets.token_hex(16)
        self._request({name: {"token": token} for name in self._sessions}, "port", INSPECT_S)
        files = self._replies[root.name]["files"]
        requests = {}
        for name, parent in parents.items():
            chosen = {each.name: each for each in (parent, root)}.values()
            addresses = [[each.address, self._replies[each.name]["port"]] for each in chosen]
            requests[name] = {"files": files, "sources": addresses}
        total = sum(length for *_, extents in files for _, length in extents)
        self._request(requests, "done", INSPECT_S + total / _SLOWEST_BYTES_PER_S)
        seconds = {name: self._replies[name]["done"] for name in parents}
        return {name: File(sha256, size) for name, size, sha256, _ in files}, seconds

    def end(self) -> None:
        """Close all sessions, which ends the servers."""
        for session in self._sessions.values():
            session.close()

    def _request(self, requests: Mapping[str, object], reply: Literal["port", "done"], deadline_s: float) -> None:
        """Send a request to each host and wait until all have replied; HostError for those that fail or do not."""
        for name, request in requests.items():
            self._sessions[name].send(json.dumps(request) + "\n")
        ends = time.monotonic() + deadline_s
        while missing := {name for name in requests if reply not in self._replies[name]}:
            failed = {}
            for name in missing:
                session = self._sessions[name]
                if "failed" in self._replies[name]:
                    failed[name] = self._replies[name]["failed"]
                elif session.ended:
                    failed[name] = session.stderr.strip()[-300:] or session.failure or "its server ended"
            left = ends - time.monotonic()
            if not failed and left <= 0:
                failed = dict.fromkeys(missing, f"not complete after {deadline_s:.0f} s")
            if failed:
                raise HostError("could not copy the artifact to:", failed)
            self._watched.wait(min(left, _POLL_S))
            for name in missing:
                for line in self._sessions[name].read_lines():
                    self._replies[name].update(json.loads(line))
