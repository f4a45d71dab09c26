"""The bounds of the tool that compares links with their settings; integration/test_wan.py runs it."""

from __future__ import annotations

import random
import statistics
from pathlib import Path

import pytest

from benchmark.settings import read_trace
from stacks.local.wan.emulator.impairments import Jitter, Loss
from stacks.local.wan.links import Direction
from tools.accuracy import wan_links
from tools.accuracy.wan_links import Arrival, Found, impaired, loss_interval, problems, quartile_distance, summarize


def test_a_direction_is_summarized_by_delay_bursts_and_order() -> None:
    numbers = [0, 1, 5, 4, 8, 9]
    found = summarize([Arrival(number, 0.0, 10.0 + number) for number in numbers], 12, "normal")
    assert found.mean_ms == pytest.approx(14.5)
    assert (found.bursts, found.overtaken) == ([2, 2, 2], 1)


@pytest.mark.parametrize("distribution", ["normal", "pareto"])
def test_the_distance_between_quartiles_gives_the_deviation(distribution: str) -> None:
    random.seed(1)
    jitter = Jitter(2.0, distribution, reorder=True)
    low, _, high = statistics.quantiles([jitter.draw() for _ in range(20_000)], n=4)
    assert (high - low) / quartile_distance(distribution) == pytest.approx(2.0, rel=0.04)


@pytest.mark.parametrize("direction", [Direction(1.0, loss=0.1), Direction(1.0, loss=0.1, mean_burst=4.0)])
def test_the_interval_of_losses_covers_nearly_all_samples_but_is_no_wider(direction: Direction) -> None:
    random.seed(2)
    lost = []
    for _ in range(200):
        loss = Loss(direction.loss, direction.mean_burst)
        lost.append(sum(loss.loses() for _ in range(500)))
    width = loss_interval(direction, 500)
    assert max(abs(number - 50) for number in lost) <= width
    assert statistics.stdev(lost) == pytest.approx(width / wan_links.Z, rel=0.25)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (Found(51.9, 1.0, [1] * 50, 0), []),
        (Found(52.1, 1.0, [1] * 50, 0), ["delay"]),
        (Found(47.9, 1.0, [1] * 50, 0), ["delay"]),
        (Found(50.0, 1.0, [1] * 80, 0), ["loss"]),
        (Found(50.0, 1.0, [1] * 20, 0), ["loss"]),
        (Found(50.0, 1.0, [1] * 50, 1), ["order"]),
    ],
)
def test_what_is_out_of_bounds_is_named(found: Found, expected: list[str]) -> None:
    assert problems(Direction(50.0, loss=0.1), found, 500) == expected


def test_links_have_every_kind_of_impairment() -> None:
    directions = impaired(["a", "b", "c", "d"], seed=1).directions
    between = [each for name, each in directions.items() if name[0] != name[-1]]
    assert {each.distribution for each in between if each.jitter_ms} == {"normal", "pareto"}
    assert {each.mean_burst > 1 for each in between if each.loss} == {True, False}
    assert any(not each.loss and not each.jitter_ms for each in between)


def test_a_random_trace_has_every_direction_each_second(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text(wan_links.random_trace(["a", "b", "c"], 4, seed=1))
    trace = read_trace(file)
    assert len(trace) == 6
    assert all([time for time, _ in series] == [0, 1, 2, 3] for series in trace.values())
