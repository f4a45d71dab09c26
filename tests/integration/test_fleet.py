"""Hosts that vanish from the network, in a separate network namespace."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from fakes.sshd import USER, Sshd

from benchmark.remote.fleet import Fleet, Sessions

pytestmark = pytest.mark.integration

NAMESPACE = f"gone-{os.getpid()}"
LINK = f"gone{os.getpid() % 10**8}"
HERE, THERE = "198.19.255.1", "198.19.255.2"  # from the range reserved for benchmarks (RFC 2544)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def far() -> Iterator[Sshd]:
    """A server at the other end of a link, which `cut` interrupts."""
    ip("netns", "add", NAMESPACE)
    try:
        ip("link", "add", LINK, "type", "veth", "peer", "name", "far", "netns", NAMESPACE)
        ip("addr", "add", f"{HERE}/30", "dev", LINK)
        ip("link", "set", LINK, "up")
        ip("-n", NAMESPACE, "addr", "add", f"{THERE}/30", "dev", "far")
        ip("-n", NAMESPACE, "link", "set", "far", "up")
        with Sshd(address=THERE, namespace=NAMESPACE) as server:
            yield server
    finally:
        # The kernel removes the links of a namespace later; remove this one now.
        subprocess.run(["ip", "link", "del", LINK], check=False, capture_output=True)
        ip("netns", "del", NAMESPACE)


def cut() -> None:
    """Drop all packets silently, as when a machine loses power."""
    ip("-n", NAMESPACE, "addr", "flush", "dev", "far")
    ip("neigh", "replace", THERE, "dev", LINK, "lladdr", "02:00:00:00:00:01")


def test_detects_a_vanished_host_while_idle(far: Sshd) -> None:
    with Fleet([far.host()], USER, far.user_key, timeout=timedelta(seconds=5), retries=0) as fleet:
        sessions = Sessions(fleet.open("cat", deadline=10).raise_for_failures("open").values())
        cut()
        began = time.monotonic()
        (ended,) = sessions.wait(30)
        assert time.monotonic() - began < 25
        assert "the connection was lost" in str(ended.failure)
        assert "no answer within 1 s" in fleet.run("true", deadline=1).failed["host-0"]


def test_host_that_vanishes_during_a_transfer_delays_no_other(far: Sshd, server: Sshd, tmp_path: Path) -> None:
    hosts = [far.host("far"), server.host("near")]
    # The far server sees the files of this machine; it accepts the near one's key.
    (far.folder / "user_key.pub").write_text(
        (server.folder / "user_key.pub").read_text(encoding="utf-8"), encoding="utf-8"
    )
    with Fleet(hosts, USER, server.user_key, timeout=timedelta(seconds=5), retries=0) as fleet:
        fleet.connect().raise_for_failures("connect")
        cut()
        began = time.monotonic()
        content = bytes(64 << 20)
        results = fleet.put({"far": {f"{tmp_path}/far": content}, "near": {f"{tmp_path}/near": b"here"}}, deadline=2)
        assert time.monotonic() - began < 6
        assert "no answer within 2 s" in results.failed["far"]
        assert list(results.ok) == ["near"]
        assert (tmp_path / "near").read_bytes() == b"here"
        began = time.monotonic()
    assert time.monotonic() - began < 5
