"""Messages between the processes of a load generator arrive, however many latencies an interval has."""

from __future__ import annotations

import socket

import pytest

from benchmark.host_scripts.load_generator.channel import Channel
from benchmark.host_scripts.load_generator.hdr import Interval, Merge


@pytest.mark.parametrize("buckets", [10, 20_000])
def test_intervals_arrive_whatever_their_size(buckets: int) -> None:
    """After a stall, all requests that waited end in one interval, with latencies that are all different."""
    sent: Interval = {tag: {index: 1 + index % 7 for index in range(buckets)} for tag in ("put", "get", "put.timeout")}
    found: Interval = {}
    merge = Merge(1, lambda number, interval: found.update(interval))
    ours, theirs = (Channel(each) for each in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
    ours.send_interval(17_000_000_000, sent)
    for _ in range(3):
        for kind, number, _, interval in theirs.receive():
            if kind == "interval":
                merge.add(0, int(number), interval)
        ours.send("samples")
    ours.close()
    theirs.close()
    assert found == sent
