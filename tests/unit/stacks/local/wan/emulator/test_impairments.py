"""Jitter, loss and rates: moments of their distributions."""

from __future__ import annotations

import itertools
import random
import statistics
from array import array

import pytest

from stacks.local.wan.emulator.impairments import JITTER_HOLD, Jitter, Loss, Pacer, Trace


@pytest.mark.parametrize(("distribution", "median", "least"), [("normal", 0.0, -9.0), ("pareto", -0.314, -0.775)])
def test_jitter_has_the_mean_deviation_and_shape_of_its_distribution(
    distribution: str, median: float, least: float
) -> None:
    """Pareto with shape 5: mean 1.25, deviation 0.3227, median 2^(1/5) = 1.1487, least 1."""
    random.seed(1)
    drawn = [Jitter(0.004, distribution, reorder=True).draw() / 0.004 for _ in range(20_000)]
    assert statistics.fmean(drawn) == pytest.approx(0.0, abs=0.025)
    assert statistics.pstdev(drawn) == pytest.approx(1.0, rel=0.08)
    assert statistics.median(drawn) == pytest.approx(median, abs=0.03)
    assert least <= min(drawn) < -0.77


def test_jitter_holds_its_value_for_packets_close_to_each_other() -> None:
    random.seed(1)
    jitter = Jitter(0.001, "normal", reorder=False)
    values = [jitter.held(number * 0.001) for number in range(200)]
    runs = [len(list(run)) for _, run in itertools.groupby(values)]
    assert set(runs[:-1]) <= {JITTER_HOLD, JITTER_HOLD + 1}


@pytest.mark.parametrize(
    ("share", "mean_burst", "expected"), [(0.02, 1.0, 1 / 0.98), (0.3, 1.0, 1 / 0.7), (0.02, 6.0, 6.0), (0.5, 4.0, 4.0)]
)
def test_losses_have_their_share_and_mean_burst(share: float, mean_burst: float, expected: float) -> None:
    random.seed(2)
    loss = Loss(share, mean_burst)
    lost = [loss.loses() for _ in range(100_000)]
    bursts = [len(list(run)) for value, run in itertools.groupby(lost) if value]
    assert statistics.fmean(bursts) == pytest.approx(expected, rel=0.15)
    assert statistics.fmean(lost) == pytest.approx(share, rel=0.15)


def test_independent_losses_do_not_depend_on_the_previous_packet() -> None:
    random.seed(3)
    loss = Loss(0.25, 1.0)
    lost = [loss.loses() for _ in range(40_000)]
    after = [second for first, second in itertools.pairwise(lost) if first]
    assert statistics.fmean(after) == pytest.approx(0.25, abs=0.02)


def test_a_pacer_keeps_its_rate_and_rejects_what_does_not_fit_its_buffer() -> None:
    pacer = Pacer(1_000_000.0)
    assert [pacer.departure(5.0, 10_000) for _ in range(12)] == [
        *(pytest.approx(5.01 + number / 100) for number in range(11)),
        None,
    ]
    assert pacer.departure(6.0, 1000) == pytest.approx(6.001)


def test_a_trace_tells_until_when_a_delay_applies() -> None:
    trace = Trace(100.0, 4.0, array("d", [1.0, 3.0]), array("d", [0.1, 0.2]))
    assert trace.at(100.0) == (0.1, 101.0)
    assert trace.at(101.0) == (0.1, 103.0)
    assert trace.at(103.5) == (0.2, 104.0)
    assert trace.at(104.0) == (0.1, 105.0)
    assert trace.at(99.0) == (0.2, 100.0)
