"""What happens to packets that are held, on a clock of the tests' own."""

from __future__ import annotations

import statistics

import pytest

from benchmark.host_scripts.inject.impairments import IMPAIRMENTS, Held, Rate
from benchmark.host_scripts.inject.packet_queue import Packet

HERE, THERE = b"\x0a\x00\x00\x01", b"\x0a\x00\x00\x02"
OUT, IN = (False, THERE), (True, THERE)


def held(*faults: tuple[str, dict[str, float]]) -> Held:
    """Return what holds packets of both directions of one link under faults."""
    made = Held()
    for name, parameters in faults:
        made.impair(name, IMPAIRMENTS[name](**parameters), [OUT, IN])
    return made


def passage(made: Held, times: list[float], size: int = 1000, *, inbound: bool = False) -> dict[int, float]:
    """Send packets of a link at some times; return when each left, by its number."""
    left = {}
    step = 0.0005
    for number, sent in enumerate(times):
        made.add(Packet(number, inbound, THERE, size), sent)
    now = times[0]
    while made.next_due() is not None:
        left.update({packet.number: now for packet in made.due(now)})
        now += step
    return left


def test_delay_is_the_same_for_every_packet() -> None:
    made = held(("delay", {"delay_s": 0.1}))
    left = passage(made, [1.0, 1.05, 1.2])
    assert left == pytest.approx({0: 1.1, 1: 1.15, 2: 1.3}, abs=0.001)
    assert made.figures("delay")["links"] == [[False, THERE.hex(), 3, 0], [True, THERE.hex(), 0, 0]]


def test_packets_of_other_links_pass_at_once() -> None:
    made = held(("delay", {"delay_s": 0.1}))
    made.add(Packet(1, False, HERE, 100), 5.0)
    assert [packet.number for packet in made.due(5.0)] == [1]


def test_faults_of_one_link_add_up() -> None:
    made = held(("delay", {"delay_s": 0.1}), ("rate", {"rate_bps": 80e3}))
    left = passage(made, [1.0, 1.0, 1.0])  # 0.1 s each at this rate
    assert left == pytest.approx({0: 1.2, 1: 1.3, 2: 1.4}, abs=0.001)
    made.mend("delay")
    assert passage(made, [9.0]) == pytest.approx({0: 9.1}, abs=0.001)


def test_jitter_draws_from_the_whole_range_and_keeps_the_order() -> None:
    made = held(("jitter", {"jitter_s": 0.02}))
    times = [1 + 0.005 * number for number in range(2000)]
    left = passage(made, times)
    assert list(left) == sorted(left)
    added = [left[number] - sent for number, sent in enumerate(times)]
    assert min(added) < 0.004
    assert 0.016 < max(added) < 0.0215
    assert statistics.mean(added) == pytest.approx(0.0115, abs=0.002)  # a little over half, to keep the order


def test_rate_is_that_of_all_links_of_a_direction_and_its_buffer_is_limited() -> None:
    made = Held()
    made.impair("rate", Rate(8e6), [(False, HERE), (False, THERE), (True, THERE)])
    for number in range(200):
        made.add(Packet(number, False, (HERE, THERE)[number % 2], 1000), 1.0)
    now, left = 1.0, []
    while made.next_due() is not None:
        left += [now for _ in made.due(now)]
        now += 0.0005
    assert len(left) == 101  # 0.1 s of the rate wait, besides the one on its way
    assert left[-1] == pytest.approx(1.101, abs=0.001)
    figures = made.figures("rate")
    assert sum(dropped for *_, dropped in figures["links"]) == 99
    assert figures["busy_bytes"] * 8 / figures["busy_s"] == pytest.approx(8e6, rel=0.02)
    assert passage(made, [2.0], inbound=True) == pytest.approx({0: 2.001}, abs=0.0006)


def test_links_flap_by_the_clock() -> None:
    made = held(("flap", {"begins": 10.0, "period_s": 2.0, "down": 0.25}))
    left = passage(made, [10.1, 10.4, 10.6, 11.9, 12.1, 12.6, 14.4])
    assert list(left) == [2, 3, 5]
    figures = made.figures("flap")
    assert (figures["cut"], figures["open"]) == (3, 2)
    assert figures["links"][0][2:] == [7, 4]


def test_lateness_of_packets_is_measured() -> None:
    made = held(("delay", {"delay_s": 0.1}))
    made.add(Packet(1, False, THERE, 100), 1.0)
    assert list(made.due(1.05)) == []
    assert len(list(made.due(1.13))) == 1
    assert made.figures("delay")["late_s"] == pytest.approx(0.03)
