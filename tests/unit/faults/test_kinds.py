"""Kinds of faults and their parameters."""

from __future__ import annotations

import pytest

from benchmark.errors import UsageError
from benchmark.faults.kinds import Loss, Partition, make_kind


def test_parameters_are_read() -> None:
    assert make_kind("loss", {"share": "30%"}) == make_kind("loss", {"share": 0.3}) == Loss(share=0.3)
    assert make_kind("partition", {"one_way": "out"}) == Partition(one_way="out")


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("crsh", {}, "unknown kind of fault 'crsh'; did you mean 'crash'?"),
        ("delay", {}, "unknown kind of fault 'delay'; known are: crash, pause, restart, partition, loss, host_down"),
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
