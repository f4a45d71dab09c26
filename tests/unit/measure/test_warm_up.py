from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from factories.sample_factory import client
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmark.measure.scrapes import RunSamples
from benchmark.measure.timeline import Timeline
from benchmark.measure.warm_up import find_window, steady_window, truncation

Array = NDArray[np.float64]


def noise(count: int, seed: int = 3, spread: float = 1.0) -> Array:
    return np.random.default_rng(seed).normal(0, spread, count)


def reference(values: Array, size: int) -> int:
    """MSER written down as in the paper, without any shortcut."""
    count = len(values) // size
    means = [float(np.mean(values[i * size : (i + 1) * size])) for i in range(count)]
    errors = [
        float(np.sum((np.array(means[d:]) - np.mean(means[d:])) ** 2)) / (count - d) ** 2 for d in range(count - 5)
    ]
    return int(np.argmin(errors)) * size


def timeline(throughput: Array, latency: Array, submitted: Array | None = None, step: float = 1.0) -> Timeline:
    count = len(throughput)
    return Timeline(
        edges=1000 + np.arange(count + 1, dtype=np.float64) * step,
        completed_tps=throughput,
        sent_tps=np.full(count, 100.0) if submitted is None else submitted,
        errors_tps=np.zeros(count),
        mean_s=latency,
        successful_mean_s=latency,
        quantiles_s={"p50_s": latency, "p99_s": latency},
    )


@given(st.integers(min_value=0, max_value=1000), st.integers(min_value=10, max_value=200))
def test_warm_up_matches_mser_as_published(seed: int, count: int) -> None:
    values = 100 + noise(count, seed)
    expected = reference(values, 5 if count >= 100 else 1)
    batches = count // 5 if count >= 100 else count
    converged = expected // (5 if count >= 100 else 1) <= batches // 2
    assert truncation(values) == (expected if converged else None)


@pytest.mark.parametrize("count", [40, 300])
def test_the_end_of_a_ramp_is_found(count: int) -> None:
    ramp = np.minimum(np.arange(count) / (count * 0.2), 1) * 100
    found = truncation(ramp + noise(count))
    assert found is not None
    assert count * 0.17 <= found <= count * 0.30


def test_the_end_of_a_slow_start_is_found_by_latency_alone() -> None:
    latency = 0.1 + 2 * np.exp(-np.arange(200) / 10) + noise(200, spread=0.005)
    steady = steady_window(timeline(100 + noise(200), latency))
    assert steady.converged
    assert 1030 <= steady.start <= 1070
    assert steady.end == 1200
    assert steady.method.startswith("MSER-5")


@pytest.mark.parametrize(("count", "most"), [(24, 0.15), (60, 0.06), (180, 0.1)])
def test_noise_alone_is_rarely_detected_as_unsteady(count: int, most: float) -> None:
    missed = sum(truncation(noise(count, seed)) is None for seed in range(300))
    assert missed / 300 <= most


def test_run_that_is_steady_from_the_start_has_no_warm_up() -> None:
    found = truncation(np.full(100, 7.0))
    assert found == 0


def test_run_that_never_settles_is_reported_as_not_converged() -> None:
    growing = np.arange(100.0)
    assert truncation(growing) is None
    steady = steady_window(timeline(100 + noise(100), growing))
    assert (steady.converged, steady.start) == (False, 1050)


@pytest.mark.parametrize("count", [0, 1, 9])
def test_too_few_observations_give_no_result(count: int) -> None:
    assert truncation(np.ones(count)) is None


def test_cool_down_is_removed() -> None:
    submitted = np.where(np.arange(120) < 100, 100.0, 0.0)
    throughput = np.where(np.arange(120) < 103, 100.0, 0.0) + noise(120)
    latency = np.where(np.arange(120) < 103, 0.1, np.nan)
    steady = steady_window(timeline(throughput, latency, submitted))
    assert steady.end == 1100
    assert steady.converged


def test_dip_in_the_load_is_no_cool_down() -> None:
    submitted = np.where((np.arange(100) > 40) & (np.arange(100) < 50), 0.0, 100.0)
    assert steady_window(timeline(submitted, np.full(100, 0.1), submitted)).end == 1100


def test_intervals_before_the_first_transaction_are_warm_up() -> None:
    latency = np.where(np.arange(60) < 12, np.nan, 0.1) + noise(60, spread=0.001)
    throughput = np.where(np.arange(60) < 12, 0.0, 100.0)
    steady = steady_window(timeline(throughput, latency))
    assert steady.converged
    assert 1012 <= steady.start <= 1030


def test_without_transactions_nothing_is_steady() -> None:
    idle = timeline(np.zeros(60), np.full(60, np.nan))
    assert not steady_window(idle).converged
    assert not steady_window(replace(idle, sent_tps=np.zeros(60))).converged


def test_systems_without_a_sent_counter_use_completed_transactions() -> None:
    throughput = np.where(np.arange(100) < 80, 100.0, 0.0)
    assert steady_window(timeline(throughput, np.full(100, 0.1), np.zeros(100))).end == 1080


def slow_start(seconds: float, until: float = 1060.0) -> RunSamples:
    """A client under load since 1000 whose latency is three times as long for the first `seconds`."""
    due = np.arange(1000.0, until, 0.01)
    latency = np.where(due < 1000 + seconds, 0.36, 0.12) * np.random.default_rng(5).uniform(0.9, 1.1, len(due))
    return RunSamples(client("a-1", np.arange(1000.0, 1061.0), due, latency))


def test_a_window_begins_as_planned_where_the_run_is_steady_by_then() -> None:
    start, end, found = find_window(slow_start(4.0), 1000, 1015, 1060, scrape_interval=1.0)
    assert (start, end) == (1015, 1060)
    assert found.seconds == 15
    assert found.converged
    assert "steady after" in found.method


def test_a_window_begins_later_where_the_run_is_not_steady_by_then() -> None:
    start, end, found = find_window(slow_start(22.0), 1000, 1015, 1060, scrape_interval=1.0)
    assert 1021.5 <= start <= 1030
    assert end == 1060
    assert (found.seconds, found.converged) == (start - 1000, True)


def test_a_window_ends_with_the_load() -> None:
    _, end, _ = find_window(slow_start(4.0, until=1050.0), 1000, 1015, 1060, scrape_interval=1.0)
    assert end == pytest.approx(1050, abs=2)


def test_window_with_few_samples_is_as_planned_with_a_warning() -> None:
    start, end, found = find_window(slow_start(22.0), 1000, 1015, 1060, scrape_interval=7.0)
    assert (start, end, found.converged) == (1015, 1060, False)
    assert "are too few to detect it, 10 are needed" in found.method
    assert find_window(RunSamples([]), 1000, 1015, 1060, scrape_interval=1.0)[:2] == (1015, 1060)


def test_cool_down_is_removed_where_it_is_unknown_what_was_sent() -> None:
    load = np.where(np.arange(120) < 100, 100.0, 0.0) + noise(120, spread=0.01) * (np.arange(120) < 100)
    latency = np.where(np.arange(120) < 100, 0.1, np.nan)
    assert steady_window(timeline(load, latency, np.full(120, np.nan))).end == 1100
