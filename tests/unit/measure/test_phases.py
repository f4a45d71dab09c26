"""Phases have the statistics of their part of the window, from logs and from samples."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from factories.latency_logs import recorded
from factories.sample_factory import client, failures

from benchmark.measure.measurement import Measurement, measure
from benchmark.measure.phases import PhaseStats, phase_windows
from benchmark.measure.scrapes import RunSamples

DUE = np.arange(1000.0, 1062.0, 0.005) + 0.0005
LATENCY = np.where((DUE >= 1020) & (DUE < 1040), 0.08, 0.02)
PHASES = phase_windows([("healthy", 10.0), ("attack", 20.0), ("healthy", 10.0)], 1010.0)


def phases(*, logged: bool, every: float = 1.0) -> list[PhaseStats]:
    samples = client("a", np.arange(1000.0, 1062.0, every), DUE, LATENCY)
    log = dataclasses.replace(recorded("a", DUE + LATENCY, LATENCY), scheduled=lambda a, b: 200 * (b - a))
    return run(samples=samples, logs=[log] if logged else []).phases


def run(**given: object) -> Measurement:
    return measure(
        RunSamples(given["samples"]),
        1010,
        1050,
        scrape_interval=1,
        logs=given["logs"],
        phases=PHASES,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("logged", [False, True])
def test_each_phase_has_its_own_throughput_and_latency(logged: bool) -> None:
    found = phases(logged=logged)
    assert [(each.name, each.label) for each in found] == [
        ("healthy", "healthy"),
        ("attack", "attack"),
        ("healthy", "healthy 2"),
    ]
    assert [(each.start, each.end) for each in found] == [(1010, 1020), (1020, 1040), (1040, 1050)]
    for phase, mean in zip(found, (0.02, 0.08, 0.02), strict=True):
        assert phase.stats is not None
        assert phase.stats.completed_tps == pytest.approx(200, rel=0.02)
        assert phase.stats.scheduled_tps == pytest.approx(200, rel=0.01)
        assert phase.stats.latency_s is not None
        assert phase.stats.latency_s.mean == pytest.approx(mean, rel=0.05)


def test_phases_of_logs_add_up_to_the_window() -> None:
    total = run(samples=[], logs=[recorded("a", DUE + LATENCY, LATENCY)])
    counted = [phase.stats.completed for phase in total.phases if phase.stats]
    assert sum(count or 0 for count in counted) == total.total.completed
    assert len(counted) == 3


def test_failures_count_in_the_phase_in_which_they_were_known() -> None:
    samples = [
        *client("a", np.arange(1000.0, 1062.0), DUE, LATENCY),
        *failures("a", np.arange(1000.0, 1062.0), np.array([1025.0, 1045.5])),
    ]
    found = run(samples=samples, logs=[]).phases
    assert [phase.stats.errors if phase.stats else None for phase in found] == [{}, {"timeout": 1}, {"timeout": 1}]


def test_a_phase_without_two_samples_is_unknown() -> None:
    found = phases(logged=False, every=9.0)
    assert [phase.stats is None for phase in found] == [True, False, True]
    assert found[0].unknown == "client a has fewer than 2 samples in it"
    assert run(samples=[], logs=[]).phases[0].unknown == "no client was sampled"
