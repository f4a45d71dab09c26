"""Progress is required only while the faults in force are tolerated, of those whom they do not affect."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from factories.faults import fault_record
from factories.hosts import inventory
from factories.latency_logs import recorded
from factories.sample_factory import labels_of, series

from benchmark.faults.record import FaultRecord
from benchmark.measure.scrapes import RunSamples
from benchmark.plan.placement import place
from benchmark.protocols.etcd import Etcd, EtcdClient, EtcdNode
from benchmark.results.verification import Progress
from benchmark.verify.progress import (
    Witness,
    judge_progress,
    witnesses_of_history,
    witnesses_of_logs,
    witnesses_of_nodes,
)

START, END, LIMIT = 1000.0, 1100.0, 20.0


def witness(*without: tuple[float, float], node: str | None = "node-1", host: str = "probe") -> Witness:
    """One that has a success every 0.5 s but `without` these times, in s since the load began."""
    times = np.arange(START, END, 0.5)
    for start, end in without:
        times = times[(times < START + start) | (times > START + end)]
    return Witness(times, node, host)


def fault(start: float, end: float | None, *nodes: str, kind: str = "crash") -> FaultRecord:
    return fault_record(start, end, START, kind=kind, nodes=nodes, hosts=tuple(f"host of {node}" for node in nodes))


def judged(*witnesses: Witness, faults: tuple[FaultRecord, ...] = ()) -> Progress:
    return judge_progress(witnesses, faults, 1, (START, END), LIMIT)


def test_a_system_that_always_responds_makes_progress() -> None:
    found = judged(witness())
    assert (found.verdict, found.reason, found.required_s) == ("ok", "", 100.0)
    assert found.longest_s == 0.5
    assert str(found).startswith("ok, at most 0.5 s without a success in the 100 s")


def test_a_stall_without_faults_is_no_progress() -> None:
    found = judged(witness((40, 65)))
    assert found.verdict == "no progress"
    assert "nothing succeeded for 26.0 s from 39.5 s after the load began" in found.reason
    assert judged(witness((40, 55))).verdict == "ok"
    assert judged(witness((40, 65)), witness((60, 90))).verdict == "ok", "another node responded"


def test_a_system_that_never_succeeds_makes_no_progress() -> None:
    found = judged(witness((-1, 101)))
    assert (found.verdict, found.longest_s) == ("no progress", 100.0)


def test_a_tolerated_fault_excuses_nobody_else_once_the_system_had_time() -> None:
    one = fault(30, 70, "node-0")
    assert judged(witness((30, 45)), faults=(one,)).verdict == "ok"
    assert judged(witness((30, 60)), faults=(one,)).verdict == "no progress"
    found = judged(witness((30, 100), node="node-0"), faults=(one,))
    assert (found.verdict, found.required_s) == ("no progress", pytest.approx(59.7)), "it did not recover"
    assert judged(witness((30, 89), node="node-0"), faults=(one,)).verdict == "ok", "19 s after it was healed"


def test_nothing_is_required_beyond_what_is_tolerated() -> None:
    both = fault(10, 90, "node-0"), fault(12, 95, "node-2")
    assert judged(witness((10, 100)), faults=both).verdict == "unknown"
    assert judged(witness((10, 100)), faults=(both[0], fault(12, 95, "node-0", kind="loss"))).verdict == "no progress"
    permanent = fault(10, None, "node-0", "node-2")
    found = judged(witness((10, 100)), faults=(permanent,))
    assert (found.verdict, found.longest_s) == ("unknown", None)
    assert found.reason == "there were no 20 s in which the faults in force were tolerated"


def test_faults_of_the_network_excuse_those_who_run_on_the_host() -> None:
    stalled = witness((10, 95), host="host of node-0")
    assert judged(stalled, faults=(fault(10, 90, "node-0", kind="partition"),)).verdict == "unknown"
    assert judged(stalled, faults=(fault(10, 90, "node-0", kind="crash"),)).verdict == "no progress"


def test_a_client_of_unknown_nodes_is_required_to_progress_only_without_faults() -> None:
    one = fault(10, 60, "node-0")
    assert judged(witness((10, 75), node=None), faults=(one,)).verdict == "ok"
    assert judged(witness((10, 95), node=None), faults=(one,)).verdict == "no progress"


def test_a_fault_that_was_not_injected_changes_nothing() -> None:
    never = fault(10, 90, "node-0").model_copy(update={"injected": None})
    assert judged(witness((10, 95), node="node-0"), faults=(never,)).verdict == "no progress"


def test_writes_in_a_history_show_progress(tmp_path: Path) -> None:
    header = {"format": 1, "started": 5_000_000_000, "started_unix": 1000.5, "replicas": ["node-0", "node-1"]}
    common = {"key": "0", "outcome": "ok", "start": 5_000_000_000}
    operations = [
        {"client": 0, "op": "write", **common, "end": 6_000_000_000},
        {"client": 3, "op": "cas", **common, "swapped": True, "end": 7_000_000_000},
        {"client": 2, "op": "cas", **common, "swapped": False, "end": 8_000_000_000},
        {"client": 2, "op": "read", **common, "found": "c1-1", "end": 8_000_000_000},
        {"client": 2, "op": "write", **common, "outcome": "unknown", "end": 8_000_000_000},
    ]
    path = tmp_path / "history.jsonl"
    cut = json.dumps(operations[0])[:-1]
    path.write_text("".join(json.dumps(line) + "\n" for line in [header, *operations]) + cut)
    first, second = witnesses_of_history(path, "h", 0.5)
    assert (first.node, first.host, first.successes.tolist()) == ("node-0", "h", [1001.0])
    assert (second.node, second.successes.tolist()) == ("node-1", [1002.0])
    path.write_text(json.dumps(header | {"clients": 1}) + "\n" + json.dumps(operations[0]) + "\n")
    assert [each.node for each in witnesses_of_history(path, "h", 0.0)] == ["node-0"], "nobody uses the other"
    for text in ("", "[]\n", '{"format": 1}\n', "{"):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"header|Expecting|delimiter|property"):
            witnesses_of_history(path, "h", 0.0)


def test_intervals_of_latency_logs_show_progress() -> None:
    ended = np.array([1000.05, 1000.06, 1003.01])
    (found,) = witnesses_of_logs([recorded("a-1", ended, np.full(3, 0.01))])
    assert found.successes.tolist() == pytest.approx([1000.05, 1003.05])
    assert (found.node, found.host) == (None, "a-1")


def test_nodes_that_count_transactions_show_progress() -> None:
    plan = place(inventory(a=3), Etcd, load=10)
    nodes = Etcd(EtcdNode(), EtcdClient()).nodes(plan)
    times, counts = np.array([1000.0, 1001.0, 1002.0, 1003.0]), np.array([1.0, 2.0, 2.0, 5.0])
    one = series("commits_total", labels_of(nodes[1].host.name, job="node"), times, counts)
    (found,) = witnesses_of_nodes(RunSamples([one]), nodes, "commits_total")
    assert (found.node, found.successes.tolist()) == ("node-1", [1001.0, 1003.0])
