"""What faults order their hosts to do."""

from __future__ import annotations

import pytest
from factories.committees import committee

from benchmark.faults.kinds import KINDS, HostKind
from benchmark.faults.schedule import make_schedule
from benchmark.host_scripts.inject.agent import MECHANISMS
from benchmark.orchestrator.mechanisms import mechanism_names, mechanisms
from benchmark.settings import parse_fault


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("disk_full:node-1@1s-2s", {"kind": "fill", "leave": 0}),
        ("disk_full:node-1,leave=1MB@1s-2s", {"kind": "fill", "leave": 1_000_000}),
        ("disk_slow:node-1,bandwidth=2MB/s@1s-2s", {"kind": "throttle", "bandwidth": 2_000_000}),
        ("disk_stall:node-1@1s-2s", {"kind": "throttle", "bandwidth": 0}),
        ("cpu:node-1,share=80%@1s-2s", {"kind": "burn", "share": 0.8}),
        ("memory:node-1,share=0.5@1s-2s", {"kind": "hold", "share": 0.5}),
    ],
)
def test_faults_of_hosts_become_orders_in_bytes_and_shares(text: str, order: dict[str, object]) -> None:
    nodes = committee(a=3)
    (fault,) = make_schedule([parse_fault(text)], nodes, 10, 1)
    assert mechanisms(fault, nodes, {}) == {"a-1": [{**order, "processes": ["node-1"]}]}


def test_hosts_know_the_mechanism_of_every_kind() -> None:
    assert {kind.mechanism for kind in KINDS.values() if issubclass(kind, HostKind)} <= {*MECHANISMS}
    assert [mechanism_names(KINDS[name]()) for name in ("crash", "disk_stall")] == [["crash"], ["throttle"]]
