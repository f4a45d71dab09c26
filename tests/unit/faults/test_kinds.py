"""Kinds of faults and their parameters."""

from __future__ import annotations

import pytest

from benchmark.errors import UsageError
from benchmark.faults.kinds import KINDS, DiskFull, DiskSlow, Loss, Partition, make_kind


def test_parameters_are_read() -> None:
    assert make_kind("loss", {"share": "30%"}) == make_kind("loss", {"share": 0.3}) == Loss(share=0.3)
    assert make_kind("partition", {"one_way": "out"}) == Partition(one_way="out")
    assert make_kind("disk_slow", {"bandwidth": "1MB/s"}) == DiskSlow(bandwidth=1_000_000)
    assert make_kind("disk_full", {}) == DiskFull(leave=0)
    assert make_kind("disk_full", {"leave": "10MB"}).model_dump(mode="json") == {"leave": "10MB"}


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("crsh", {}, "unknown kind of fault 'crsh'; did you mean 'crash'?"),
        ("evil", {}, f"unknown kind of fault 'evil'; known are: {', '.join(KINDS)}"),
        ("disk_slow", {}, "fault disk_slow: bandwidth is missing"),
        (
            "disk_slow",
            {"bandwidth": "1MB"},
            "fault disk_slow: bandwidth: '1MB' is not a bandwidth; write a number and its unit: 200MB/s, 1GB/s",
        ),
        ("cpu", {"share": "99%"}, "fault cpu: share: expected at most 0.95, found '99%'"),
        ("disk_stall", {"share": 1}, "fault disk_stall: unknown parameter 'share'; known are: none"),
        ("loss", {}, "fault loss: share is missing"),
        ("loss", {"share": "130%"}, "fault loss: share: expected at most 1, found '130%'"),
        ("loss", {"share": "x%"}, "fault loss: share: expected a number, found 'x%'"),
        ("crash", {"share": 1}, "fault crash: unknown parameter 'share'; known are: none"),
        ("partition", {"one_way": "up"}, "fault partition: one_way: expected 'in' or 'out', found 'up'"),
    ],
)
def test_errors_name_kind_and_parameter(name: str, parameters: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as error:
        make_kind(name, parameters)
    assert str(error.value) == message
