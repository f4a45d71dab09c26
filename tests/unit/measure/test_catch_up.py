"""How long nodes took to catch up, from positions that are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from factories.sample_factory import Array, labels_of, series

from benchmark.measure.catch_up import with_catch_up
from benchmark.measure.fault_impact import FaultImpact, FaultWindow
from benchmark.measure.scrapes import RunSamples
from benchmark.metrics.samples import Series

METRIC = "applied"
SCRAPES = np.arange(1000.0, 1060.0)


def node(host: str, position: Callable[[Array], Array], times: Array = SCRAPES) -> Series:
    return series(METRIC, labels_of(host, job="node"), times, position(times))


def applied(times: Array) -> Array:
    """100 entries per second."""
    return (times - 990) * 100


def stopped(times: Array) -> Array:
    """The position of a node that stands still from 1010 to 1020, and then applies 300 entries per second."""
    behind = applied(np.full(1, 1010.0)) + np.maximum(0.0, times - 1020) * 300
    return np.where(times < 1010, applied(times), np.minimum(applied(times), behind))


def caught_up(*nodes: Series, faults: tuple[FaultWindow, ...]) -> FaultImpact:
    impacts = [
        FaultImpact(kind=each.kind, target=each.target, injected=each.injected, healed=each.healed) for each in faults
    ]
    targets = RunSamples(nodes).targets("node", (METRIC,))
    return with_catch_up(impacts, faults, targets, METRIC, 1059.0)[0]


PAUSE = FaultWindow("pause", "one", 1010.0, 1020.0, ("a",))
BEHIND_S = 5.0
"""1,000 entries, of which 300 are applied while 100 are added each second."""


def test_a_node_has_caught_up_when_it_has_what_the_others_had() -> None:
    found = caught_up(node("a", stopped), node("b", applied), node("c", applied), faults=(PAUSE,))
    assert found.catch_up_s["a"] == pytest.approx(BEHIND_S, abs=1.0), "to a scrape"
    assert found.slowest_catch_up_s == found.catch_up_s["a"]
    assert found.unknown == {}


def test_samples_of_nodes_at_other_times_do_not_matter() -> None:
    early, late = SCRAPES - 0.3, SCRAPES + 0.4
    found = caught_up(node("a", stopped), node("b", applied, early), node("c", applied, late), faults=(PAUSE,))
    assert found.catch_up_s["a"] == pytest.approx(BEHIND_S, abs=1.0)


def test_a_node_that_is_away_after_healing_has_not_caught_up_by_its_last_position() -> None:
    """Its position before the fault would be enough if nothing had happened meanwhile."""
    away = SCRAPES[(SCRAPES < 1010) | (SCRAPES >= 1026)]
    idle = node("b", lambda times: np.full(len(times), 2000.0))
    found = caught_up(node("a", lambda times: np.full(len(times), 2000.0), away), idle, faults=(PAUSE,))
    assert found.catch_up_s == {"a": 6.0}


def test_a_node_that_does_not_catch_up_before_the_next_fault_is_unknown() -> None:
    never = node("a", lambda times: np.minimum(applied(times), 2000.0))
    found = caught_up(never, node("b", applied), faults=(PAUSE, FaultWindow("crash", "b", 1050.0, None, ("b",))))
    assert found.catch_up_s == {"a": None}
    assert found.slowest_catch_up_s is None
    assert found.unknown == {"catch_up_s": "not within 30 s, until the next fault or the end of the window"}


def test_nodes_under_another_fault_are_no_reference() -> None:
    other = FaultWindow("pause", "one", 1005.0, 1030.0, ("b",))
    held = node("b", lambda times: np.where(times < 1005, applied(times), 1500.0))
    found = caught_up(node("a", stopped), held, node("c", applied), faults=(PAUSE, other))
    assert found.catch_up_s["a"] == pytest.approx(BEHIND_S, abs=1.0)
    alone = caught_up(node("a", stopped), held, faults=(PAUSE, other))
    assert alone.unknown["catch_up_s"] == "no node without a fault exported `applied`"
    missing = caught_up(node("c", applied), faults=(PAUSE,))
    assert missing.unknown["catch_up_s"] == "a: `applied` was not sampled"


def test_permanent_faults_have_no_catch_up() -> None:
    found = caught_up(
        node("a", stopped), node("b", applied), faults=(FaultWindow("crash", "one", 1010.0, None, ("a",)),)
    )
    assert (found.catch_up_s, found.unknown) == ({}, {})
