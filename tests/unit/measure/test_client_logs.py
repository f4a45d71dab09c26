"""Results from latency logs equal those of a list of the requests, and contradictions to samples are found."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from factories.latency_logs import joined, recorded
from factories.sample_factory import Array, client, failures, labels_of, series

from benchmark.measure.client_logs import ClientLog, log_timeline, on_grid
from benchmark.measure.measurement import Measurement, measure
from benchmark.measure.run_metrics import QUANTILES
from benchmark.measure.scrapes import RunSamples
from benchmark.measure.validity import judge
from benchmark.metrics.latency_log import INTERVAL_MS, SCHEDULING_DELAY, UNANSWERED, Tag, from_requests
from benchmark.metrics.samples import Series

WINDOW = (1010.0, 1050.0)
DUE = np.arange(1000.0, 1060.0, 0.004)


def measured(*logs: ClientLog, samples: list[Series] | None = None) -> Measurement:
    return measure(RunSamples(samples or []), *WINDOW, scrape_interval=1, logs=logs)


def exact(latencies: Array, q: float) -> float:
    return float(np.sort(latencies)[math.ceil(round(q * len(latencies), 6)) - 1])


def truth(kind: str) -> Array:
    random = np.random.default_rng(11)
    return {
        "constant": np.full(len(DUE), 0.12),
        "exponential": random.exponential(0.2, len(DUE)),
        "bimodal": np.where(random.random(len(DUE)) < 0.8, 0.04, 0.6),
        "stalled": np.where((DUE >= 1020) & (DUE < 1022), 1022 - DUE, 0) + 0.03,
        "short stall": np.where((DUE >= 1020) & (DUE < 1020.3), 1020.3 - DUE, 0) + 0.002,
    }[kind]


@pytest.mark.parametrize("kind", ["constant", "exponential", "bimodal", "stalled", "short stall"])
def test_statistics_match_the_requests_that_ended_in_the_window(kind: str) -> None:
    latency = truth(kind)
    ended = DUE + latency
    inside = latency[(ended >= WINDOW[0]) & (ended < WINDOW[1])]
    total = measured(recorded("a", ended[::2], latency[::2]), recorded("b", ended[1::2], latency[1::2])).total
    assert total.completed == len(inside)
    assert total.completed_tps == pytest.approx(len(inside) / 40)
    assert total.sampled_seconds == 40
    assert total.errors == {}
    found = total.latency_s
    assert found is not None
    assert found == total.successful_latency_s
    assert found.mean == pytest.approx(inside.mean(), rel=1e-3)
    assert found.stdev == pytest.approx(inside.std(), rel=2e-3, abs=1e-4)
    for metric, q in QUANTILES.items():
        quantile, value = found.quantiles[metric.key], exact(inside, q)
        assert quantile.upper is not None
        assert quantile.lower - 1e-6 <= value <= quantile.upper + 1e-6
        assert quantile.upper - quantile.lower <= max(1e-6, value / 1000) * 1.001


def test_merging_is_independent_of_how_requests_are_grouped() -> None:
    latency = truth("exponential")
    ended = DUE + latency
    together = measured(recorded("a", ended, latency)).total
    apart = [recorded(f"{part}", ended[part::3], latency[part::3]) for part in range(3)]
    assert measured(*apart).total == together
    assert measured(*reversed(apart)).total == together


def test_regions_clients_and_workloads_are_measured_apart() -> None:
    slow = np.full(len(DUE), 0.5)
    both = joined(recorded("a", DUE + 0.1, slow / 5), recorded("a", DUE[::2] + 0.5, slow[::2], workload="get"))
    found = measured(both, recorded("b", DUE + 0.5, slow, region="eu-west-1"))
    assert {name: stats.completed_tps for name, stats in found.clients.items()} == {"a": 375.0, "b": 250.0}
    assert {name: stats.completed_tps for name, stats in found.regions.items()} == {
        "eu-west-1": 250.0,
        "us-east-1": 375.0,
    }
    assert {name: stats.completed_tps for name, stats in found.workloads.items()} == {"get": 125.0, "put": 500.0}
    get = found.workloads["get"]
    assert get.latency_s is not None
    assert get.latency_s.mean == pytest.approx(0.5, rel=1e-3)
    assert get.sent_tps is None
    assert get.scheduled_tps is None


def test_failed_requests_count_as_at_least_their_timeout() -> None:
    completed = recorded("a", DUE + 0.1, np.full(len(DUE), 0.1))
    lost = recorded("a", DUE[::10] + 2.0, np.full(len(DUE[::10]), 2.0), error="timeout")
    total = measured(joined(completed, lost)).total
    assert total.errors == {"timeout": 1000}
    assert total.latency_s is not None
    assert total.successful_latency_s is not None
    assert total.latency_s.quantiles["p90"].upper == pytest.approx(0.1, rel=1e-3)
    assert total.latency_s.quantiles["p99"].upper is None
    assert total.latency_s.quantiles["p99"].lower == pytest.approx(2.0, rel=1e-3)
    assert total.latency_s.mean == pytest.approx((0.1 * 10 + 2.0) / 11, rel=1e-3)
    assert total.successful_latency_s.quantiles["p99"].upper == pytest.approx(0.1, rel=1e-3)
    gauge = failures("a", np.arange(1000.0, 1061.0), DUE[::10] + 2.0, timeout=2.0)
    sampled = client("a", np.arange(1000.0, 1061.0), DUE, np.full(len(DUE), 0.1))
    exactly = measured(joined(completed, lost), samples=[*sampled, *gauge]).total.latency_s
    assert exactly is not None
    assert exactly.quantiles["p99"].lower == 2.0


def test_failed_requests_of_which_nothing_is_known_count_as_slower_than_all_others() -> None:
    """Logs of other generators have a latency of 0 for them."""
    completed = recorded("a", DUE + 0.1, np.full(len(DUE), 0.1))
    failed = joined(completed, recorded("a", DUE[::10] + 0.1, np.zeros(len(DUE[::10])), error="failed"))
    total = measured(failed).total
    assert total.errors == {"failed": 1000}
    assert total.latency_s is not None
    assert total.latency_s.mean is None
    assert total.latency_s.quantiles["p50"].upper == pytest.approx(0.1, rel=1e-3)
    assert total.latency_s.quantiles["p99"].upper is None
    assert total.latency_s.quantiles["p99"].lower == pytest.approx(0.1, rel=1e-3)
    timeline = log_timeline([failed], *WINDOW, 1)
    assert timeline is not None
    assert np.isnan(timeline.mean_s).all()
    assert np.isnan(timeline.quantiles_s["p99_s"]).all()
    assert timeline.quantiles_s["p50_s"][5] == pytest.approx(0.1, rel=1e-3)
    assert timeline.successful_mean_s[5] == pytest.approx(0.1, rel=1e-3)


def test_a_latency_that_is_longer_than_the_client_ran_is_in_another_unit() -> None:
    log = recorded("a", DUE + 0.1, np.full(len(DUE), 100.0))
    found = measure(RunSamples([]), *WINDOW, scrape_interval=1, logs=[log], began=990.0)
    assert found.contradictions == [
        "client a: its latency log has a latency of 100 s, longer than it ran; is the unit right?"
    ]


@pytest.mark.parametrize(("last", "early"), [(1055.0, False), (1049.97, False), (1049.5, True), (1048.0, True)])
def test_a_log_of_another_generator_that_ends_before_the_window_may_lack_requests(last: float, early: bool) -> None:
    ended = DUE[last - 0.1 >= DUE] + 0.1
    found = from_requests(ended, np.full(len(ended), 0.1), np.zeros(len(ended), dtype=np.int64), [Tag("default")])
    log = ClientLog("a", "a", "us-east-1", found)
    text = f"client a: its latency log ends {1050 - last:.1f} s before the window"
    assert [each.startswith(text) for each in measured(log).contradictions] == [True] * early
    judged = judge(measured(log), requested_tps=250, random_arrivals=True)
    assert judged.status == ("invalid" if early else "ok"), judged.reasons


def test_requests_that_hang_count_as_slower_than_all_others() -> None:
    completed = recorded("a", DUE + 0.1, np.full(len(DUE), 0.1))
    age = np.full(400, 15.0)
    total = measured(joined(completed, recorded("a", np.full(400, 1060.5), age, error=UNANSWERED))).total
    assert total.unanswered == 400
    assert total.errors == {}
    assert total.latency_s is not None
    assert total.latency_s.quantiles["p99"].upper is None
    assert total.latency_s.quantiles["p90"].upper == pytest.approx(0.1, rel=1e-3)
    merely_slow = measured(joined(completed, recorded("a", np.full(400, 1060.5), age / 100, error=UNANSWERED))).total
    assert merely_slow.unanswered == 0


def test_what_was_scheduled_comes_from_the_schedule() -> None:
    log = dataclasses.replace(recorded("a", DUE + 0.1, np.full(len(DUE), 0.1)), scheduled=lambda a, b: 300 * (b - a))
    found = measured(log)
    assert found.total.scheduled_tps == 300
    assert found.total.sent_tps == 250
    assert found.client_delay_s["a"].upper == pytest.approx(0.0001, abs=1e-6)
    verdict = judge(found, requested_tps=300, expected_clients=["a"])
    assert verdict.saturated
    assert any(text.startswith("clients sent 250.0 of 300.0 scheduled tx/s") for text in verdict.warnings)


def test_a_stall_of_300_ms_is_visible_in_intervals_of_100_ms() -> None:
    latency = truth("short stall")
    timeline = log_timeline([recorded("a", DUE + latency, latency)], 1019.0, 1021.0, 0.1)
    assert timeline is not None
    assert np.allclose(timeline.edges, np.linspace(1019, 1021, 21))
    rates = np.round(timeline.completed_tps).tolist()
    assert rates[:10] == [250.0] * 10
    assert rates[10] <= 10
    assert rates[11] == rates[12] == 0
    assert rates[13] >= 900
    assert np.isnan(timeline.mean_s[11])
    assert timeline.quantiles_s["p99_s"][13] == pytest.approx(0.3, abs=0.01)
    assert timeline.quantiles_s["p50_s"][0] == pytest.approx(0.002, rel=1e-3)


def test_quantiles_over_time_are_those_of_each_interval() -> None:
    latency = truth("exponential")
    ended = DUE + latency
    logs = [recorded(f"{part}", ended[part::2], latency[part::2]) for part in range(2)]
    timeline = log_timeline(logs, *WINDOW, 0.9)
    assert timeline is not None
    assert len(timeline.edges) == 45
    assert np.all(np.round(timeline.edges * 10) == timeline.edges * 10)
    assert float(timeline.completed_tps @ np.diff(timeline.edges)) == pytest.approx(
        measured(*logs).total.completed or 0
    )
    for index in range(44):
        inside = latency[(ended >= timeline.edges[index]) & (ended < timeline.edges[index + 1])]
        for name, q in (("p50_s", 0.5), ("p99_s", 0.99)):
            assert timeline.quantiles_s[name][index] == pytest.approx(exact(inside, q), rel=1e-3)
        assert timeline.mean_s[index] == pytest.approx(inside.mean(), rel=1e-3)


def sampled(name: str, latency: Array) -> list[Series]:
    return client(name, np.arange(1000.3, 1061.0), DUE, latency)


def test_logs_and_samples_of_the_same_requests_agree() -> None:
    latency = truth("exponential")
    found = measured(recorded("a", DUE + latency, latency), samples=sampled("a", latency))
    assert found.contradictions == []
    assert found.unverified == []
    assert judge(found, requested_tps=250, expected_clients=["a"]).status == "ok"


@pytest.mark.parametrize("missing_in", ["log", "samples"])
def test_requests_that_only_one_of_both_counted_make_the_run_invalid(missing_in: str) -> None:
    latency, every = truth("constant"), np.full(len(DUE), True)
    most = np.random.default_rng(1).random(len(DUE)) < 0.97
    logged, counted = (most, every) if missing_in == "log" else (every, most)
    samples = client("a", np.arange(1000.3, 1061.0), DUE[counted], latency[counted])
    found = measured(recorded("a", (DUE + latency)[logged], latency[logged]), samples=samples)
    (text,) = found.contradictions
    assert text.startswith("client a: ")
    assert " completed by its counters, but " in text
    assert " sent by its counters, but " in text
    assert text in judge(found, requested_tps=250, expected_clients=["a"]).reasons


def test_a_slow_scrape_may_count_what_completed_until_it_was_over() -> None:
    due, latency = np.append(DUE, np.full(500, 1049.4)), np.full(len(DUE) + 500, 0.12)
    late = client("a", np.arange(1000.3, 1061.0) + 0.8, due, latency)
    late = [dataclasses.replace(one, times=one.times - 0.8) for one in late]
    log = recorded("a", due + latency, latency)
    assert measured(log, samples=late).contradictions
    took = series("scrape_duration_seconds", labels_of("a"), late[0].times, 0.8)
    assert measured(log, samples=[*late, took]).contradictions == []


def test_a_clock_that_is_ahead_is_taken_into_account() -> None:
    due, latency = np.append(DUE, np.full(500, 1049.0)), np.full(len(DUE) + 500, 0.12)
    log = recorded("a", due + latency + 1.5, latency)
    samples = client("a", np.arange(1000.3, 1061.0), due, latency)
    assert measured(log, samples=samples).contradictions
    ahead = dataclasses.replace(log, clock_offset_s=1.5)
    assert measured(ahead, samples=samples).contradictions == []


def test_a_log_without_samples_is_named() -> None:
    latency = truth("constant")
    logs = [recorded(name, DUE + latency, latency) for name in ("a", "b")]
    some = measured(*logs, samples=sampled("a", latency))
    assert some.unverified == ["b"]
    verdict = judge(some, requested_tps=500, expected_clients=["a", "b"])
    assert verdict.status == "ok"
    assert any("fewer than 2 samples of b in the window" in text for text in verdict.warnings)
    none = judge(measured(*logs), requested_tps=500, expected_clients=["a", "b"])
    assert none.status == "ok"
    assert any("fewer than 2 samples of any client in the window" in text for text in none.warnings)


def test_a_gap_at_the_edge_of_the_window_hides_nothing_from_a_log() -> None:
    latency = truth("constant")
    gone = client("a", np.arange(1000.3, 1030.0), DUE, latency)
    assert judge(measure(RunSamples(gone), *WINDOW, scrape_interval=1), requested_tps=250).status == "invalid"
    verdict = judge(measured(recorded("a", DUE + latency, latency), samples=gone), requested_tps=250)
    assert verdict.status == "ok"
    assert any("totals are complete" in text for text in verdict.warnings)


def test_a_sent_request_without_an_outcome_makes_the_run_invalid() -> None:
    latency = truth("constant")
    log = recorded("a", DUE + latency, latency)
    rows = log.log.rows_of(lambda tag: tag.workload == SCHEDULING_DELAY) | (log.log.starts_ms < 1_030_000)
    cut = dataclasses.replace(log, log=log.log.only(rows))
    (text,) = measured(cut).contradictions
    assert text.startswith("client a: its latency log has no outcome of 7")


def test_a_missing_log_makes_the_run_invalid() -> None:
    latency = truth("constant")
    verdict = judge(measured(recorded("a", DUE + latency, latency)), requested_tps=250, expected_clients=["a", "b"])
    assert "client b: it has no latency log" in verdict.reasons


def test_the_window_is_that_of_whole_intervals() -> None:
    assert on_grid(1.7e9 + 0.1, 1.7e9 + 0.3) == (1_700_000_000_100, 1_700_000_000_300)
    assert on_grid(1.7e9 + 0.11, 1.7e9 + 0.39) == (1_700_000_000_200, 1_700_000_000_300)
    assert on_grid(1.7e9 + 0.11, 1.7e9 + 0.12) == (1_700_000_000_200, 1_700_000_000_200)


def test_logs_of_other_generators_are_measured_over_their_whole_intervals() -> None:
    whole = foreign(recorded("a", DUE + 0.1, np.full(len(DUE), 0.1)), 1000)
    coarse = dataclasses.replace(whole, log=dataclasses.replace(whole.log, starts_ms=whole.log.starts_ms + 37))
    total = measured(coarse).total
    assert total.sampled_seconds == 39
    assert total.completed_tps == pytest.approx(250, rel=0.01)
    assert total.sent_tps is None
    assert total.scheduled_tps is None


def foreign(log: ClientLog, length_ms: int = INTERVAL_MS) -> ClientLog:
    """The log as another generator writes it: without scheduling delays, in intervals of this length."""
    found = log.log.tagged(lambda tag: tag.workload != SCHEDULING_DELAY)
    starts, lengths = found.starts_ms // length_ms * length_ms, np.full(len(found.starts_ms), length_ms)
    return dataclasses.replace(
        log, log=dataclasses.replace(found, tags=found.tags[:1], starts_ms=starts, lengths_ms=lengths)
    )


@pytest.mark.parametrize("stalled", [(1010, 1020), (1040, 1050), (1020, 1030)])
def test_intervals_without_requests_are_a_part_of_the_window(stalled: tuple[int, int]) -> None:
    ended = DUE[(stalled[0] > DUE) | (stalled[1] <= DUE)]
    total = measured(foreign(recorded("a", ended, np.full(len(ended), 0.1)), 1000)).total
    assert total.sampled_seconds == 40
    assert total.completed_tps == pytest.approx(250 * 30 / 40)


def test_a_log_that_ends_before_the_window_lacks_requests_that_were_due() -> None:
    """The processes of a generator that hangs or is killed do not write what they measured."""
    latency = truth("constant")
    ended = (DUE + latency)[DUE < 1030]
    half = recorded("a", ended, latency[: len(ended)])
    whole = recorded("b", DUE + latency, latency)
    logs = [dataclasses.replace(each, scheduled=lambda a, b: 250 * (b - a)) for each in (half, whole)]
    (text,) = measured(*logs).contradictions
    assert text.startswith("client a: its latency log ends 19.8 s before the window")
    idle = dataclasses.replace(half, scheduled=lambda a, b: 250 * max(0.0, min(b, 1030) - a))
    assert measured(idle).contradictions == []


@pytest.mark.parametrize("ends", [1009.0, 0.0])
def test_a_log_without_requests_in_the_window_lacks_those(ends: float) -> None:
    latency = truth("constant")
    early = ends - 0.2 > DUE
    logs = [recorded("a", (DUE + latency)[early], latency[early]), recorded("b", DUE + latency, latency)]
    (text,) = measured(*map(foreign, logs)).contradictions
    assert text.startswith(f"client a: its latency log ends {41 if ends else 40}.0 s before the window does")


def test_a_client_that_sends_nothing_in_the_window_sent_nothing() -> None:
    latency = truth("constant")
    stuck = joined(
        recorded("a", DUE[:1000] + 0.1, latency[:1000]),
        recorded("a", np.full(400, 1060.5), np.full(400, 55.0), error=UNANSWERED),
    )
    found = measured(stuck, recorded("b", DUE + latency, latency))
    assert found.clients["a"].sent_tps == 0
    assert found.total.sent_tps == 250


def test_requests_that_fail_while_they_wait_do_not_reduce_those_in_flight() -> None:
    latency = truth("constant")
    waited = foreign(recorded("a", DUE + 2, np.full(len(DUE), 2.0), error="timeout"))
    assert measured(joined(recorded("a", DUE + latency, latency), waited)).total.backlog_tps is None


def test_counters_without_an_equivalent_in_the_log_contradict_nothing() -> None:
    latency = truth("constant")
    found = measured(foreign(recorded("a", DUE + latency, latency)), samples=sampled("a", latency))
    assert found.contradictions == []


def test_a_log_without_a_whole_interval_in_the_window_cannot_be_measured() -> None:
    log = foreign(recorded("a", DUE + 0.1, np.full(len(DUE), 0.1)), 1_000_000)
    (text,) = measured(log).contradictions
    assert text.startswith("client a: its latency log has no whole interval in the window")


def test_errors_are_unknown_where_a_log_does_not_have_them() -> None:
    log = dataclasses.replace(foreign(recorded("a", DUE + 0.1, np.full(len(DUE), 0.1))), counts_errors=False)
    found = measured(log, log)
    assert (found.total.errors, found.total.failed) == (None, None)
    timeline = log_timeline([log], *WINDOW, 1)
    assert timeline is not None
    assert np.isnan(timeline.errors_tps).all()


@pytest.mark.parametrize(("step", "expected"), [(0.1, 1.0), (1.0, 1.0), (2.5, 2.5)])
def test_a_timeline_is_not_finer_than_the_logs(step: float, expected: float) -> None:
    whole = foreign(recorded("a", DUE + 0.1, np.full(len(DUE), 0.1)), 1000)
    coarse = dataclasses.replace(whole, log=dataclasses.replace(whole.log, starts_ms=whole.log.starts_ms + 37))
    timeline = log_timeline([coarse, whole], *WINDOW, step)
    assert timeline is not None
    assert np.diff(timeline.edges).mean() == pytest.approx(expected, rel=0.05)
    assert timeline.completed_tps.tolist() == pytest.approx([500.0] * len(timeline.completed_tps), rel=1e-6)


def test_a_client_whose_first_request_completes_as_the_window_begins_is_not_late() -> None:
    started = DUE[(WINDOW[0] <= DUE) & (DUE < 1055)]
    assert measured(recorded("a", started + 0.01, np.full(len(started), 0.01))).late_starts == {}
    assert measured(recorded("a", started + 0.5, np.full(len(started), 0.5))).late_starts == {"a": 0.5}
