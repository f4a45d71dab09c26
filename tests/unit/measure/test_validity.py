from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from factories.latency_logs import recorded
from factories.sample_factory import Array, client, failures, labels_of, series, steady
from numpy.typing import NDArray

from benchmark.measure.host_usage import HostUsage
from benchmark.measure.measurement import Measurement, measure
from benchmark.measure.run_metrics import Quantile
from benchmark.measure.scrapes import RunSamples
from benchmark.measure.validity import CLOSED_LOOP, Thresholds, judge
from benchmark.metrics.samples import Series

SCRAPES = np.arange(1000.0, 1061.0)
DUE = np.arange(1000.0, 1060.0, 0.01)


def of(*clients: list[Series]) -> Measurement:
    return measure(RunSamples(one for each in clients for one in each), 1010, 1050, scrape_interval=1)


def changed(made: list[Series], metric: str, factor: float) -> list[Series]:
    return [replace(one, values=one.values * factor) if one.metric == metric else one for one in made]


def test_valid_run_has_no_warnings() -> None:
    verdict = judge(
        of(steady("a"), steady("b")), requested_tps=200, expected_clients=["a", "b"], clock_offsets_s={"a": 0.001}
    )
    assert (verdict.status, verdict.saturated, verdict.reasons, verdict.warnings) == ("ok", False, [], [])


def overloaded() -> list[Series]:
    """100 tx/s due, of which the system completes 50: the queue grows without end."""
    return client("a", SCRAPES, DUE, (DUE - 1000) + 0.01)


def test_a_run_that_completed_less_than_scheduled_is_saturated_and_valid() -> None:
    verdict = judge(of(overloaded()), requested_tps=100)
    assert verdict.saturated
    assert verdict.status == "ok"


@pytest.mark.parametrize(("load", "saturated"), [(101.9, False), (104.0, True)])
def test_the_tolerance_is_two_percent_of_the_load(load: float, saturated: bool) -> None:
    # Systems that bring their own load count neither what is due nor what is sent.
    own = [one for one in steady("a") if one.metric not in ("submitted", "due")]
    assert judge(of(own), requested_tps=load).saturated is saturated


def test_counts_of_random_arrivals_may_vary_by_chance() -> None:
    own = of([one for one in steady("a") if one.metric not in ("submitted", "due")])
    chance = 3 * (100 / 40) ** 0.5  # three standard deviations of a Poisson process over 40 s
    for load, saturated in ((100 + 0.9 * chance, False), (100 + 1.2 * chance, True)):
        assert judge(own, requested_tps=load, random_arrivals=True).saturated is saturated
    assert judge(own, requested_tps=100 - 0.9 * chance, random_arrivals=True).status == "ok"
    assert judge(own, requested_tps=100 - 1.2 * chance, random_arrivals=True).status == "invalid"


def test_a_missing_transaction_at_the_edge_of_a_small_run_is_not_saturation() -> None:
    due = np.arange(1000.0, 1060.0, 1.0)
    run = of(client("a", SCRAPES, due, np.full(60, 0.5)))
    own = replace(run, total=run.total.model_copy(update={"completed_tps": 39 / 40}))
    assert not judge(own, requested_tps=1).saturated


def test_a_run_whose_clients_scheduled_too_little_is_invalid() -> None:
    verdict = judge(of(steady("a")), requested_tps=200)
    assert not verdict.saturated
    assert verdict.reasons == ["clients scheduled 100.0 tx/s, not the requested 200"]


def test_clients_that_sent_too_little_are_named_with_the_numbers() -> None:
    held = changed(changed(steady("a"), "submitted", 0.5), "inflight", 0)
    half = [
        replace(one, values=one.values / 2) if one.metric.startswith(("latency_s", "inflight")) else one for one in held
    ]
    verdict = judge(of(half, steady("b")), requested_tps=200)
    assert verdict.saturated
    assert verdict.warnings == ["clients sent 150.0 of 200.0 scheduled tx/s; these cannot keep up: a (50.0 of 100.0)"]


def drained(held_s: float) -> Array:
    """Latencies of requests of which those due in the last `held_s` before the window complete within it."""
    return np.where((1010 - held_s <= DUE) & (DUE < 1010), 1010.3 - DUE, 0.01)


@pytest.mark.parametrize("logged", [False, True])
def test_requests_that_fell_due_before_the_window_explain_a_throughput_above_the_load(logged: bool) -> None:
    """100 tx/s for 40 s, and one second of requests held up before: 102.5 tx/s complete in the window."""
    verdict = judge(measured(drained(1.0), logged=logged), requested_tps=100)
    assert verdict.status == "ok", verdict.reasons
    (warning,) = [text for text in verdict.warnings if "than scheduled" in text]
    assert warning.startswith("completed more than scheduled (102.")
    assert int(warning.split(": ")[1].split()[0]) == pytest.approx(100, abs=6)


@pytest.mark.parametrize("logged", [False, True])
def test_a_backlog_of_the_warm_up_that_makes_up_much_of_the_throughput_is_invalid(logged: bool) -> None:
    verdict = judge(measured(drained(6.0), logged=logged), requested_tps=100)
    (reason,) = verdict.reasons
    assert reason.startswith("completed more than scheduled (115.")
    assert reason.endswith("requests that fell due before the window completed in it; use a longer warm-up")


@pytest.mark.parametrize("logged", [False, True])
def test_requests_that_no_backlog_explains_were_counted_twice(logged: bool) -> None:
    latency = drained(0.5)
    doubled = measured(latency, logged=logged, twice=0.05)
    found = [text for text in judge(doubled, requested_tps=100).reasons if "than scheduled" in text]
    assert len(found) == 1
    assert found[0].endswith("requests that fell due before the window completed in it: counted twice?")
    unknown = replace(doubled, total=doubled.total.model_copy(update={"carried_over": None}))
    assert any("backlog from warm-up, or double counting" in text for text in judge(unknown, requested_tps=100).reasons)


def measured(latency: Array, *, logged: bool, twice: float = 0.0) -> Measurement:
    """The window from 1010 to 1050 of a client, of whose requests a share is counted `twice`."""
    every = np.concatenate([np.arange(len(DUE)), np.arange(0, len(DUE), round(1 / twice) if twice else len(DUE) + 1)])
    every = every if twice else every[: len(DUE)]
    samples = client("a", SCRAPES, DUE[every], latency[every])
    samples = [replace(one, values=np.minimum(one.values, np.searchsorted(DUE, SCRAPES, side="right")))
               if one.metric in ("due", "submitted") else one for one in samples]  # fmt: skip
    if not logged:
        return of(samples)
    log = replace(recorded("a", DUE[every] + latency[every], latency[every]), scheduled=lambda a, b: 100 * (b - a))
    return measure(RunSamples([]), 1010, 1050, scrape_interval=1, logs=[log])


def test_a_closed_loop_may_exceed_the_requested_load_and_is_named() -> None:
    own = of([one for one in steady("a") if one.metric not in ("submitted", "due")])
    verdict = judge(own, requested_tps=50, closed_loop=True)
    assert (verdict.status, verdict.saturated) == ("ok", False)
    assert verdict.warnings == [CLOSED_LOOP, "completed 100.0 tx/s, more than the requested 50"]
    assert judge(own, requested_tps=50).status == "invalid"


def test_a_run_with_lost_transactions_is_invalid() -> None:
    kept = DUE[::2]
    lossy = [
        *[one for one in steady("a") if not one.metric.startswith("latency")],
        *[one for one in client("a", SCRAPES, kept, np.full(len(kept), 0.1)) if one.metric.startswith("latency")],
    ]
    verdict = judge(of(lossy), requested_tps=100)
    assert verdict.reasons == ["50.0 of 100.0 sent tx/s neither completed, nor failed, nor in flight"]
    failed = series("errors", {**labels_of("a"), "error_type": "timeout"}, SCRAPES, (SCRAPES - 1000) * 50)
    explained = judge(of([*lossy, failed]), requested_tps=100)
    assert explained.reasons == []
    assert explained.warnings == [
        "2000 of 4000 requests failed (2000 timeout); latencies count them as slower than all others"
    ]


def test_hanging_requests_are_in_the_quantiles_and_named() -> None:
    """Every 67th of 200 requests/s hangs until its timeout of 2 s."""
    due = np.arange(1000.0, 1060.0, 0.005)
    hang = np.arange(len(due)) % 67 == 0
    answered = client("a", SCRAPES, due[~hang], np.full((~hang).sum(), 0.0018))
    sent = np.searchsorted(due, SCRAPES, side="right").astype(np.float64)
    flight = np.searchsorted(due[hang], SCRAPES) - np.searchsorted(due[hang] + 2, SCRAPES)
    load = {"submitted": sent, "due": sent, "inflight": flight.astype(np.float64)}
    made = [replace(one, values=load.get(one.metric, one.values)) for one in answered]
    run = of([*made, *failures("a", SCRAPES, due[hang] + 2)])
    assert run.total.latency_s is not None
    assert run.total.successful_latency_s is not None
    assert (run.total.latency_s.p99.lower, run.total.latency_s.p99.upper) == (2.0, None)
    assert run.total.successful_latency_s.p99.upper == 0.01
    verdict = judge(run, requested_tps=200)
    assert verdict.reasons == []
    assert verdict.warnings == ["120 of 8000 requests failed (120 timeout); latencies count them as their timeout"]


def test_scheduling_delay_is_a_warning_or_an_issue_if_large_relative_to_latency() -> None:
    slow_system = judge(of(client("a", SCRAPES, DUE, np.full(len(DUE), 0.8), lateness=0.018)), requested_tps=100)
    assert slow_system.status == "ok"
    assert [text.split(" (")[0] for text in slow_system.warnings] == ["client a: scheduling delay 19.8 ms"]
    fast_system = judge(of(client("a", SCRAPES, DUE, np.full(len(DUE), 0.1), lateness=0.018)), requested_tps=100)
    assert fast_system.reasons == ["client a: scheduling delay 19.8 ms (p99), 20 % of the mean latency of 100.0 ms"]


def test_a_client_that_waits_for_a_saturated_system_gets_only_a_warning() -> None:
    measurement = replace(of(overloaded()), client_delay_s={"a": Quantile(estimate=9.0, lower=5.0, upper=10.0)})
    verdict = judge(measurement, requested_tps=100)
    assert (verdict.saturated, verdict.status) == (True, "ok")
    assert verdict.warnings[0] == "client a: scheduling delay 9000.0 ms (p99)"


def test_a_host_without_free_cpu_time_is_named() -> None:
    verdict = judge(
        of(steady("a")), requested_tps=100, usage={"a": HostUsage(cpu_busy=0.95), "b": HostUsage(cpu_busy=0.5)}
    )
    assert verdict.warnings == ["a was 95 % busy: it, not the system, may limit throughput"]


def test_an_emulated_network_behind_schedule_is_a_warning() -> None:
    run = replace(of(steady("a")), wan_delay_s={"h": Quantile(estimate=0.0042, lower=0.002, upper=0.005)})
    assert judge(run, requested_tps=100).warnings == ["h: the emulated network was 4.2 ms (p99) behind schedule"]
    assert judge(run, requested_tps=100, thresholds=Thresholds(wan_delay_s=0.01)).warnings == []


def test_a_run_whose_emulated_network_changed_is_invalid() -> None:
    verdict = judge(replace(of(steady("a")), wan_changes={"h": 1005.5}), requested_tps=100)
    assert verdict.status == "invalid"
    assert verdict.reasons == [
        "h: the emulated network changed during the run, at 00:16:45 UTC: `pulumi up` applied other settings, or its "
        "emulator was restarted"
    ]


def test_a_gap_within_the_window_hides_nothing_and_is_named() -> None:
    scrapes = SCRAPES[(SCRAPES <= 1020) | (SCRAPES >= 1027)]
    run = of(client("a", scrapes, DUE, np.full(len(DUE), 0.1)))
    verdict = judge(run, requested_tps=100)
    text = "client a: no sample for 7.0 s (gaps: 1); expected one every 1 s; totals are complete"
    assert (verdict.reasons, verdict.warnings) == ([], [text])
    assert run.total.completed_tps == pytest.approx(100)


@pytest.mark.parametrize("faulty", [False, True])
@pytest.mark.parametrize("seen", [SCRAPES[SCRAPES <= 1043], SCRAPES[SCRAPES >= 1017]], ids=["end", "start"])
def test_gap_at_an_edge_of_the_window_makes_a_run_invalid_unless_a_fault_explains_it(
    seen: NDArray[np.float64], faulty: bool
) -> None:
    run = of(client("a", seen, DUE, np.full(len(DUE), 0.1)))
    verdict = judge(run, requested_tps=100, faulty_hosts=["a"] if faulty else [])
    text = "client a: no sample for 7.0 s (gaps: 1); expected one every 1 s; a part of the window is missing"
    assert (verdict.reasons, verdict.warnings) == (
        ([], [f"{text} (a fault was injected there)"]) if faulty else ([text], [])
    )


def up(host: str, job: str, down: tuple[float, float] | None = None) -> list[Series]:
    """The outcomes of scrapes, which failed from `down[0]` to `down[1]`."""
    first, last = down or (0.0, 0.0)
    return [series("up", labels_of(host, job=job), SCRAPES, np.where((first <= SCRAPES) & (last >= SCRAPES), 0, 1))]


@pytest.mark.parametrize("faulty", [False, True])
def test_a_node_that_hangs_makes_a_run_invalid_unless_a_fault_explains_it(faulty: bool) -> None:
    run = of(steady("a"), up("n", "node", (1020, 1023)), up("n", "host"), up("m", "node"), up("m", "host"))
    verdict = judge(run, requested_tps=100, faulty_hosts=["n"] if faulty else [])
    text = "node n: no answer to 4 scrape(s), for 4.0 s from 10.0 s, while its host answered: "
    text += "it hung, or its port was blocked"
    assert verdict.status == ("ok" if faulty else "invalid")
    assert [*verdict.reasons, *verdict.warnings] == [f"{text} (a fault was injected there)" if faulty else text]


def test_a_node_that_never_answers_again_is_named_with_the_time_until_the_end() -> None:
    verdict = judge(of(steady("a"), up("n", "node", (1040, 1060)), up("n", "host")), requested_tps=100)
    (text,) = verdict.reasons
    assert text.startswith("node n: no answer to 11 scrape(s), for 10.0 s from 30.0 s")


@pytest.mark.parametrize("scrapes", [1, 2])
def test_a_node_that_is_slow_to_answer_gets_a_warning(scrapes: int) -> None:
    verdict = judge(of(steady("a"), up("n", "node", (1020, 1019 + scrapes)), up("n", "host")), requested_tps=100)
    text = f"node n: no answer to {scrapes} scrape(s), for {scrapes}.0 s from 10.0 s: the node was slow to answer"
    assert (verdict.reasons, verdict.warnings) == ([], [text])


def test_a_host_that_was_cut_off_is_named_once() -> None:
    cut = of(steady("a"), up("n", "node", (1021, 1025)), up("n", "host", (1020, 1024)))
    verdict = judge(cut, requested_tps=100)
    text = "host n: no answer to 5 scrape(s), for 5.0 s from 10.0 s: the host was cut off, or paused"
    assert (verdict.reasons, verdict.warnings) == ([], [text])


def test_failed_scrapes_outside_the_window_are_ignored() -> None:
    run = of(steady("a"), up("n", "node", (1000, 1009)), up("m", "node", (1051, 1060)))
    assert judge(run, requested_tps=100).warnings == []


def test_an_impossible_figure_makes_a_run_invalid_with_its_reason() -> None:
    slow = [replace(one, values=one.values * 1e9) if one.metric == "latency_s_sum" else one for one in steady("a")]
    verdict = judge(of(slow), requested_tps=100)
    assert verdict.status == "invalid"
    assert any("client a: the mean of `latency_s`, 1.2e+08, is outside its buckets" in text for text in verdict.reasons)


def test_clients_that_were_not_measured_are_named_with_the_reason() -> None:
    once = client("b", np.array([1020.0]), DUE, np.full(len(DUE), 0.1))
    verdict = judge(of(steady("a"), once), requested_tps=100, expected_clients=["a", "b", "c"])
    assert verdict.reasons == [
        "client c: never sampled; is its metrics port reachable?",
        "client b: fewer than 2 samples in the window of 40.0 s",
    ]


def test_without_any_sample_the_run_is_invalid() -> None:
    assert judge(of(), requested_tps=100).reasons == ["no client was sampled: there is nothing to measure"]


def test_without_any_transaction_the_run_is_saturated_and_invalid() -> None:
    verdict = judge(of(client("a", SCRAPES, DUE, np.full(len(DUE), 500.0))), requested_tps=100)
    assert verdict.saturated
    assert verdict.reasons == ["no transaction completed in the window"]


@pytest.mark.parametrize("faulty", [False, True])
def test_restart_makes_a_run_invalid_unless_a_fault_explains_it(faulty: bool) -> None:
    node = series(
        "process_start_time_seconds", labels_of("n", job="node"), SCRAPES, np.where(SCRAPES < 1030, 900, 1029)
    )
    verdict = judge(of(steady("a"), [node]), requested_tps=100, faulty_hosts=["n"] if faulty else [])
    assert verdict.status == ("ok" if faulty else "invalid")
    (text,) = verdict.warnings if faulty else verdict.reasons
    assert text.startswith("node n: restarted within the window, seen at 20.0 s")


def test_clock_offsets_are_a_warning_and_above_100_ms_make_a_run_invalid() -> None:
    verdict = judge(of(steady("a")), requested_tps=100, clock_offsets_s={"a": -0.02, "b": 0.25, "c": 0.002})
    assert verdict.warnings == ["a: its clock is off by -20.0 ms, more than 10 ms"]
    assert verdict.reasons == ["b: its clock is off by +250.0 ms, more than 100 ms"]


def test_a_client_without_completed_transactions_at_first_is_named() -> None:
    due = np.arange(1012.5, 1060.0, 0.1)
    verdict = judge(of(client("a", SCRAPES, due, np.full(len(due), 0.1))), requested_tps=10)
    assert "client a: first completed transaction seen 3.0 s into the window" in verdict.warnings


def test_a_p99_above_the_last_bound_is_a_warning() -> None:
    verdict = judge(of(client("a", SCRAPES, DUE, np.full(len(DUE), 7.0))), requested_tps=100)
    assert verdict.warnings == ["p99 is above the histogram's last bound, 5 s"]
