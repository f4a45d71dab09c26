"""Compare the parts of the latency of two variants: what explains a difference, without a test of its own."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.compare.sides import in_both
from benchmark.measure.window_stats import median_of
from benchmark.model import Finite, StrictModel
from benchmark.results.summary import Summary


class ComparedPart(StrictModel):
    """One label value of one part at one load: medians over the runs that count; null where unknown in any of them."""

    part: str
    value: str
    """Of its label; empty where it has none."""
    requested_tps: Finite
    a_mean_s: Finite | None
    """Null for counters, too."""
    b_mean_s: Finite | None
    a_per_s: Finite | None
    """Observations per second, over all nodes."""
    b_per_s: Finite | None


def compare_parts(a: Sequence[Summary], b: Sequence[Summary], loads: Sequence[float]) -> list[ComparedPart]:
    """Return the parts that both A and B measured at each load, over all nodes."""
    return [
        ComparedPart(
            part=part,
            value=value,
            requested_tps=load,
            a_mean_s=a_mean,
            b_mean_s=b_mean,
            a_per_s=a_rate,
            b_per_s=b_rate,
        )
        for load, (part, value), (a_mean, a_rate), (b_mean, b_rate) in in_both(a, b, loads, _by_value)
    ]


def _by_value(runs: Sequence[Summary]) -> dict[tuple[str, str], tuple[float | None, float | None]]:
    """Return median mean and median rate of each part and label value that all runs have."""
    stats: dict[tuple[str, str], list[tuple[float | None, float | None]]] = {}
    for run in runs:
        for part in run.breakdown:
            for value, each in part.values.items():
                mean = each.latency_s.mean if each.latency_s else None
                rate = None if each.count is None or not each.sampled_seconds else each.count / each.sampled_seconds
                stats.setdefault((part.name, value), []).append((mean, rate))
    return {
        key: (median_of([mean for mean, _ in each]), median_of([rate for _, rate in each]))
        for key, each in stats.items()
        if len(each) == len(runs)
    }
