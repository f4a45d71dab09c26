"""Random schedules are the same for the same seed, and never ones that a run rejects."""

from __future__ import annotations

from pathlib import Path

import pytest
from factories.hosts import inventory

from benchmark.faults.schedule import make_schedule
from benchmark.faults.targets import Committee
from benchmark.plan.deployment import deploy
from benchmark.plan.request import RunOptions, make_request
from benchmark.results.summary import Identity, not_measured
from benchmark.results.verification import Verification
from benchmark.settings import Settings, parse_fault
from tools.accuracy.random_faults import DURATION_S, LATEST_END_S, judge, schedule

HOSTS = inventory(a=4, b=3)
REQUEST = make_request(
    Settings(regions=("a", "b")),
    RunOptions(committee=5, dedicated_clients=1, duration=f"{DURATION_S}s"),  # type: ignore[arg-type]
    (50,),
    Path("results"),
)


def test_every_seed_has_a_schedule_that_runs_accept() -> None:
    found = {seed: schedule(seed, HOSTS, REQUEST) for seed in range(1, 21)}
    assert found == {seed: schedule(seed, HOSTS, REQUEST) for seed in range(1, 21)}
    assert len(set(found.values())) == 20
    assert {len(faults) for faults in found.values()} == {1, 2, 3}
    committee = Committee.of(deploy(HOSTS, REQUEST, 50), REQUEST.protocol, monitored=True)
    for faults in found.values():
        for fault in make_schedule(tuple(map(parse_fault, faults)), committee, DURATION_S, seed=5):
            assert fault.end_s is not None
            assert fault.end_s <= LATEST_END_S


@pytest.mark.parametrize(
    ("reasons", "verdict", "expected"),
    [([], "ok", "ok"), (["fault crash:one was not healed"], "ok", "fault not proved"), ([], "violation", "violation")],
)
def test_a_fault_that_was_not_proved_is_no_success(reasons: list[str], verdict: str, expected: str) -> None:
    identity = Identity(run_id="r", protocol="etcd", commit="c", nodes=5, clients=1, requested_tps=50)
    checked = Verification(verdict=verdict, operations=3, timeouts=0, seconds=0.1)  # type: ignore[arg-type]
    found = not_measured(identity, "failed", "").model_copy(update={"reasons": reasons, "verification": checked})
    assert judge(found)[0] == expected
    assert judge("no hosts") == ("failed", "no hosts")
