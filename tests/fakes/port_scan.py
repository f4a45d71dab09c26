"""Try all ports of a host, from this machine or from a machine of an emulated cloud."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from fakes.emulators.machine import Machine
from waiting import wait_for

DEADLINE_S = 180.0

# Needs only the standard library. A port that neither accepts nor refuses is silent; the kernel sends each connection
# request again after a second, so that one lost packet hides no port. Requests are evenly paced, because bursts would
# be lost both times. If two hosts scan each other, a firewall can take the other's request for the answer to its own:
# a port counts as open only if it answers twice.
_SCAN = """
import collections, errno, pathlib, resource, selectors, socket, sys, time
address, a_turn, turn_s, seconds = sys.argv[1], 128, 0.02, 1.5
resource.setrlimit(resource.RLIMIT_NOFILE, (20000, 20000))
for setting in sys.argv[2:]:
    pathlib.Path(setting).write_text("4")

def answers(ports):
    ports, tried, found = collections.deque(ports), collections.deque(), {0: [], errno.ECONNREFUSED: []}
    waiting = selectors.DefaultSelector()
    while ports or tried:
        turn_end = time.monotonic() + turn_s
        for _ in range(min(a_turn, len(ports))):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex((address, ports[0]))
            waiting.register(one, selectors.EVENT_WRITE, ports.popleft())
            tried.append((time.monotonic() + seconds, one))
        over = False
        while not over:
            over = (left := turn_end - time.monotonic()) <= 0
            for key, _ in waiting.select(max(left, 0)):
                found.setdefault(key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), []).append(key.data)
                waiting.unregister(key.fileobj)
                key.fileobj.close()
        while tried and tried[0][0] < turn_end:
            one = tried.popleft()[1]
            if one.fileno() != -1:
                waiting.unregister(one)
                one.close()
    return found[0], found[errno.ECONNREFUSED]

opened, refused = answers(range(1, 65536))
if len(refused) < 100:
    refused = answers(refused)[1]
opened, closed = answers(opened)
print(*opened)
print(len(refused + closed))
"""
# A host's firewall tracks each request for two minutes: a few scans would exceed the kernel's limit.
_FORGET = "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_syn_sent"


@dataclass(frozen=True)
class Ports:
    """Answers of a host's 65535 TCP ports; the others are silent."""

    open: frozenset[int]
    refused: int


# Prints the sender of each datagram until the named one has sent one.
_RECEIVE = """
import socket, sys
there = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
there.bind(("0.0.0.0", int(sys.argv[1])))
origin = ""
while origin != sys.argv[2]:
    origin = there.recvfrom(100)[1][0]
    print(origin)
"""


def senders(target: Machine, port: int, origins: Sequence[Machine]) -> set[str]:
    """Send datagrams to a listening port of a machine, one origin after the other; return the origins that arrive.

    Those of the last origin must arrive: they end the wait.
    """
    listen = ["timeout", "30", "/usr/bin/python3", "-c", _RECEIVE, str(port), origins[-1].address]
    with ThreadPoolExecutor(1) as pool:
        listening = pool.submit(target.enter, listen)
        wait_for(lambda: f":{port} " in target.enter(["ss", "-uln"]).stdout, "the port is listened on")
        for origin in origins:
            origin.enter(["bash", "-c", f"for n in 1 2 3; do echo {{n}} >/dev/udp/{target.address}/{port}; done"])
        done = listening.result()
    assert done.returncode == 0, f"no datagram of {origins[-1].name} arrived"
    return set(done.stdout.split())


def scan(address: str, origin: Machine | None = None) -> Ports:
    """Try every port of an address, from a machine or, without one, from here; 15 s if nothing answers."""
    command = ["/usr/bin/python3", "-c", _SCAN, address]
    if origin is not None:
        done = origin.enter([*command, _FORGET], DEADLINE_S)
    else:
        done = subprocess.run(
            [sys.executable, *command[1:]], capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )
    assert done.returncode == 0, done.stderr
    opened, refused = done.stdout.splitlines()
    return Ports(frozenset(map(int, opened.split())), int(refused))
