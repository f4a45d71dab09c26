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
from waiting import wait_for

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
        assert time.monotonic() - began < 20
        assert "the connection was lost" in str(ended.failure)
        assert "host-0" in fleet.run("true", deadline=1).failed


def test_a_cut_of_five_seconds_is_survived(far: Sshd) -> None:
    with Fleet([far.host()], USER, far.user_key, timeout=timedelta(seconds=5), retries=0) as fleet:
        (session,) = fleet.open("cat", deadline=10).raise_for_failures("open").values()
        ip("-n", NAMESPACE, "link", "set", "far", "down")
        session.send("sent into the cut\n")
        cut_ends = time.monotonic() + 5
        while time.monotonic() < cut_ends:
            assert not session.ended
            time.sleep(0.1)
        ip("-n", NAMESPACE, "link", "set", "far", "up")
        wait_for(lambda: session.stdout == "sent into the cut\n" or session.ended, "the answer arrives", 20)
        assert not session.ended


@pytest.mark.parametrize("operation", ["idle", "run", "put", "get"])
def test_an_ssh_server_that_hangs_is_noticed_within_15_s(far: Sshd, tmp_path: Path, operation: str) -> None:
    with Fleet([far.host()], USER, far.user_key, timeout=timedelta(seconds=5), retries=0) as fleet:
        (session,) = fleet.open("cat", deadline=10).raise_for_failures("open").values()
        far.freeze()
        began = time.monotonic()
        if operation == "run":
            assert "host-0" in fleet.run("sleep 100", deadline=200).failed
        elif operation == "put":
            assert "host-0" in fleet.put({"host-0": {f"{tmp_path}/x": bytes(32 << 20)}}, deadline=200).failed
        elif operation == "get":
            assert "host-0" in fleet.get(["/proc/cpuinfo"], tmp_path, deadline=200).failed
        else:
            wait_for(lambda: session.ended, "the session ends", 20)
            assert session.failure == "the connection was lost (its SSH server has not answered for 12 s)"
        assert time.monotonic() - began < 17
        again = time.monotonic()
        for _ in range(3):  # the timeout is waited for once, not for every command of a tear-down
            assert "answer" in fleet.run("true", deadline=20).failed["host-0"]
        assert time.monotonic() - again < 7


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
        assert "no answer within 1.8 s" in results.failed["far"]
        assert list(results.ok) == ["near"]
        assert (tmp_path / "near").read_bytes() == b"here"
        began = time.monotonic()
    assert time.monotonic() - began < 5
