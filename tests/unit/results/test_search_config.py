"""The search algorithm and its limits, against simulated systems."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.errors import UsageError
from benchmark.measure.run_metrics import Latency, Quantile
from benchmark.results.search import Limits, NextAction, SearchConfig, Trial, judge, next_action
from benchmark.results.summary import Status, Summary

PLAN = SearchConfig(start_tps=100, maximum_tps=100_000)


def search(plan: SearchConfig, meets_at: Callable[[int], bool]) -> tuple[list[Trial], NextAction]:
    """Run a whole search against a simulated system."""
    trials: list[Trial] = []
    while (step := next_action(plan, trials)).requested_tps is not None:
        trials.append(Trial(step.requested_tps, meets_at(step.requested_tps)))
        assert len(trials) <= plan.max_runs
    return trials, step


@given(st.integers(min_value=1, max_value=100_000))
def test_search_finds_the_capacity_within_the_precision(capacity: int) -> None:
    trials, step = search(SearchConfig(start_tps=100, maximum_tps=100_000, max_runs=40), lambda load: load <= capacity)
    assert step.answer_tps is not None
    assert step.confirmed
    assert step.answer_tps <= capacity
    assert step.answer_tps >= min(capacity * 0.95 - 1, 100_000)
    assert sum(trial.requested_tps == step.answer_tps for trial in trials) == 3


def test_search_doubles_then_bisects_then_confirms() -> None:
    trials, step = search(SearchConfig(start_tps=100, maximum_tps=10_000, precision=0.1), lambda load: load <= 700)
    assert [trial.requested_tps for trial in trials] == [100, 200, 400, 800, 600, 700, 750, 700, 700]
    assert step == NextAction(None, 700, True, "700 tx/s met the limits in 3 runs; 750 tx/s fails")


def test_search_halves_a_failing_start_load() -> None:
    trials, step = search(SearchConfig(start_tps=800, maximum_tps=10_000, precision=0.1), lambda load: load <= 120)
    assert [trial.requested_tps for trial in trials][:4] == [800, 400, 200, 100]
    assert step.answer_tps is not None
    assert 108 <= step.answer_tps <= 120


def test_system_that_fails_at_every_load_has_no_answer() -> None:
    trials, step = search(SearchConfig(start_tps=100, maximum_tps=1000), lambda load: False)
    assert [trial.requested_tps for trial in trials] == [100, 50, 25, 12, 6, 3, 1]
    assert step == NextAction(None, None, False, "1 tx/s, the lowest load to be tried, fails")


def test_system_that_never_fails_is_confirmed_at_the_maximum() -> None:
    trials, step = search(SearchConfig(start_tps=100, maximum_tps=500), lambda load: True)
    assert [trial.requested_tps for trial in trials] == [100, 200, 400, 500, 500, 500]
    assert (step.answer_tps, step.confirmed) == (500, True)
    assert step.reason.endswith("it is the highest load to be tried")


def test_unconfirmed_load_counts_as_failed() -> None:
    seen: dict[int, int] = {}

    def flaky(load: int) -> bool:
        seen[load] = seen.get(load, 0) + 1
        return load < 400 or (load == 400 and seen[load] == 1)

    trials, step = search(SearchConfig(start_tps=100, maximum_tps=10_000, precision=0.2), flaky)
    assert step.confirmed
    assert step.answer_tps is not None
    assert 320 <= step.answer_tps < 400
    assert Trial(400, True) in trials
    assert Trial(400, False) in trials


@settings(max_examples=60)
@given(
    st.integers(min_value=0, max_value=2**32 - 1),
    st.integers(min_value=1, max_value=40),
    st.integers(min_value=0, max_value=4),
)
def test_search_never_exceeds_max_runs(seed: int, runs: int, confirmations: int) -> None:
    random = np.random.default_rng(seed)
    plan = SearchConfig(start_tps=100, maximum_tps=10_000, max_runs=runs, confirmations=confirmations)
    trials, step = search(plan, lambda load: bool(random.random() < 0.6))
    assert len(trials) <= runs
    if step.confirmed:
        answers = [trial for trial in trials if trial.requested_tps == step.answer_tps]
        assert len(answers) == confirmations + 1
        assert all(trial.met for trial in answers)
    if step.answer_tps is not None:
        assert all(trial.met for trial in trials if trial.requested_tps <= step.answer_tps)


def test_answer_without_enough_runs_is_not_confirmed() -> None:
    _, step = search(SearchConfig(start_tps=100, maximum_tps=100_000, max_runs=4), lambda load: load <= 500)
    assert step == NextAction(None, 400, False, "stopped after 4 runs, not confirmed")


def test_resumed_search_continues_with_the_same_loads() -> None:
    trials, _ = search(PLAN, lambda load: load <= 2345)
    for done in range(len(trials)):
        assert next_action(PLAN, trials[:done]).requested_tps == trials[done].requested_tps


def test_answer_for_a_noisy_system_rarely_exceeds_its_capacity() -> None:
    """A system whose latency is noisy near its capacity of 3000 tx/s: the limit is met with falling probability."""
    random = np.random.default_rng(5)
    answers = []
    for _ in range(100):
        _, step = search(PLAN, lambda load: bool(random.normal(load, 0.03 * load) <= 3000))
        answers.append(step.answer_tps or 0)
    assert np.median(answers) > 0.85 * 3000
    assert np.mean(np.array(answers) > 3000) < 0.1


@pytest.mark.parametrize(
    "fields",
    [{"start_tps": 0}, {"maximum_tps": 50}, {"precision": 0.0}, {"max_runs": 0}],
)
def test_invalid_search_config_is_rejected(fields: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="a search needs"):
        SearchConfig(**({"start_tps": 100, "maximum_tps": 1000} | fields))  # type: ignore[arg-type]


def summary(throughput: float = 199.0, upper: float | None = 0.9, status: Status = "ok") -> Summary:
    quantile = Quantile(estimate=0.85, lower=0.8, upper=upper)
    return Summary(
        run_id="r",
        protocol="etcd",
        commit="",
        nodes=3,
        clients=3,
        requested_tps=200.0,
        completed_tps=throughput,
        latency_s=Latency(mean=0.5, stdev=None, p50=quantile, p90=quantile, p99=quantile, p999=quantile),
        status=status,
        reasons=[] if status == "ok" else ["node a died"],
    )


@pytest.mark.parametrize(
    ("run", "met"),
    [
        (summary(), True),
        (summary(throughput=195), False),
        (summary(upper=1.0), True),
        (summary(upper=1.1), False),
        (summary(upper=None), False),
    ],
)
def test_limit_is_met_only_if_the_upper_bound_meets_it(run: Summary, met: bool) -> None:
    found, text = judge(run, Limits())
    assert found is met
    assert (Limits().violations(run) == []) is met, "a report cannot contradict the verdict"
    assert f"of 200 tx/s (at least 98 %), p99 {'at most' if run.latency_s.p99.upper else 'more than 0.8 s'}" in text


def test_failed_requests_are_part_of_the_p99_that_is_limited() -> None:
    quantile = Quantile(estimate=2.0, lower=2.0, upper=None)
    latency = Latency(mean=0.031, stdev=None, p50=quantile, p90=quantile, p99=quantile, p999=quantile)
    run = summary().model_copy(update={"latency_s": latency, "errors": {"timeout": 180}})
    met, text = judge(run, Limits())
    assert not met
    assert text.endswith("p99 more than 2 s (limit 1 s), 180 requests failed")


def test_a_verdict_without_a_counter_of_failures_says_so() -> None:
    text = judge(summary().model_copy(update={"errors": None}), Limits())[1]
    assert text.endswith("(limit 1 s), failed requests unknown")


@pytest.mark.parametrize("throughput", [0.0, 195.9, 195.999, 196.0, 196.001, 200.0, 210.0])
@pytest.mark.parametrize("upper", [0.5, 0.9999, 1.0, 1.0001, None])
def test_verdict_is_that_no_limit_is_violated(throughput: float, upper: float | None) -> None:
    run, limits = summary(throughput, upper), Limits()
    violated = limits.violations(run)
    assert judge(run, limits)[0] == (not violated)
    assert ("throughput" in violated) == (throughput < 196)
    assert ("p99" in violated) == (upper is None or upper > 1)


def test_run_without_latency_or_throughput_violates_both_limits() -> None:
    unmeasured = summary().model_copy(update={"completed_tps": None, "latency_s": None})
    assert Limits().violations(unmeasured) == ["throughput", "p99"]


def test_verdict_never_rounds_a_violated_limit_up_to_a_met_one() -> None:
    assert "achieved 97.9 % of 200 tx/s (at least 98 %)" in judge(summary(throughput=195.999), Limits())[1]
    assert "(at least 98.5 %)" in judge(summary(), Limits(achieved=0.985))[1]


@pytest.mark.parametrize("status", ["invalid", "failed", "interrupted"])
def test_run_that_is_not_ok_cannot_decide_a_search(status: Status) -> None:
    with pytest.raises(UsageError, match=f"run r is {status} and cannot decide a search: node a died"):
        judge(summary(status=status), Limits())
