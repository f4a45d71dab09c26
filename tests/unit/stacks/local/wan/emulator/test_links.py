"""Delay lines."""

from __future__ import annotations

import random
import statistics

import pytest

from stacks.local.wan.emulator.impairments import Jitter
from stacks.local.wan.emulator.links import Line


def test_jitter_keeps_the_order_without_delaying_a_dense_stream_more() -> None:
    random.seed(3)
    line = Line(1, 0.050, Jitter(0.004, "normal", reorder=False))
    sent = [number * 0.0002 for number in range(100_000)]
    dues = [line.due(at) for at in sent]
    assert dues == sorted(dues)
    assert statistics.mean(due - at for due, at in zip(dues, sent, strict=True)) == pytest.approx(0.050, abs=0.0012)


def test_jitter_never_makes_a_packet_arrive_before_it_was_sent() -> None:
    random.seed(4)
    line = Line(1, 0.001, Jitter(0.010, "normal", reorder=False))
    assert min(line.due(float(at)) - at for at in range(500)) == pytest.approx(0, abs=1e-9)
