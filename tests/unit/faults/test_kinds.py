"""Kinds of faults and their parameters."""

from __future__ import annotations

import pytest

from benchmark.errors import UsageError
from benchmark.faults.kinds import KINDS, DiskFull, DiskSlow, Impairment, Loss, Partition, make_kind


def test_parameters_are_read() -> None:
    assert make_kind("loss", {"share": "30%"}) == make_kind("loss", {"share": 0.3}) == Loss(share=0.3)
    assert make_kind("partition", {"one_way": "out"}) == Partition(one_way="out")
    assert make_kind("disk_slow", {"bandwidth": "1MB/s"}) == DiskSlow(bandwidth=1_000_000)
    assert make_kind("disk_full", {}) == DiskFull(leave=0)
    assert make_kind("disk_full", {"leave": "10MB"}).model_dump(mode="json") == {"leave": "10MB"}

    assert make_kind("partition", {"bridge": 1}) == Partition(bridge="1")


@pytest.mark.parametrize(
    ("name", "parameters", "ordered", "recorded"),
    [
        ("delay", {"delay": "100ms"}, {"delay_s": 0.1}, {"delay": "100ms"}),
        ("jitter", {"jitter": "20ms"}, {"jitter_s": 0.02}, {"jitter": "20ms"}),
        ("bandwidth", {"rate": "1.5Mbit"}, {"rate_bps": 1.5e6}, {"rate": "1.5Mbit"}),
        ("bandwidth", {"rate": "500kbit/s", "one_way": "in"}, {"rate_bps": 5e5}, {"rate": "500kbit", "one_way": "in"}),
        ("flap", {"period": "2s", "share": "30%"}, {"period_s": 2.0, "down": 0.3}, {"period": "2s", "share": 0.3}),
    ],
)
def test_impairments_are_ordered_in_base_units_and_recorded_as_written(
    name: str, parameters: dict[str, object], ordered: dict[str, float], recorded: dict[str, object]
) -> None:
    kind = make_kind(name, parameters)
    assert isinstance(kind, Impairment)
    assert kind.parameters() == ordered
    assert kind.model_dump(mode="json", exclude_none=True) == recorded
    assert make_kind(name, recorded) == kind


REASON = (
    "a clock that is set for one program cannot be proved: hosts share the kernel's clock or have it synchronized, Go "
    "and static programs never load libfaketime, and others do not report the time that they read"
)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("crsh", {}, "unknown kind of fault 'crsh'; did you mean 'crash'?"),
        ("evil", {}, f"unknown kind of fault 'evil'; known are: {', '.join(KINDS)}"),
        ("clock", {"by": "5s"}, f"fault clock: {REASON}"),
        ("disk_slow", {}, "fault disk_slow: bandwidth is missing"),
        (
            "disk_slow",
            {"bandwidth": "1MB"},
            "fault disk_slow: bandwidth: '1MB' is not a bandwidth; write a number and its unit: 200MB/s, 1GB/s",
        ),
        ("cpu", {"share": "99%"}, "fault cpu: share: expected at most 0.95, found '99%'"),
        ("disk_stall", {"share": 1}, "fault disk_stall: unknown parameter 'share'; known are: none"),
        ("delays", {}, "unknown kind of fault 'delays'; did you mean 'delay'?"),
        ("delay", {}, "fault delay: delay is missing"),
        ("delay", {"delay": "3s"}, "fault delay: delay: expected at most 2s, found 3s"),
        ("delay", {"delay": "0.1ms"}, "fault delay: delay: expected at least 1ms, found 0.1ms"),
        ("bandwidth", {"rate": "10MB"}, "fault bandwidth: rate: found '10MB'; write a rate such as 10Mbit or 500kbit"),
        ("flap", {"share": 0.5}, "fault flap: period is missing"),
        ("partition", {"leader_of": "x"}, "fault partition: leader_of: expected 'majority' or 'minority', found 'x'"),
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
