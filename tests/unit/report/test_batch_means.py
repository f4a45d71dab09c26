from __future__ import annotations

import numpy as np
import pytest

from benchmark.measure.histogram import Array
from benchmark.measure.timeline import Timeline
from benchmark.report.batch_means import Precision, precision


def timeline(throughput: Array, mean: Array | float, step: float = 1.0) -> Timeline:
    rates = np.asarray(throughput)
    means: Array = np.full(rates.shape, mean, dtype=np.float64)
    zeros = np.zeros_like(rates)
    return Timeline(np.arange(len(rates) + 1, dtype=np.float64) * step, rates, rates, zeros, means, means, {})


def test_constant_values_have_an_interval_of_zero_width() -> None:
    found = precision(timeline(np.full(40, 100.0), 0.2))
    assert found.completed_tps == 0.0
    assert found.mean_s == pytest.approx(0.0, abs=1e-12)


def test_too_few_values_give_no_interval() -> None:
    assert precision(timeline(np.full(9, 100.0), 0.2)) == Precision()
    assert precision(None) == Precision()


def test_a_batch_without_transactions_leaves_the_mean_unknown() -> None:
    rates = np.full(20, 100.0)
    rates[:2] = 0.0
    found = precision(timeline(rates, np.where(rates > 0, 0.2, np.nan)))
    assert found.mean_s is None
    assert found.completed_tps is not None


def test_interval_is_students_t_over_ten_batches() -> None:
    means = np.repeat(np.arange(10.0), 3)
    half = precision(timeline(np.full(30, 5.0), means)).mean_s
    assert half == pytest.approx(2.262 * np.std(np.arange(10), ddof=1) / np.sqrt(10), rel=1e-6)


def test_coverage_is_95_percent_also_for_correlated_values() -> None:
    random = np.random.default_rng(1)
    held = 0
    for _ in range(400):
        noise = random.normal(size=320)
        # First-order autoregression: it forgets within a few intervals, a batch has 30.
        values = np.zeros(320)
        for index in range(1, 320):
            values[index] = 0.5 * values[index - 1] + noise[index]
        found = precision(timeline(np.full(300, 10.0), 5 + values[20:]))
        assert found.mean_s is not None
        held += abs(float(values[20:].mean())) <= found.mean_s
    assert 0.91 <= held / 400 <= 0.98
