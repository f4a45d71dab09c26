"""The table of faults that are healed after a kill: its cells, and what is compared."""

from __future__ import annotations

import pytest

from benchmark.faults.kinds import KINDS, make_kind
from benchmark.settings import parse_fault
from tools.accuracy.fault_healing import cells, differences, example


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_an_example(kind: str) -> None:
    fault = parse_fault(example(KINDS[kind]))
    assert isinstance(make_kind(fault.kind, fault.parameters), KINDS[kind])
    assert (fault.end is None) == KINDS[kind].instant


def test_what_is_healed_at_once_is_not_held() -> None:
    assert cells(["restart", "pause"], ["inject", "hold"], ["agent"]) == [
        ("restart", "inject", "agent"),
        ("pause", "inject", "agent"),
        ("pause", "hold", "agent"),
    ]


def test_differences_are_named_once() -> None:
    clean = {"a": {"files": [], "slow disk": False}, "b": {"files": [], "slow disk": False}}
    assert differences(clean, clean) == ""
    now = {"a": {"files": ["x.fill"], "slow disk": True}, "b": {"files": ["y.fill"], "slow disk": False}}
    assert differences(clean, now) == "files, slow disk"
