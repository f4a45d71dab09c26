"""Due times: exact, without drift, interleaved between clients."""

from __future__ import annotations

from math import inf

import pytest

from benchmark.host_scripts.load_generator.schedule import Schedule

Segments = list[tuple[float, float, float]]


def test_request_n_is_due_after_n_periods_without_drift() -> None:
    schedule = Schedule([(0.0, 17.0, 17.0)], 0.002)
    assert schedule.due(0) == pytest.approx(0.002, abs=1e-12)
    assert schedule.due(10**9) == pytest.approx(10**9 / 17 + 0.002, rel=1e-14)


def test_steps_and_pauses_are_exact() -> None:
    schedule = Schedule([(0.0, 10.0, 10.0), (1.0, 0.0, 0.0), (2.0, 100.0, 100.0)], 0.0)
    assert [schedule.due(n) for n in (0, 9, 10, 11, 110)] == pytest.approx([0.0, 0.9, 2.0, 2.01, 3.0])


def test_due_times_of_a_ramp_follow_its_integral() -> None:
    schedule = Schedule([(0.0, 0.0, 100.0), (2.0, 100.0, 100.0)], 0.0)  # 25 t^2 until 2 s
    assert [schedule.due(n) for n in (0, 25, 64, 100, 150)] == pytest.approx([0.0, 1.0, 1.6, 2.0, 2.5])
    falling = Schedule([(0.0, 100.0, 0.0), (2.0, 0.0, 0.0)], 0.0)
    assert [falling.due(n) for n in (0, 75, 99)] == pytest.approx([0.0, 1.0, 1.8])
    assert falling.due(100) in (2.0, inf)
    assert falling.due(101) == inf


def test_no_request_is_due_without_load() -> None:
    assert Schedule([(0.0, 0.0, 0.0)], 0.1).due(0) == inf


@pytest.mark.parametrize("segments", [[(0.0, 1.0, 1.0)], [(0.0, 1.0, 3.0), (5.0, 0.5, 0.5), (6.0, 4.0, 4.0)]])
def test_clients_with_offsets_interleave_to_the_total_schedule(segments: Segments) -> None:
    clients, load = 5, 50.0
    shares = [(t, low * load / clients, high * load / clients) for t, low, high in segments]
    total = Schedule([(t, low * load, high * load) for t, low, high in segments], 0.0)
    mean = (segments[0][1] + segments[0][2]) / 2 * load
    parts = [Schedule(shares, index / mean) for index in range(clients)]
    merged = sorted(part.due(n) for part in parts for n in range(200))
    assert merged == pytest.approx([total.due(n) for n in range(1000)], abs=1e-9)
