"""Quantiles of the scheduling delay from the emulator's metrics."""

from __future__ import annotations

import math

from tools.performance.wan import quantile_ms


def test_a_quantile_is_the_upper_bound_of_its_bucket() -> None:
    counts = {"0.0001": 50.0, "0.001": 98.0, "0.01": 100.0, "+Inf": 100.0}
    moved = {f'wan_lateness_seconds_bucket{{le="{bound}"}}': count for bound, count in counts.items()}
    moved["wan_lateness_seconds_count"] = 100.0
    assert (quantile_ms(moved, 0.5), quantile_ms(moved, 0.98), quantile_ms(moved, 0.99)) == (0.1, 1.0, 10.0)
    assert math.isnan(quantile_ms({}, 0.5))
