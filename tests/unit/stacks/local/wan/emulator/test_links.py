"""Delay lines."""

from __future__ import annotations

import random
import statistics

import pytest

from stacks.local.wan.emulator.links import Line


def test_jitter_has_the_configured_deviation() -> None:
    random.seed(2)
    line = Line(1, delay=0.050, jitter=0.004)
    sent = [number * 0.020 for number in range(2000)]
    delays = [line.due(at) - at for at in sent]
    assert statistics.mean(delays) == pytest.approx(0.050, abs=0.0005)
    assert statistics.stdev(delays) == pytest.approx(0.004, rel=0.1)


def test_jitter_keeps_the_order_without_delaying_a_dense_stream_more() -> None:
    random.seed(3)
    line = Line(1, delay=0.050, jitter=0.004)
    sent = [number * 0.00005 for number in range(200_000)]
    dues = [line.due(at) for at in sent]
    assert dues == sorted(dues)
    assert statistics.mean(due - at for due, at in zip(dues, sent, strict=True)) == pytest.approx(0.050, abs=0.0012)


def test_jitter_never_makes_a_packet_arrive_before_it_was_sent() -> None:
    random.seed(4)
    line = Line(1, delay=0.001, jitter=0.010)
    assert min(line.due(float(at)) - at for at in range(500)) == pytest.approx(0, abs=1e-9)
