"""Slowest requests and stalls in latency logs."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from factories.latency_logs import joined, recorded

from benchmark.measure.client_logs import ClientLog
from benchmark.measure.log_extremes import Stall, longest_stall, slowest

DUE = np.arange(1000.0, 1060.0, 0.004) + 0.0005
LATENCY = 0.02 + 0.001 * np.random.default_rng(1).random(len(DUE))


def stalled(begin: float, seconds: float) -> ClientLog:
    """A client whose requests all wait while the system is stalled."""
    ended = DUE + LATENCY
    waits = (ended >= begin) & (ended < begin + seconds)
    latency = np.where(waits, begin + seconds - DUE, LATENCY)
    return recorded("a", DUE + latency, latency)


def test_a_short_stall_is_the_maximum_of_its_second() -> None:
    found = slowest([stalled(1020.2, 0.3), recorded("b", DUE + LATENCY, LATENCY)], np.arange(1010.0, 1051.0))
    assert found[10] == pytest.approx(0.32, abs=0.005)
    assert np.delete(found, 10) == pytest.approx(np.full(39, 0.021), abs=0.0002)


def test_failed_requests_are_among_the_slowest_and_delays_are_not() -> None:
    at = np.array([1020.5])
    failed = recorded("a", at, np.array([2.0]), error="timeout")
    found = slowest([joined(recorded("a", DUE + LATENCY, LATENCY), failed)], np.array([1020.0, 1021.0]))
    assert found == pytest.approx([2.0], rel=2e-3)
    nothing = slowest([recorded("a", at, np.array([2.0]))], np.array([1030.0, 1031.0, 1032.0]))
    assert np.isnan(nothing).all()


def near(seconds: float) -> Any:
    """Equal to an interval."""
    return pytest.approx(seconds, abs=0.1 + 1e-6)


def test_the_longest_stretch_without_a_completion_is_known_to_a_tenth() -> None:
    clients = [stalled(1020.2, 0.3), stalled(1020.2, 0.5)]
    assert longest_stall(clients, 1010, 1050) == Stall(near(1020.2), near(0.3)), "of all clients"
    assert longest_stall(clients[1:], 1010, 1050) == Stall(near(1020.2), near(0.5))
    assert longest_stall(clients, 1030, 1050) is None
    assert longest_stall([], 1030, 1050) is None


def test_what_chance_leaves_empty_is_no_stall() -> None:
    random = np.random.default_rng(5)
    for rate in (5, 50, 80):
        ended = np.sort(random.uniform(1000, 1060, 60 * rate))
        latency = np.full(len(ended), 0.02)
        assert longest_stall([recorded("a", ended, latency)], 1010, 1050) is None
        kept = (ended < 1020) | (ended > 1023)
        found = longest_stall([recorded("a", ended[kept], latency[kept])], 1010, 1050)
        assert found
        assert 2.9 <= found.seconds <= 4.6


def test_a_log_that_is_coarser_does_not_show_stalls() -> None:
    log = stalled(1020.2, 0.3)
    coarse = dataclasses.replace(log, log=dataclasses.replace(log.log, lengths_ms=log.log.lengths_ms * 10))
    assert longest_stall([coarse], 1010, 1050) is None
