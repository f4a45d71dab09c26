"""What faults did, found in logs of requests whose outages and recoveries are known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from factories.latency_logs import joined, recorded
from factories.sample_factory import Array

from benchmark.measure.client_logs import ClientLog
from benchmark.measure.fault_impact import FaultImpact, FaultWindow, fault_impacts
from benchmark.measure.impact_counts import Criteria

START, END = 1000.0, 1030.0
DUE = np.arange(995.0, 1032.0, 0.004) + 0.0005
LATENCY = 0.02 + 0.002 * np.random.default_rng(1).random(len(DUE))


def stopped(*stops: tuple[float, float], due: Array = DUE, usual: Array = LATENCY) -> Array:
    """Return latencies if nothing completes for some seconds from some moments on, and all of it right after."""
    latency = usual
    for begin, seconds in stops:
        ended = due + latency
        latency = np.where((ended >= begin) & (ended < begin + seconds), begin + seconds - due, latency)
    return latency


def log_of(latency: Array, due: Array = DUE, **more: str) -> ClientLog:
    return recorded("a", due + latency, latency, **more)


def failing(begin: float, seconds: float, after: float, error: str) -> ClientLog:
    """Return the log of a client whose requests due in some seconds all fail, so long `after` they were due."""
    bad = (begin <= DUE) & (begin + seconds > DUE)
    lost = recorded("a", DUE[bad] + after, np.full(bad.sum(), after), error=error)
    return joined(log_of(LATENCY[~bad], DUE[~bad]), lost)


def impact(
    *clients: ClientLog, healed: float | None = 1012.0, injected: float = 1005.0, criteria: Criteria | None = None
) -> FaultImpact:
    fault = FaultWindow("pause", "leader", injected, healed)
    (found,) = fault_impacts([fault], clients, START, END, criteria or Criteria())
    return found


def near(seconds: float) -> object:
    """Equal to an interval of the logs."""
    return pytest.approx(seconds, abs=0.1 + 1e-6)


def test_a_stop_of_1_3_s_is_an_outage_of_1_3_s() -> None:
    found = impact(log_of(stopped((1005.0, 1.3))), healed=1006.3)
    assert found.outage_s == near(1.3)
    assert found.longest_outage_s == found.outage_s
    assert found.recovery_s == near(0.1), "what had waited completes in the interval after it"
    waiting = (DUE + LATENCY >= 1005.0) & (DUE + LATENCY < 1006.3)
    assert found.late_limit_s == pytest.approx(0.022 * 1.1, rel=2e-3)
    late = waiting & (found.late_limit_s < 1006.3 - DUE)
    assert found.late == pytest.approx(late.sum(), abs=2)
    assert found.waited_s == pytest.approx((1006.3 - DUE[late] - LATENCY.mean()).sum(), rel=0.01)
    assert (found.lost, found.first_error_s, found.unknown) == (0, None, {})
    inside = (DUE + LATENCY >= 1005.0) & (DUE + LATENCY < END)
    assert found.availability == pytest.approx(1 - late.sum() / inside.sum(), abs=1e-3)


@pytest.mark.parametrize("begin", np.random.default_rng(3).uniform(1005, 1006, 5).tolist())
@pytest.mark.parametrize("seconds", [0.35, 1.3, 4.21])
def test_outages_and_recoveries_are_known_to_an_interval(begin: float, seconds: float) -> None:
    found = impact(log_of(stopped((begin, seconds))), healed=begin + seconds, injected=begin)
    assert found.outage_s == near(seconds)
    assert found.recovery_s == near(0.1)


def test_statistics_before_during_and_after_are_those_of_their_requests() -> None:
    slower = np.where((DUE >= 1005) & (DUE < 1012), 3 * LATENCY, LATENCY)
    found = impact(log_of(slower))
    for stats, mean in ((found.before, 0.021), (found.during, 0.063), (found.after, 0.021)):
        assert stats is not None
        assert stats.completed_tps == pytest.approx(250, rel=0.01)
        assert stats.latency_s is not None
        assert stats.latency_s.mean == pytest.approx(mean, rel=0.02)
        assert stats.errors == {}
    assert found.outage_s == 0
    assert found.recovery_s == near(0.1)


def test_several_stops_add_up_and_the_longest_is_named() -> None:
    found = impact(log_of(stopped((1005.0, 1.0), (1008.0, 2.0), (1013.0, 0.5))))
    assert found.outage_s == pytest.approx(3.5, abs=0.3)
    assert found.longest_outage_s == near(2.0)
    assert found.recovery_s == near(1.6), "a stop after 1 s ends what looked recovered"


def test_an_outage_is_one_of_all_clients() -> None:
    stop, other = log_of(stopped((1005.0, 2.0))), log_of(LATENCY)
    both = impact(stop, dataclasses.replace(other, name="b"))
    assert both.outage_s == 0
    assert impact(stop, dataclasses.replace(stop, name="b")).outage_s == near(2.0)


def test_requests_that_fail_at_once_are_no_success() -> None:
    found = impact(failing(1005.0, 3.0, 0.001, "refused"), healed=1008.0)
    assert found.first_error_s == near(0.0)
    assert found.outage_s == near(3.0)
    assert found.recovery_s == near(0.0)
    assert found.lost == 750
    assert found.late == 0
    assert found.during is not None
    assert found.during.errors == {"refused": 750}
    assert found.after is not None
    assert found.after.errors == {}


def test_timeouts_are_known_when_they_end() -> None:
    found = impact(failing(1005.0, 3.0, 5.0, "timeout"), healed=1008.0)
    assert found.first_error_s == near(5.0)
    assert found.outage_s == near(3.0)
    assert found.recovery_s == near(0.0), "requests that fall due are served again"
    assert found.after is not None
    assert found.after.errors == {"timeout": 750}
    assert found.lost == 750


def test_a_lower_rate_is_no_recovery() -> None:
    """A system that serves only half of the requests until 1015, but all of them for 1.4 s."""
    served = (DUE < 1005) | (DUE >= 1015) | (np.arange(len(DUE)) % 2 == 0) | ((DUE >= 1012.5) & (DUE < 1013.9))
    found = impact(log_of(LATENCY[served], DUE[served]))
    assert found.recovery_s == pytest.approx(2.8, abs=0.21), "0.4 s at half the rate are a tenth of 2 s"
    assert found.outage_s == 0


def test_a_permanent_fault_counts_recovery_from_the_injection() -> None:
    found = impact(log_of(stopped((1005.4, 1.6))), healed=None)
    assert found.after is None
    assert found.recovery_s == near(2.1)
    assert found.outage_s == near(1.6)
    assert found.unknown == {}


def test_what_never_recovers_is_unknown_and_not_zero() -> None:
    found = impact(log_of(np.where(DUE >= 1005, 0.2, LATENCY)))
    assert found.recovery_s is None
    assert found.unknown["recovery_s"] == "not within 18 s, until the next fault or the end of the window"


def test_a_fault_without_effect_has_figures_of_zero() -> None:
    random = np.random.default_rng(7)
    for rate in (5, 20, 300):
        due = np.sort(random.uniform(995, 1032, 37 * rate))
        latency = 0.01 + 0.01 * random.random(len(due))
        found = impact(log_of(latency, due), injected=1014.0, healed=1018.0)
        assert (found.outage_s, found.longest_outage_s, found.lost) == (0, 0, 0)
        assert found.late is not None
        assert found.late <= 2, "some are slower than all before by chance"
        assert found.recovery_s == pytest.approx(0, abs=1.0)
        assert found.least_outage_s is not None
        assert found.least_outage_s == pytest.approx(10.0 / rate, abs=9.0 / rate + 0.2)


def test_the_next_fault_is_compared_with_the_time_after_recovery_from_the_first() -> None:
    stop = log_of(stopped((1005.0, 2.0), (1020.0, 1.0)))
    faults = [FaultWindow("crash", "n2", 1020.0, 1021.0), FaultWindow("crash", "n1", 1005.0, 1007.0)]
    second, first = fault_impacts(faults, [stop], START, END)
    assert first.outage_s == near(2.0), "of the first one only"
    assert second.outage_s == near(1.0)
    assert second.before is not None
    assert second.before.sampled_seconds == pytest.approx(12.9, abs=0.11)
    assert second.recovery_s == near(0.1)


def test_the_next_fault_is_compared_with_the_time_before_one_that_still_acts() -> None:
    slow = log_of(np.where((DUE >= 1005) & (DUE < 1022), 0.2, LATENCY))
    faults = [FaultWindow("delay", "n1", 1005.0, 1010.0), FaultWindow("crash", "n2", 1020.0, 1022.0)]
    first, second = fault_impacts(faults, [slow], START, END)
    assert first.recovery_s is None
    assert second.before == first.before
    assert second.recovery_s == near(0.2)


def test_faults_that_overlap_recover_together() -> None:
    stop = log_of(stopped((1008.0, 4.0)))
    faults = [FaultWindow("crash", "n1", 1005.0, 1010.0), FaultWindow("crash", "n2", 1008.0, 1012.0)]
    first, second = fault_impacts(faults, [stop], START, END)
    assert first.before == second.before
    assert first.after == second.after
    assert first.recovery_s == second.recovery_s == near(0.1)
    assert first.outage_s == second.outage_s == near(4.0)


def test_what_the_logs_do_not_cover_is_unknown() -> None:
    kept = DUE < 1010
    cases = [
        (impact(), "only latency logs of all clients show what a fault did"),
        (impact(log_of(LATENCY[kept], DUE[kept])), "ends 19.9 s before the window does"),
        (impact(log_of(LATENCY), injected=990.0), "it was injected outside the measured window"),
        (impact(log_of(LATENCY), injected=1000.0), "no request completed before the fault"),
    ]
    for found, why in cases:
        assert why in found.unknown["all"]
        figures = found.model_dump(exclude={"kind", "target", "injected", "healed", "unknown"})
        assert (figures.pop("catch_up_s"), figures.pop("regions")) == ({}, {})
        assert set(figures.values()) == {None}


def test_recovery_that_cannot_be_judged_is_unknown() -> None:
    short = impact(log_of(stopped((1028.0, 1.0))), injected=1028.0, healed=1029.0)
    assert short.recovery_s is None
    assert short.outage_s == near(1.0)
    assert "less than 2 s were measured before the next fault" in short.unknown["recovery_s"]
    early = impact(log_of(stopped((1001.5, 1.0))), injected=1001.5, healed=1002.5)
    assert "less than 2 s were measured before the fault" in early.unknown["recovery_s"]
    ramp = dataclasses.replace(log_of(LATENCY), scheduled=lambda begin, end: (end**2 - begin**2) - 1980 * (end - begin))
    assert "the load changes" in impact(ramp).unknown["recovery_s"]
    assert impact(ramp).outage_s is None
    steady = dataclasses.replace(log_of(LATENCY), scheduled=lambda begin, end: 250 * (end - begin))
    assert impact(steady).recovery_s == 0


def test_figures_do_not_depend_on_how_requests_are_split_over_clients() -> None:
    latency = stopped((1005.0, 1.3))
    parts = [dataclasses.replace(log_of(latency[at::3], DUE[at::3]), name=f"{at}") for at in range(3)]
    together, apart = impact(log_of(latency)), impact(*parts)
    statistics = {"before", "during", "after", "waited_s"}
    assert apart.model_dump(exclude=statistics) == together.model_dump(exclude=statistics)
    assert apart.waited_s == pytest.approx(together.waited_s)


def test_clients_of_a_region_that_is_cut_off_have_an_outage_of_their_own() -> None:
    cut, other = log_of(stopped((1005.0, 4.0)), region="eu-west-1"), log_of(LATENCY)
    found = impact(cut, dataclasses.replace(other, name="b"), healed=1009.0)
    assert found.outage_s == 0
    assert found.regions["us-east-1"].outage_s == 0
    assert found.regions["us-east-1"].availability == 1
    assert found.regions["eu-west-1"].outage_s == near(4.0)
    assert found.regions["eu-west-1"].recovery_s == near(0.1)
    alone = impact(cut, healed=1009.0)
    assert alone.regions == {}
    assert alone.outage_s == found.regions["eu-west-1"].outage_s
    lost = [each.late or 0 for each in found.regions.values()]
    assert found.late == sum(lost)


def test_a_limit_of_a_quantile_counts_the_seconds_that_met_it() -> None:
    """From 1005 to 1030, 3 s without any response, then one with all that had waited, and 2 s with 5 % of 0.4 s."""
    slow = (DUE >= 1015) & (DUE < 1017) & (np.arange(len(DUE)) % 20 == 0)
    latency = stopped((1005.0, 3.0), usual=np.where(slow, 0.4, LATENCY))
    found = impact(log_of(latency), healed=1008.0, criteria=Criteria(slo_s=0.1, slo_quantile=0.99))
    assert (found.slo, found.late_limit_s) == ("p99=0.1s", 0.1)
    # Slow requests end up to 0.4 s after the second in which they fell due.
    assert found.availability is not None
    assert 17 / 25 <= found.availability <= 19 / 25
    half = impact(log_of(latency), healed=1008.0, criteria=Criteria(slo_s=0.1, slo_quantile=0.5))
    assert half.availability == pytest.approx(21 / 25), "half of the requests are never slow but after the stop"
    refused = impact(failing(1005.0, 5.0, 0.001, "refused"), criteria=Criteria(slo_s=0.1, slo_quantile=0.99))
    assert refused.availability == pytest.approx(20 / 25), "a failed request is not within any limit"


def test_seconds_with_few_requests_have_no_quantile() -> None:
    few = DUE[::100]
    found = impact(log_of(LATENCY[::100], few), criteria=Criteria(slo_s=0.1, slo_quantile=0.99))
    assert found.availability is None
    assert found.unknown["availability"].startswith("less than 10 requests per second completed before the fault")


def test_the_limits_of_a_recovery_can_be_set() -> None:
    """After 3 s without a response, requests take half longer for 5 s."""
    longer = np.where((DUE >= 1008) & (DUE < 1013), 1.5 * LATENCY, LATENCY)
    log = log_of(stopped((1005.0, 3.0), usual=longer))
    assert impact(log, healed=1008.0).recovery_s == near(5.1)
    assert impact(log, healed=1008.0, criteria=Criteria(within=0.6)).recovery_s == near(0.1)
    assert impact(log, healed=1008.0, criteria=Criteria(steady_s=30.0)).recovery_s is None
    short = impact(log_of(stopped((1005.0, 1.0), (1006.6, 1.0))), healed=1006.0, criteria=Criteria(steady_s=0.4))
    assert short.recovery_s == near(0.1), "0.4 s are enough, and another stop follows"
