"""The event loop on socket pairs, which keep packet boundaries like TUN interfaces."""

from __future__ import annotations

import contextlib
import functools
import os
import random
import select
import socket
import threading
import time
from array import array
from collections.abc import Iterator
from typing import Any

import pytest

from stacks.local.wan.emulator import loop
from stacks.local.wan.emulator.impairments import Trace
from stacks.local.wan.emulator.links import Links, Port
from stacks.local.wan.emulator.loop import BATCH, Emulator
from stacks.local.wan.emulator.metrics import exposition
from stacks.local.wan.emulator.packets import HEADER

A, B, C = "198.18.0.2", "198.18.0.3", "198.18.0.4"
OPERATOR = "198.18.0.1"
DELAYS = {"east->east": 0.3, "east->west": 40.0, "west->east": 40.0, "west->west": 0.3}


def links(bandwidth_mbps: float | None = None, internet: bool = True, **between: object) -> Links:
    """Return links with the fields `between` for both directions between the regions."""
    directions: dict[str, Any] = {
        name: {"delay_ms": delay, **(between if delay > 1 else {})} for name, delay in DELAYS.items()
    }
    return Links(directions=directions, bandwidth_mbps=bandwidth_mbps, internet=internet, trace=None)


def packet(source: str, destination: str, payload: bytes = b"x") -> bytes:
    """Return the parts of an IPv4 packet that the emulator reads, behind an empty virtio header."""
    header = bytes([0x45]) + bytes(11) + socket.inet_aton(source) + socket.inet_aton(destination)
    return bytes(HEADER) + header + payload


class Bench:
    """An emulator with hosts A (east), B (west), C (east) and the operator, at the other ends of socket pairs."""

    def __init__(self) -> None:
        self.offloads: dict[int, bool] = {}
        self.emulator = Emulator(self.offloads.__setitem__, lambda _text: None)
        self.emulator.configure(links(), {})
        self.ends: dict[str, socket.socket] = {}
        self.ports: dict[str, Port] = {}
        for address, region in ((OPERATOR, None), (A, "east"), (B, "west"), (C, "east")):
            self.attach(address, region)

    def attach(self, address: str, region: str | None) -> None:
        mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        mine.setblocking(False)
        self.ends[address] = mine
        self.ports[address] = Port(address, region, address, its.detach())
        self.emulator.attach(self.ports[address])

    def send(self, data: bytes, at: str = A) -> None:
        """Let the emulator read what the host with address `at` sends."""
        self.ends[at].send(data)
        port = self.ports[at]
        if port is self.emulator.operator:
            self.emulator.receive_operator(port)
        else:
            self.emulator.receive(port, loop.monotonic())

    def received(self, address: str) -> list[bytes]:
        """Return the packets delivered to the host since the last call."""
        found = []
        while True:
            try:
                found.append(self.ends[address].recv(70000))
            except BlockingIOError:
                return found

    def dues(self) -> list[float]:
        """Return the delivery times of the queued packets."""
        return sorted(entry[0] for _, _, line in self.emulator.heads for entry in line.queue)

    def close(self) -> None:
        for port in list(self.emulator.ports.values()):
            self.emulator.detach(port)
        for end in self.ends.values():
            end.close()
        self.emulator.epoll.close()
        os.close(self.emulator.timer)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def test_a_packet_takes_half_the_round_trip_and_arrives_unchanged(bench: Bench) -> None:
    before = time.monotonic()
    bench.send(packet(A, B, b"hello"))
    after = time.monotonic()
    (due,) = bench.dues()
    assert before + 0.040 <= due <= after + 0.040
    bench.emulator.deliver(due - 0.001)
    assert bench.received(B) == []
    bench.emulator.deliver(due)
    assert bench.received(B) == [packet(A, B, b"hello")]


def test_packets_overtake_those_of_slower_links_but_not_of_their_own(bench: Bench) -> None:
    for number in range(3):
        bench.send(packet(A, B, b"%d" % number))
    bench.send(packet(A, C))
    (near, *far) = bench.dues()
    bench.emulator.deliver(near)
    assert len(bench.received(C)) == 1
    bench.emulator.deliver(far[0])
    bench.emulator.deliver(far[-1])
    assert [data[-1:] for data in bench.received(B)] == [b"0", b"1", b"2"]


def test_equal_delays_share_a_line(bench: Bench) -> None:
    bench.send(packet(A, B))
    bench.send(packet(B, A), at=B)
    bench.send(packet(C, B), at=C)
    assert len(bench.emulator.heads) == 1
    bench.emulator.deliver(bench.dues()[-1])
    assert (len(bench.received(A)), len(bench.received(B))) == (1, 2)
    assert bench.emulator.heads == []


def test_a_forged_source_is_dropped(bench: Bench) -> None:
    bench.send(packet(C, B))
    bench.send(b"short")
    assert bench.dues() == []
    assert bench.emulator.dropped == {"source": 2}


def test_packets_to_and_from_the_operator_are_not_delayed(bench: Bench) -> None:
    bench.send(packet(A, OPERATOR, b"out"))
    bench.send(packet(OPERATOR, B, b"in"), at=OPERATOR)
    assert bench.received(OPERATOR) == [packet(A, OPERATOR, b"out")]
    assert bench.received(B) == [packet(OPERATOR, B, b"in")]


@pytest.mark.parametrize("internet", [True, False])
def test_internet_traffic_passes_through_the_operator_if_enabled(bench: Bench, internet: bool) -> None:
    bench.emulator.configure(links(internet=internet), {})
    bench.send(packet(A, "192.0.2.1"))
    bench.send(packet("192.0.2.1", A), at=OPERATOR)
    assert len(bench.received(OPERATOR)) == internet
    assert len(bench.received(A)) == 1
    assert bench.emulator.dropped["destination"] == (not internet)


def test_packets_to_and_from_other_testbeds_are_dropped(bench: Bench) -> None:
    bench.send(packet(A, "198.18.16.2"))
    bench.send(packet(A, "224.0.0.251"))
    bench.send(packet("198.19.240.2", A), at=OPERATOR)
    assert (bench.received(OPERATOR), bench.received(A)) == ([], [])
    assert bench.emulator.dropped == {"destination": 2, "source": 1}


def test_a_detached_host_receives_no_more_packets(bench: Bench) -> None:
    bench.send(packet(A, B))
    bench.send(packet(A, C))
    bench.emulator.detach(bench.ports[B])
    bench.send(packet(A, B))
    bench.emulator.deliver(time.monotonic() + 1)
    assert bench.ends[B].recv(100) == b""  # the other end is closed
    assert len(bench.received(C)) == 1
    assert bench.emulator.dropped == {"detached": 1, "destination": 1}
    assert bench.emulator.bytes_in == bench.emulator.bytes_out + bench.emulator.bytes_discarded


def test_attaching_a_host_again_replaces_it(bench: Bench) -> None:
    former = bench.ends[B]
    bench.attach(B, "west")
    bench.send(packet(A, B))
    bench.emulator.deliver(time.monotonic() + 1)
    assert former.recv(100) == b""
    assert len(bench.received(B)) == 1
    former.close()


def test_a_region_without_links_is_rejected(bench: Bench) -> None:
    with pytest.raises(ValueError, match="region 'north' has no links; regions with links: east, west"):
        bench.emulator.attach(Port("n", "north", "198.18.0.9", -1))
    with pytest.raises(ValueError, match="hosts are attached in west"):
        bench.emulator.configure({**links(), "directions": {"east->east": {"delay_ms": 1.0}}}, {})


def test_new_links_apply_to_new_packets(bench: Bench) -> None:
    bench.send(packet(A, B))
    bench.emulator.configure(links(delay_ms=200.0), {})
    bench.send(packet(A, B))
    old, new = bench.dues()
    assert new - old == pytest.approx(0.160, abs=0.010)


def test_segmentation_offload_is_off_where_packets_are_lost_or_paced(bench: Bench) -> None:
    east, west = bench.ports[A].fd, bench.ports[B].fd
    one_way = links()
    one_way["directions"]["east->west"]["loss"] = 0.1
    cases = [
        (links(loss=0.1), {east: False, west: False}),
        (links(rate_mbps=10.0), {east: False, west: False}),
        (links(bandwidth_mbps=10.0), {east: False, west: False}),
        (links(jitter_ms=1.0), {east: True, west: True}),
        (one_way, {east: False, west: True}),
    ]
    for changed, offloads in cases:
        bench.emulator.configure(changed, {})
        assert {fd: bench.offloads[fd] for fd in (east, west)} == offloads


def test_the_configured_share_is_lost_between_regions_only(bench: Bench) -> None:
    random.seed(1)
    bench.emulator.configure(links(loss=0.2), {})
    for _ in range(2000):
        bench.send(packet(A, B))
        bench.send(packet(A, C))
    # five standard deviations of a binomial(2000, 0.2) are 89
    assert abs(bench.emulator.dropped["loss"] - 400) < 89
    assert sum(len(line.queue) for _, _, line in bench.emulator.heads) == 4000 - bench.emulator.dropped["loss"]


@pytest.fixture
def at_100_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulator's clock stands still at 100 s."""
    monkeypatch.setattr("stacks.local.wan.emulator.loop.monotonic", lambda: 100.0)


@pytest.mark.usefixtures("at_100_s")
def test_an_uplink_serializes_packets_at_its_rate(bench: Bench) -> None:
    bench.emulator.configure(links(bandwidth_mbps=8.0), {})  # 1000 bytes take 1 ms
    for _ in range(10):
        bench.send(packet(A, B, bytes(980)))
    dues = bench.dues()
    assert dues == pytest.approx([100.041 + 0.001 * number for number in range(10)])
    bench.send(packet(C, B, bytes(980)), at=C)  # a different uplink
    assert bench.dues()[:2] == pytest.approx([100.041, 100.041])


@pytest.mark.usefixtures("at_100_s")
def test_a_full_uplink_drops_and_counts(bench: Bench) -> None:
    bench.emulator.configure(links(bandwidth_mbps=8.0), {})  # buffers 0.1 s: 100 packets of 1000 bytes
    for _ in range(300):
        bench.send(packet(A, B, bytes(980)))
    assert bench.emulator.dropped["uplink"] == pytest.approx(200, abs=1)
    assert len(bench.dues()) + bench.emulator.dropped["uplink"] == 300


def test_queues_are_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stacks.local.wan.emulator.loop.QUEUE_BYTES", 10_000)
    for _ in range(20):
        bench.send(packet(A, B, bytes(970)))
    assert bench.emulator.dropped["queue"] == 9
    bench.emulator.deliver(time.monotonic() + 1)
    bench.send(packet(A, B))
    assert len(bench.dues()) == 1


def test_metrics_count_packets_bytes_drops_and_delay_behind_schedule(bench: Bench) -> None:
    bench.send(packet(A, B, bytes(80)))
    bench.send(packet(C, B))
    due = bench.dues()[0]
    while time.monotonic() < due + 0.003:
        pass
    bench.emulator.deliver(due)
    samples = dict(
        line.rsplit(" ", 1) for line in exposition([bench.emulator.counters()]).splitlines() if line[0] != "#"
    )
    assert samples["wan_packets_total"] == "1"
    assert samples["wan_bytes_total"] == "100"
    assert samples['wan_dropped_packets_total{reason="source"}'] == "1"
    assert samples['wan_lateness_seconds_bucket{le="0.003"}'] == "0"
    assert samples['wan_lateness_seconds_bucket{le="+Inf"}'] == samples["wan_lateness_seconds_count"] == "1"
    assert float(samples["wan_lateness_seconds_sum"]) >= 0.003


def test_reading_slower_than_a_host_sends_counts_as_delay_behind_schedule(bench: Bench) -> None:
    for now, sent in ((100.0, BATCH), (100.004, BATCH), (100.012, BATCH), (100.013, 0)):
        for _ in range(sent):
            bench.ends[A].send(packet(A, B))
        bench.emulator.receive(bench.ports[A], now)
    assert bench.emulator.late_sum == pytest.approx(0.004 + 0.012)
    assert sum(bench.emulator.late) == 2
    assert bench.ports[A].behind == 0


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        (links(), False),
        ({**links(), "directions": {**links()["directions"], "north->north": {"delay_ms": 0.3}}}, False),
        (links(delay_ms=30.0), True),
        (links(loss=0.1), True),
        (links(bandwidth_mbps=10.0), True),
        ({**links(), "trace": {"sha256": "0"}}, True),
    ],
    ids=["same links", "another region", "delay", "loss", "bandwidth", "trace"],
)
def test_a_change_of_the_links_between_hosts_is_reported(bench: Bench, change: Links, changed: bool) -> None:
    bench.emulator.unchanged_since = 5.0
    bench.emulator.configure(change, {})
    assert (bench.emulator.unchanged_since > 5.0) is changed
    assert ("wan_unchanged_since_seconds 5.000\n" in exposition([bench.emulator.counters()])) is not changed


def test_directions_have_delays_of_their_own(bench: Bench) -> None:
    changed = links()
    changed["directions"]["east->west"]["delay_ms"] = 300.0
    bench.emulator.configure(changed, {})
    bench.send(packet(A, B))
    bench.send(packet(B, A), at=B)
    back, there = bench.dues()
    assert there - back == pytest.approx(0.260, abs=0.010)


@pytest.mark.usefixtures("at_100_s")
def test_a_link_with_a_rate_delays_and_drops_packets_of_each_sender(bench: Bench) -> None:
    bench.emulator.configure(links(rate_mbps=8.0), {})  # buffers 0.1 s: 100 packets of 1000 bytes
    for _ in range(300):
        bench.send(packet(A, B, bytes(980)))
    bench.send(packet(C, B, bytes(980)), at=C)
    bench.send(packet(A, C, bytes(980)))
    near, *far = bench.dues()
    assert near == pytest.approx(100.0003)  # another link
    assert far[:3] == pytest.approx([100.041, 100.041, 100.042])
    assert bench.emulator.dropped["rate"] == pytest.approx(200, abs=1)


@pytest.mark.usefixtures("at_100_s")
def test_jitter_changes_the_order_only_on_request(bench: Bench) -> None:
    random.seed(5)
    for reorder in (False, True):
        bench.emulator.configure(links(jitter_ms=5.0, reorder=reorder), {})
        for number in range(50):
            bench.send(packet(A, B, b"%02d" % number))
        bench.emulator.deliver(1000.0)
        found = [data[-2:] for data in bench.received(B)]
        assert len(found) == 50
        assert (found == sorted(found)) is not reorder
    assert bench.emulator.heads == []


@pytest.mark.usefixtures("at_100_s")
def test_a_trace_changes_the_delay_over_time(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = Trace(99.0, 2.0, array("d", [0.0, 1.5]), array("d", [0.010, 0.070]))
    bench.emulator.configure(links(), {"east->west": trace})
    for now in (100.0, 100.6, 101.0):
        monkeypatch.setattr("stacks.local.wan.emulator.loop.monotonic", functools.partial(float, now))
        bench.send(packet(A, B))
        bench.send(packet(B, A), at=B)
    # Packets keep their order when the delay falls.
    assert bench.dues() == pytest.approx([100.010, 100.040, 100.640, 100.670, 101.010, 101.040])
    monkeypatch.setattr("stacks.local.wan.emulator.loop.monotonic", functools.partial(float, 102.99))
    bench.send(packet(A, B))
    monkeypatch.setattr("stacks.local.wan.emulator.loop.monotonic", functools.partial(float, 103.01))
    bench.send(packet(A, B))
    assert bench.dues()[-2:] == pytest.approx([103.06, 103.06])


class StopLoopError(Exception):
    """Ends the loop of a test."""


@contextlib.contextmanager
def running(bench: Bench) -> Iterator[None]:
    """Run the event loop in a thread until the block ends."""
    mine, its = socket.socketpair()

    def stop(_: int) -> None:
        raise StopLoopError

    def run() -> None:
        with contextlib.suppress(StopLoopError):
            bench.emulator.run()

    bench.emulator.on_control = stop
    bench.emulator.epoll.register(its.fileno(), select.EPOLLIN)
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        mine.send(b"x")
        thread.join()
        mine.close()
        its.close()


def test_packets_that_are_due_right_after_a_report_are_delivered_without_other_traffic(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "REPORT_S", 0.08)
    reported = threading.Event()
    bench.emulator.report = lambda _: reported.set()
    with running(bench):
        for _ in range(3):
            reported.clear()
            assert reported.wait(5)
            time.sleep(0.035)  # with 40 ms of delay, packets are due around the next report
            for _ in range(40):
                bench.ends[A].send(packet(A, B))
                time.sleep(0.0002)
            bench.ends[B].setblocking(True)
            bench.ends[B].settimeout(2)
            assert {bench.ends[B].recv(100) for _ in range(40)} == {packet(A, B)}


def test_a_crowded_loop_delivers_everything_and_nothing_early(bench: Bench) -> None:
    bench.ends[B].settimeout(2)
    errors = []
    with running(bench):
        for _ in range(150):
            sent = time.monotonic()
            bench.ends[A].send(packet(A, C))
            bench.ends[A].send(packet(A, B, b"%.6f" % sent))
            time.sleep(0.0001)
        for _ in range(150):
            text = bench.ends[B].recv(100)[HEADER + 20 :]
            errors.append(time.monotonic() - float(text) - 0.040)
    assert min(errors) > -0.005  # read after the round's time, and delivered half a tick early
    assert len(bench.received(C)) == 150
    assert bench.emulator.packets_out == 300 <= sum(bench.emulator.late)


def test_each_worker_moves_what_its_hosts_send_to_hosts_of_all(bench: Bench) -> None:
    shares = [Emulator(lambda *_: None, lambda _: None, index, 2) for index in range(2)]
    ends = {}
    try:
        for address, region in ((A, "east"), (B, "west"), (C, "east")):
            mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ends[address] = mine
            for index, share in enumerate(shares):
                share.configure(links(), {})
                share.attach(Port(address, region, address, os.dup(its.fileno()), index))
            its.close()
            mine.send(packet(address, C if address == B else B))
        readable = [{share.ports[fd].text for fd, _ in share.epoll.poll(0) if fd in share.ports} for share in shares]
        assert readable == [{A, C}, {B}]
    finally:
        for share in shares:
            for port in list(share.ports.values()):
                share.detach(port)
            share.epoll.close()
            os.close(share.timer)
        for end in ends.values():
            end.close()
