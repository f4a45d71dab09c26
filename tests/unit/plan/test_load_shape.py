"""Load shapes become segments whose peak is the requested load."""

from __future__ import annotations

from itertools import count, takewhile
from pathlib import Path

import pytest

from benchmark.errors import UsageError
from benchmark.host_scripts.load_generator.schedule import Schedule
from benchmark.plan.load_shape import rate_segments, scheduled_share


@pytest.mark.parametrize("heading", ["", "seconds,rate\n"])
def test_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path, heading: str) -> None:
    path = tmp_path / "rates.csv"
    path.write_text(f"{heading}0,10\n30,20\n", encoding="utf-8-sig")
    assert rate_segments(str(path), 0, 60) == ((0.0, 0.5, 0.5), (30.0, 1.0, 1.0))


def test_constant_load_has_no_segments() -> None:
    assert rate_segments("constant", 15, 180) == ()


def test_ramp_increases_from_the_warm_up_load_to_the_requested_load() -> None:
    assert rate_segments("ramp", 15, 60) == ((0.0, 0.1, 0.1), (15, 0.1, 1.0), (75, 1.0, 1.0))
    assert rate_segments("ramp:0.5", 15, 60)[1] == (15, 0.5, 1.0)


def test_steps_have_equal_height_and_length_up_to_the_requested_load() -> None:
    assert rate_segments("steps:4", 10, 40) == (
        (0.0, 0.25, 0.25), (10, 0.25, 0.25), (20, 0.5, 0.5), (30, 0.75, 0.75), (40, 1.0, 1.0),
    )  # fmt: skip


def test_load_shape_without_a_warm_up_starts_immediately() -> None:
    assert rate_segments("steps:2", 0, 10) == ((0, 0.5, 0.5), (5, 1.0, 1.0))


def test_highest_rate_of_a_file_is_the_requested_load(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.write_text("seconds,rate\n# measured on a Monday\n0,100\n\n1.5,400\n3,200\n")
    assert rate_segments(str(path), 2, 60) == ((0.0, 0.25, 0.25), (2, 0.25, 0.25), (3.5, 1, 1), (5, 0.5, 0.5))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("0,1\n2,x\n", "line 2: found '2,x', expected SECONDS,RATE"),
        ("0,1\n2\n", "line 2: found '2'"),
        ("0,1\n2,-1\n", "line 2: seconds and rates must be finite"),
        ("0,1\n2,nan\n", "line 2: seconds and rates must be finite"),
        ("1,1\n", "increase from 0"),
        ("0,1\n3,2\n3,1\n", "increase from 0"),
        ("0,0\n", "a rate above 0"),
        ("", "expected lines SECONDS,RATE"),
    ],
)
def test_invalid_file_is_a_usage_error_with_the_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "rates.csv"
    path.write_text(content)
    with pytest.raises(UsageError, match=message):
        rate_segments(str(path), 0, 60)


@pytest.mark.parametrize("text", ["", "steps", "steps:0", "steps:-2", "ramp:1", "ramp:x", "sine", "rates.txt"])
def test_unknown_load_shape_is_a_usage_error_with_the_accepted_ones(text: str) -> None:
    with pytest.raises(UsageError, match=r"expected constant, ramp, ramp:SHARE, steps:NUMBER or a CSV file"):
        rate_segments(text, 0, 60)


def test_missing_file_is_a_usage_error_with_its_name() -> None:
    with pytest.raises(UsageError, match=r"cannot read the load shape nowhere\.csv: No such file"):
        rate_segments("nowhere.csv", 0, 60)


def test_binary_file_is_a_usage_error_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.write_bytes("seconds,débit\n0,1\n".encode("latin-1"))
    with pytest.raises(UsageError, match=r"cannot read the load shape .*rates\.csv: it is not a text file in UTF-8"):
        rate_segments(str(path), 0, 60)


@pytest.mark.parametrize("shape", ["constant", "ramp", "ramp:0.5", "steps:4"])
@pytest.mark.parametrize("times", [(0.0, 30.0), (10.0, 30.0), (12.3, 17.9), (25.0, 40.0), (0.0, 5.0)])
def test_scheduled_share_is_what_the_generator_makes_due(shape: str, times: tuple[float, float]) -> None:
    segments = rate_segments(shape, 10.0, 20.0)
    rate = 1000.0
    scaled = [(start, rate * low, rate * high) for start, low, high in segments or ((0.0, 1.0, 1.0),)]
    schedule = Schedule(scaled, 0.0)
    due = list(takewhile(lambda moment: moment < times[1], map(schedule.due, count())))
    expected = sum(moment >= times[0] for moment in due)
    assert rate * scheduled_share(segments, *times) == pytest.approx(expected, abs=1.5)
