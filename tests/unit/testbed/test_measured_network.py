"""Files of a measured network describe what its round trips were."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmark.cli.network import MOST_ROWS, pace
from benchmark.settings import Jitter, Link, Loss, format_trace, read_matrix, read_trace
from benchmark.testbed.measured_network import link_stats, matrix, trace
from benchmark.testbed.round_trips import RoundTrips, Sample


def measured(*times: float | None) -> RoundTrips:
    samples = [Sample(index / 10, rtt_ms) for index, rtt_ms in enumerate(times)]
    return RoundTrips({("b", "a"): [Sample(0.05, 71.0)], ("a", "b"): samples, ("a", "c"): [Sample(0.0, None)]})


def link(*times: float | None) -> Link:
    return link_stats(measured(*times))[0].to_link()


def test_a_steady_link_has_the_median_and_no_jitter() -> None:
    assert link(70.0, 70.02, 70.01) == Link(source="a", destination="b", rtt_ms=70.01)


def test_each_direction_gets_half_of_the_variance_and_of_the_loss() -> None:
    values = random.Random(1)
    found = link(*(values.gauss(70, 3) for _ in range(4000)), *(None,) * 210)
    assert found.rtt_ms == pytest.approx(70, abs=0.2)
    assert found.jitter is not None
    assert found.jitter.stdev_ms == pytest.approx(3 / math.sqrt(2), rel=0.05)
    assert found.jitter.distribution == "normal"
    assert found.loss is not None
    assert 1 - (1 - found.loss.share) ** 2 == pytest.approx(210 / 4210, rel=1e-3)


def test_late_answers_make_a_long_tail_with_the_mean_as_the_delay() -> None:
    assert link(*(70.0,) * 99, 90.0) == Link(
        source="a", destination="b", rtt_ms=70.2, jitter=Jitter(stdev_ms=1.407, distribution="pareto")
    )


def test_files_are_read_by_the_settings(tmp_path: Path) -> None:
    trips = measured(70.0, None, 72.5)
    stats = link_stats(trips)
    assert [(each.source, each.target, each.sent, each.lost) for each in stats] == [("a", "b", 3, 1), ("b", "a", 1, 0)]
    (tmp_path / "n.yaml").write_text(matrix(stats, "t", datetime(2026, 1, 1, tzinfo=UTC)).to_yaml())
    found = read_matrix(tmp_path / "n.yaml")
    assert found.links == tuple(each.to_link() for each in stats)
    assert found.links[0].loss == Loss(share=round(1 - math.sqrt(2 / 3), 5))
    (tmp_path / "n.csv").write_text(format_trace(trace(trips.samples)))
    assert read_trace(tmp_path / "n.csv") == {("a", "b"): [(0.0, 70.0), (0.2, 72.5)], ("b", "a"): [(0.05, 71.0)]}


@pytest.mark.parametrize(
    ("seconds", "pairs", "count", "every_s"), [(5, 4, 100, 0.05), (3600, 100, 3600, 1.0), (86400, 100, 10000, 8.64)]
)
def test_long_traces_are_coarser(seconds: float, pairs: int, count: int, every_s: float) -> None:
    probes, interval_s = pace(seconds, pairs)
    assert probes == count
    assert interval_s == pytest.approx(every_s)
    assert probes * pairs <= MOST_ROWS
