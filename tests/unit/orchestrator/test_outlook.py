from __future__ import annotations

from benchmark.orchestrator.outlook import Position, estimated_end


def test_later_runs_take_their_load_and_what_earlier_ones_took_beyond() -> None:
    assert estimated_end(1000.0, 60.0, Position(2, 4, (60.0, 30.0)), [4.0, 6.0]) == 1000 + 65 + 65 + 35


def test_the_last_run_ends_with_its_overhead() -> None:
    assert estimated_end(0.0, 60.0, Position(4, 4), [5.0]) == 65


def test_the_first_run_has_an_assumed_overhead() -> None:
    found = estimated_end(0.0, 60.0, Position(), [])
    assert found is not None
    assert 60 < found < 90


def test_the_end_of_a_search_is_unknown() -> None:
    assert estimated_end(0.0, 60.0, Position(3, None), [5.0]) is None
