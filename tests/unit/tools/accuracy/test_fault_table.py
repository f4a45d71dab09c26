"""Expectations of the table of faults: one for each kind, computed from round trips, and compared with results."""

from __future__ import annotations

from datetime import timedelta
from itertools import combinations
from pathlib import Path

import pytest
from factories.hosts import inventory

from benchmark.errors import UsageError
from benchmark.faults.kinds import KINDS
from benchmark.faults.schedule import make_schedule
from benchmark.faults.targets import Committee
from benchmark.measure.fault_impact import FaultImpact, RegionImpact
from benchmark.measure.run_metrics import Latency, Quantile
from benchmark.measure.window_stats import WindowStats
from benchmark.plan.deployment import deploy
from benchmark.plan.request import RunOptions, make_request
from benchmark.settings import Settings, parse_fault
from tools.accuracy.fault_cases import NODES, Case, Range, System, make_cases
from tools.accuracy.fault_table import cell, deviations

HOSTS = inventory(a=3, b=2, c=2, d=2, e=2)
FROM_A = {"b": 40.0, "c": 60.0, "d": 80.0, "e": 140.0}
RTT_MS = {pair: 200.0 for one, other in combinations("abcde", 2) for pair in ((one, other), (other, one))}
RTT_MS |= {pair: rtt for name, rtt in FROM_A.items() for pair in (("a", name), (name, "a"))}
REQUEST = make_request(
    Settings(regions=tuple("abcde")),
    RunOptions(protocol="etcd", committee=NODES, dedicated_clients=NODES, duration=timedelta(seconds=60), verify=True),
    (100,),
    Path("results"),
)
DEPLOYMENT = deploy(HOSTS, REQUEST, 100, RTT_MS)
SYSTEM = System.of(DEPLOYMENT, RTT_MS, hold_s=20.0)
CASES = make_cases(SYSTEM)
REGIONS = {f"node-{index}": region for index, region in enumerate("abcde")}


def test_every_kind_has_a_case_that_runs_accept() -> None:
    assert {case.kind for case in CASES} == {*KINDS, "clock"}
    committee = Committee.of(DEPLOYMENT, REQUEST.protocol, monitored=True)
    for case in CASES:
        fault = parse_fault(case.fault(15.0, 20.0))
        if case.rejected:
            with pytest.raises(UsageError, match=case.rejected):
                make_schedule((fault,), committee, 60.0, seed=1)
            continue
        (made,) = make_schedule((fault,), committee, 60.0, seed=1)
        assert made.start_s == 15.0
        assert made.end_s == (15.0 if KINDS[case.kind].instant else 35.0)


def test_the_system_is_that_of_the_deployment() -> None:
    assert SYSTEM.nodes == ("node-0", "node-1", "node-2", "node-3", "node-4")
    assert set(SYSTEM.clients) == set(SYSTEM.nodes)
    assert SYSTEM.election_s == 2.0


def test_means_are_the_way_to_the_leader_and_its_quorum() -> None:
    # The quorum needs the second nearest follower; the clients have 0, 40, 60, 80 and 140 ms to the leader.
    assert SYSTEM.mean_s() == pytest.approx(0.060 + 0.064)
    assert SYSTEM.mean_s(("node-3", "node-4")) == pytest.approx(0.060 + 0.1 / 3)
    assert SYSTEM.mean_s(("node-1",)) == pytest.approx(0.080 + 0.070)
    assert SYSTEM.change_s(added_s=0.2) == pytest.approx(0.2 + 0.2 * 4 / 5)


def test_unknown_round_trips_are_an_error() -> None:
    with pytest.raises(UsageError, match="round trips must be known beforehand"):
        System.of(deploy(HOSTS, REQUEST, 100), {}, hold_s=20.0)


def test_expectations_are_stated_in_words() -> None:
    words = {case.name: case.expected for case in CASES}
    assert words["crash:leader"] == ("outage: 1.9 to 7 s; some errors; no success of clients of node-0")
    assert words["delay:leader,delay=100ms"] == "outage: none; mean latency +0.26 to +0.46 s; no errors"
    assert words["clock:leader"] == "rejected before the run"


def stats(mean: float) -> WindowStats:
    latency = Latency.model_validate({"mean": mean, "stdev": None})
    return WindowStats(
        completed_tps=100, sent_tps=None, scheduled_tps=None, backlog_tps=None, completed=1000, sampled_seconds=10,
        latency_s=latency, successful_latency_s=latency, errors={},
    )  # fmt: skip


CASE = Case(
    "crash", "node-4", "", outage=Range(1, 3), added=Range(0.1, 0.3), errors=True, cut_off=("node-4",)
)  # fmt: skip
MET = FaultImpact(
    kind="crash", target="node-4", injected=1.0, healed=21.0, before=stats(0.1), during=stats(0.3),
    outage_s=2.0, lost=7, regions={"e": RegionImpact(longest_outage_s=20.0)},
)  # fmt: skip


def test_a_run_as_expected_has_no_deviation() -> None:
    assert deviations(CASE, MET, "ok", REGIONS, cut_s=18.0) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"outage_s": 3.1}, "outage 3.1 s"),
        ({"outage_s": 0.0}, "outage 0.0 s"),
        ({"outage_s": None, "unknown": {"all": "no logs"}}, "outage unknown: no logs"),
        ({"during": stats(0.5)}, "mean latency +0.40 s"),
        ({"during": None}, "mean latency unknown"),
        ({"lost": 0}, "errors: 0"),
        ({"lost": None}, "errors: unknown"),
        ({"regions": {"e": RegionImpact(longest_outage_s=9.0)}}, "clients of node-4: outage 9.0 s"),
        ({"regions": {}}, "clients of node-4: outage unknown"),
    ],
)
def test_each_figure_that_differs_is_a_deviation(change: dict[str, object], expected: str) -> None:
    assert deviations(CASE, MET.model_copy(update=change), "ok", REGIONS, cut_s=18.0) == [expected]


def test_parts_of_the_window_show_rate_mean_and_p99() -> None:
    slow = Latency.model_validate({"mean": 0.15, "stdev": None, "p99": Quantile(estimate=12, lower=10, upper=None)})
    assert cell(stats(0.1).model_copy(update={"successful_latency_s": slow})) == "100.0, 150 ms / > 10 s"
    assert cell(stats(0.1).model_copy(update={"completed_tps": 0, "successful_latency_s": None})) == "0.0"
    assert cell(None) == "-"


@pytest.mark.parametrize("verdict", ["violation", "unknown"])
def test_a_verdict_other_than_ok_is_a_deviation(verdict: str) -> None:
    assert deviations(CASE, MET, verdict, REGIONS, cut_s=18.0) == [f"linearizability: {verdict}"]
