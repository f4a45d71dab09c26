"""The phases of a run on hosts that are fakes: their order, and what happens if one of them fails or is interrupted."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from factories.latency_logs import recent
from fakes.fleet import FakeFleet
from fakes.recorder import Recorder

from benchmark.errors import HostError, InfrastructureError, Interrupted, SystemFailure, UsageError
from benchmark.host_layout import MARKS_FILE
from benchmark.inventory import EmulatedRoundTrip
from benchmark.metrics.prometheus import Prometheus
from benchmark.metrics.sample_files import read_samples
from benchmark.orchestrator import run as run_module
from benchmark.orchestrator import supervisor
from benchmark.protocols.base import Protocol
from benchmark.results.events import Progress, RunStarted, SummaryWritten, WarningIssued, read_events
from benchmark.results.manifest import RoundTripRecord, read_manifest
from benchmark.results.run_folder import EVENTS, LOGS, SAMPLES, is_running, read_summary
from benchmark.results.summary import Summary
from benchmark.testbed.testbed import Testbed

PHASES = ["configure", "start_nodes", "start_clients", "warm_up", "monitor", "measure", "stop", "collect"]
BEFORE_STOP = PHASES[:-2]

pytestmark = pytest.mark.usefixtures("fast")
Execute = Callable[..., Summary]


def require_stopped(fleet: FakeFleet) -> None:
    """Require that every supervisor got the order to stop and is closed, and that the testbed is free."""
    assert all("stop" in session.sent for session in fleet.supervisors())
    require_closed(fleet)


def require_closed(fleet: FakeFleet) -> None:
    (lock,) = fleet.locks()
    assert all(session.closed for session in [*fleet.supervisors(), lock])
    assert fleet.tunnels == 0


def test_a_run_goes_through_its_phases_in_order(
    execute: Execute, recorder: Recorder, fleet: FakeFleet, folder: Callable[[], Path]
) -> None:
    summary = execute()
    assert recorder.phases() == PHASES
    assert isinstance(recorder.events[0], RunStarted)
    assert isinstance(recorder.events[-1], SummaryWritten)
    require_stopped(fleet)
    assert read_events(folder() / EVENTS) == recorder.events
    assert read_summary(folder()) == summary
    assert {series.labels["host"] for series in read_samples(folder() / SAMPLES)} == {"a-1", "a-2", "b-0"}
    assert {path.parent.name for path in (folder() / LOGS).glob("*/*.log.gz")} == {"a-1", "a-2", "b-0"}
    manifest = read_manifest(folder())
    assert manifest.times is not None
    assert manifest.times.end - manifest.times.start == pytest.approx(0.02)
    assert manifest.processes["node-0"].started is not None
    assert set(PHASES[:-1]) < set(manifest.timings_s)


def test_nodes_start_together_before_clients_and_the_load_last(execute: Execute, fleet: FakeFleet) -> None:
    execute()
    for session in fleet.supervisors():
        kinds = [line.split()[1].partition("-")[0] for line in session.sent if line.startswith(("start", "send"))]
        assert kinds == ["node", "client", "client"]
    starts = [line.split()[2] for session in fleet.supervisors() for line in session.sent if "start node" in line]
    assert max(map(float, starts)) - min(map(float, starts)) < 0.05
    assert all(any(line.startswith("send client-") for line in session.sent) for session in fleet.supervisors())


def test_a_run_is_invalid_if_the_clock_that_dates_the_samples_is_wrong(
    execute: Execute, fleet: FakeFleet, folder: Callable[[], Path]
) -> None:
    fleet.clock_offsets_s = {"a-0": 2.0}  # the monitoring host, which runs neither nodes nor clients
    summary = execute()
    assert summary.status == "invalid"
    assert any(text.startswith("a-0: its clock is off by +2000") for text in summary.reasons)
    assert read_manifest(folder()).clock_offsets_s["a-0"].offset_s == pytest.approx(2.0, abs=0.1)
    assert all(session.closed for session in fleet.sessions)


def test_a_run_is_invalid_if_a_clock_was_set_meanwhile(execute: Execute, fleet: FakeFleet, recorder: Recorder) -> None:
    def hook(operation: str) -> None:
        if recorder.phases()[-1:] == ["measure"]:
            fleet.clock_offsets_s = {"a-0": 3.0, "b-0": 0.004}

    fleet.hook = hook
    summary = execute()
    assert any(text.startswith("a-0: its clock is off by +3") for text in summary.reasons)
    assert not any(text.startswith("b-0") for text in summary.reasons + summary.warnings)


def test_a_clock_that_cannot_be_read_at_the_end_is_a_warning(
    execute: Execute, fleet: FakeFleet, recorder: Recorder
) -> None:
    def hook(operation: str) -> None:
        if recorder.phases()[-1:] == ["measure"] and operation == "open":
            fleet.failed = {"a-0": "timed out"}

    fleet.hook = hook
    execute()
    texts = [event.text for event in recorder.events if isinstance(event, WarningIssued)]
    assert any("whether clocks were set during the run is unknown: " in text for text in texts)


def test_start_times_are_converted_to_the_clock_of_each_host(execute: Execute, fleet: FakeFleet) -> None:
    fleet.clock_offset_s = 100.0
    execute()
    orders = [line.split() for session in fleet.supervisors() for line in session.sent]
    times = [float(words[-1]) for words in orders if words[0] in ("start", "send")]
    assert len(times) == 9
    assert all(99 < at - time.time() < 101 for at in times)


def test_a_load_that_changes_begins_after_prometheus_has_scraped_everything(
    execute: Execute, recorder: Recorder
) -> None:
    execute(load_shape="ramp")
    assert recorder.phases() == [*PHASES[:3], "monitor", *PHASES[3:]]


def test_dashboards_get_the_times_of_the_phases(execute: Execute, fleet: FakeFleet) -> None:
    summary = execute()
    text = fleet.files["a-0"][MARKS_FILE].decode()
    assert text.count(f'run="{summary.run_id}"') == 3


def test_progress_is_emitted_while_load_is_offered(
    execute: Execute, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "_PROGRESS_S", 0.005)
    execute()
    progress = [event for event in recorder.events if isinstance(event, Progress)]
    assert progress
    assert progress[0].completed_tps == 60.0
    assert progress[-1].left_s + 0.1 > 0


def test_round_trips_before_and_after_are_recorded(execute: Execute, folder: Callable[[], Path]) -> None:
    summary = execute()
    assert read_manifest(folder()).network["a/b"] == RoundTripRecord(before_ms=80.0, after_ms=80.0)
    assert not any("round trip" in text for text in (*summary.warnings, *summary.reasons))


def test_round_trips_that_change_are_a_warning(execute: Execute, recorder: Recorder, fleet: FakeFleet) -> None:
    recorder.act_in("measure", lambda: setattr(fleet, "rtt_ms", 90.0))
    summary = execute()
    assert "the round trip from a to b was 80.00 ms before the run and 90.00 ms after" in summary.warnings
    assert not any("round trip" in reason for reason in summary.reasons)


def test_an_emulated_network_that_is_not_the_requested_one_invalidates_the_run(
    execute: Execute, testbed: Testbed, recorder: Recorder, fleet: FakeFleet
) -> None:
    requested = {"a/b": EmulatedRoundTrip(rtt_ms=80), "b/a": EmulatedRoundTrip(rtt_ms=80)}
    object.__setattr__(testbed, "inventory", testbed.inventory.model_copy(update={"round_trips": requested}))
    recorder.act_in("measure", lambda: setattr(fleet, "rtt_ms", 90.0))
    summary = execute()
    assert summary.status == "invalid"
    assert "after the run, the round trip from a to b is 90.00 ms, requested 80.00 ms" in summary.reasons


def fail_host() -> None:
    raise HostError("lost hosts:", {"a-1": "no route"})


@pytest.mark.parametrize("phase", [phase for phase in PHASES if phase != "stop"])
def test_processes_are_stopped_if_the_infrastructure_fails_in_any_phase(
    execute: Execute, recorder: Recorder, fleet: FakeFleet, folder: Callable[[], Path], phase: str
) -> None:
    recorder.act_in(phase, fail_host)
    with pytest.raises(HostError, match="lost hosts"):
        execute()
    assert recorder.phases() == [*PHASES[: PHASES.index(phase) + 1], *(["stop"] if phase in BEFORE_STOP else [])]
    require_stopped(fleet)
    summary = read_summary(folder())
    assert summary is not None
    assert (summary.status, summary.failure) == ("failed", "infrastructure")
    assert "lost hosts" in summary.reasons[0]


@pytest.mark.parametrize("phase", ["start_nodes", "start_clients", "warm_up", "monitor", "measure"])
def test_a_process_that_ends_fails_the_run_with_its_last_log_lines(
    execute: Execute,
    recorder: Recorder,
    fleet: FakeFleet,
    testbed: Testbed,
    folder: Callable[[], Path],
    phase: str,
) -> None:
    fleet.answers = {"tail -n 20": "panic: out of range\n"}

    def end() -> None:
        fleet.exits = {"a-1": ["exited node-0 137"]}

    recorder.act_in(phase, end)
    if phase == "monitor":  # which returns at once where everything has been scraped
        monitoring = testbed.open_prometheus
        object.__setattr__(testbed, "open_prometheus", lambda url: delayed(monitoring(url)))
    with pytest.raises(SystemFailure, match="node-0 on a-1 ended by signal 9; its last log lines:\n  panic: out of"):
        execute()
    require_stopped(fleet)
    summary = read_summary(folder())
    assert summary is not None
    assert (summary.status, summary.failure) == ("failed", "system")
    assert read_manifest(folder()).processes["node-0"].exit_code == 137


def delayed(prometheus: object) -> object:
    """Let the first query of a Prometheus find nothing."""
    original, seen = prometheus.scraped, []  # type: ignore[attr-defined]

    def scraped(since: float) -> set[tuple[str, str, str]]:
        seen.append(since)
        found: set[tuple[str, str, str]] = original(since)
        return found if len(seen) > 1 else set()

    prometheus.scraped = scraped  # type: ignore[attr-defined]
    return prometheus


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("phase", PHASES)
def test_interrupt_in_any_phase_stops_all_processes_and_keeps_partial_results(
    execute: Execute,
    recorder: Recorder,
    fleet: FakeFleet,
    folder: Callable[[], Path],
    phase: str,
    number: signal.Signals,
) -> None:
    recorder.act_in(phase, lambda: os.kill(os.getpid(), number))
    with pytest.raises(Interrupted, match="partial results are in"):
        execute()
    require_stopped(fleet)
    summary = read_summary(folder())
    assert summary is not None
    assert (summary.status, summary.failure) == ("interrupted", None)
    manifest = read_manifest(folder())
    reached = PHASES.index(phase)
    assert (manifest.times is not None) == (reached > PHASES.index("warm_up")) or phase == "warm_up"
    assert (folder() / SAMPLES).exists() == (manifest.times is not None)
    assert bool(list((folder() / LOGS).glob("*/*.log.gz"))) == (reached > PHASES.index("start_nodes"))


def test_an_interrupt_while_processes_stop_does_not_leave_them(
    execute: Execute, recorder: Recorder, fleet: FakeFleet
) -> None:
    recorder.act_in("stop", lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(Interrupted):
        execute()
    assert [session.sent.count("stop") for session in fleet.supervisors()] == [1, 1, 1]


def test_programming_error_is_a_failed_run(
    execute: Execute, recorder: Recorder, fleet: FakeFleet, folder: Callable[[], Path]
) -> None:
    def divide() -> None:
        raise ZeroDivisionError("division by zero")

    recorder.act_in("measure", divide)
    with pytest.raises(ZeroDivisionError):
        execute()
    require_stopped(fleet)
    summary = read_summary(folder())
    assert summary is not None
    assert (summary.status, summary.failure) == ("failed", "tool")
    assert summary.reasons == ["ZeroDivisionError('division by zero')"]


def test_started_supervisors_are_stopped_if_others_fail_to_start(
    execute: Execute, recorder: Recorder, fleet: FakeFleet
) -> None:
    fleet.failed = {}

    def refuse() -> None:
        fleet.hook = lambda operation: fleet.failed.update({"b-0": "no answer"}) if operation == "open" else None

    recorder.act_in("configure", refuse)
    with pytest.raises(HostError, match="could not start the supervisors:\n  b-0: no answer"):
        execute()
    assert {session.host for session in fleet.supervisors()} == {"a-1", "a-2"}
    require_stopped(fleet)


def test_a_preparation_that_fails_is_reported_with_its_log(
    execute: Execute, fleet: FakeFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "prepare_command", lambda processes, working: "keygen")
    fleet.answers = {"keygen": "node-0\nno entropy\n"}
    fleet.exit_codes = {"keygen": 1}
    with pytest.raises(SystemFailure, match=r"node-0 on a-1: .* exit code 1; its last log lines:\n  no entropy"):
        execute()


def test_a_host_lost_while_processes_stop_does_not_cost_the_measurement(
    execute: Execute, recorder: Recorder, fleet: FakeFleet
) -> None:
    recorder.act_in("stop", fail_host)
    execute()
    require_closed(fleet)
    assert sum("stop" in session.sent for session in fleet.supervisors()) == len(fleet.supervisors()) - 1
    assert sum(" kill " in command for command in fleet.commands) == 1


def test_hosts_that_do_not_confirm_the_stop_are_a_warning(
    execute: Execute, recorder: Recorder, fleet: FakeFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "CHANGE_S", 0.01)
    fleet.stuck = {"a-2"}
    fleet.replies = {"a-2": {" kill ": fleet.facts.replace("stale_processes 0", "stale_processes 2")}}
    execute()
    assert "a-2: 2 process groups had to be killed" in recorder.texts()
    assert [command.split()[5] for command in fleet.commands if " kill " in command] == ["kill"]


def test_processes_left_on_a_host_that_is_lost_are_a_warning(
    execute: Execute, recorder: Recorder, fleet: FakeFleet
) -> None:
    def lose() -> None:
        fleet.lost.add("b-0")
        fleet.failed = {"b-0": "no answer within 10 s"}

    recorder.act_in("measure", lose)
    with pytest.raises(HostError, match="lost the connection to hosts during the run:\n  b-0: the connection was lost"):
        execute()
    assert "processes may be left on b-0, `geobench stop` ends them: no answer within 10 s" in recorder.texts()


@pytest.fixture
def prometheus(testbed: Testbed) -> dict[str, object]:
    """Attributes that the Prometheus of the testbed gets when it is opened."""
    attributes: dict[str, object] = {}
    open_prometheus = testbed.open_prometheus

    def changed(url: str) -> Prometheus:
        found = open_prometheus(url)
        for name, value in attributes.items():
            setattr(found, name, value)
        return found

    object.__setattr__(testbed, "open_prometheus", changed)
    return attributes


def test_targets_that_are_never_scraped_are_named_with_the_reasons_of_prometheus(
    execute: Execute, prometheus: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "_SCRAPE_DEADLINE_S", 0.01)
    refusal = "server returned HTTP status 404 Not Found"
    prometheus |= {
        "unscraped": {"client"},
        "errors": {("client", "a-1", "198.18.0.3:18600"): refusal, ("client", "a-2", "198.18.0.4:18600"): ""},
    }
    with pytest.raises(InfrastructureError) as error:
        execute()
    assert str(error.value).splitlines() == [
        "Prometheus has no samples after 0.01 s of these 3 processes:",
        f"  client on a-1: {refusal}",
        "  client on a-2: not scraped yet",
        "  client on b-0: Prometheus has not read its target file for 198.18.0.5:18600 yet",
    ]


def test_targets_that_answer_without_metrics_are_a_mistake_of_the_user(
    execute: Execute, prometheus: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "_SCRAPE_DEADLINE_S", 0.01)
    addresses = {"a-1": "198.18.0.3:18600", "a-2": "198.18.0.4:18600", "b-0": "198.18.0.5:18600"}
    refusal = "received unsupported Content-Type"
    errors = {("client", host, address): refusal for host, address in addresses.items()}
    prometheus |= {"unscraped": {"client"}, "errors": errors}
    with pytest.raises(UsageError, match="client on b-0: received unsupported Content-Type"):
        execute()
    prometheus["errors"] = errors | {("client", "a-1", addresses["a-1"]): 'Get "http://x/": connection refused'}
    with pytest.raises(InfrastructureError, match="connection refused"):
        execute()


def test_a_metric_that_nobody_exports_ends_the_run_before_the_window(
    execute: Execute, recorder: Recorder, prometheus: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "_EXPORT_DEADLINE_S", 0.0)
    prometheus["names"] = {"latency_seconds_bucket", "latency_seconds_count", "due"}
    monkeypatch.setattr(run_module, "_EXPORT_SCRAPES", 0)
    with pytest.raises(
        UsageError, match=r"etcd cannot be measured.*\n  metrics.latency: no client exports `latency_s`"
    ):
        execute()
    assert "measure" not in recorder.phases()
    assert recorder.phases()[-1] == "stop"


def test_a_node_exporter_that_fails_is_a_warning(
    execute: Execute, recorder: Recorder, prometheus: dict[str, object]
) -> None:
    prometheus["errors"] = {("host", "a-1", "198.18.0.3:9100"): "connection refused", ("client", "a-1", "x"): ""}
    execute()
    assert "a-1: no resource usage, its node exporter failed: connection refused" in recorder.texts()


def test_an_error_of_the_progress_display_does_not_end_a_run(
    execute: Execute, recorder: Recorder, prometheus: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "_PROGRESS_S", 0.001)

    def fail(*_: object, **__: object) -> object:
        raise InfrastructureError("Prometheus did not answer")

    monkeypatch.setattr(run_module, "read_live_stats", fail)
    assert execute().window is not None
    progress = [event for event in recorder.events if isinstance(event, Progress)]
    assert progress
    assert all(event.completed_tps is None for event in progress)


def test_a_lost_host_is_noticed_while_load_is_offered(execute: Execute, recorder: Recorder, fleet: FakeFleet) -> None:
    recorder.act_in("measure", lambda: fleet.lost.add("b-0"))
    with pytest.raises(HostError, match="lost the connection to hosts during the run:\n  b-0"):
        execute()


def lose(results: Path) -> None:
    """Put a file in the place of the testbed's results."""
    shutil.rmtree(results / "t")
    (results / "t").touch()


def last_warning(recorder: Recorder) -> str:
    return next(text for text in reversed(recorder.texts()) if "cannot" in text)


def test_results_are_kept_elsewhere_if_their_folder_cannot_be_written(
    execute: Execute, recorder: Recorder, fleet: FakeFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spare = tmp_path / "spare"
    spare.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(spare))
    recorder.act_in("collect", lambda: lose(tmp_path))
    summary = execute()
    (kept,) = spare.iterdir()
    assert last_warning(recorder).endswith(f"; samples, manifest and summary are in {kept}")
    assert read_summary(kept) == summary
    assert read_samples(kept / SAMPLES)
    assert read_manifest(kept).times
    require_stopped(fleet)


def test_a_run_whose_results_cannot_be_kept_anywhere_says_so(
    execute: Execute, recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    recorder.act_in("collect", lambda: lose(tmp_path))
    assert execute().window
    assert last_warning(recorder).endswith("; of this run nothing is kept but what is printed here")


@pytest.mark.parametrize("phase", ["configure", "measure", "collect"])
def test_a_results_folder_that_was_removed_is_created_again(
    execute: Execute, recorder: Recorder, folder: Callable[[], Path], tmp_path: Path, phase: str
) -> None:
    recorder.act_in(phase, lambda: shutil.rmtree(tmp_path / "t"))
    summary = execute()
    assert read_summary(folder()) == summary
    assert read_samples(folder() / SAMPLES)


def test_the_cause_of_a_failed_run_is_reported_also_if_its_summary_cannot_be_written(
    execute: Execute, recorder: Recorder, fleet: FakeFleet, tmp_path: Path
) -> None:
    def lose_and_fail() -> None:
        lose(tmp_path)
        fail_host()

    recorder.act_in("measure", lose_and_fail)
    with pytest.raises(HostError, match="no route"):
        execute()
    assert any("cannot write" in text for text in recorder.texts())
    require_stopped(fleet)


def test_a_run_is_known_to_be_running_until_it_ends(
    execute: Execute, recorder: Recorder, folder: Callable[[], Path]
) -> None:
    seen: list[bool] = []
    recorder.act_in("measure", lambda: seen.append(is_running(folder())))
    execute()
    assert seen == [True]
    assert not is_running(folder())


def test_a_run_in_which_a_node_hangs_is_invalid_and_names_it(execute: Execute, fleet: FakeFleet) -> None:
    fleet.hung = {"node-1"}
    summary = execute()
    assert summary.status == "invalid"
    assert "node-1 on b-0 did not answer at the end: no HTTP answer" in summary.reasons


@pytest.mark.parametrize("phase", ["start_nodes", "start_clients", "measure"])
def test_a_run_without_latency_logs_ends_when_its_monitoring_host_is_lost(
    execute: Execute, recorder: Recorder, fleet: FakeFleet, phase: str, unlogged: Protocol
) -> None:
    recorder.act_in(phase, lambda: fleet.lost.add("a-0"))
    with pytest.raises(HostError, match="lost the connection to hosts during the run:\n  a-0: "):
        execute(duration_s=5.0, protocol=unlogged)
    require_stopped(fleet)


@pytest.mark.parametrize("phase", ["start_nodes", "start_clients", "measure"])
def test_a_run_with_latency_logs_goes_on_when_its_monitoring_host_is_lost(
    execute: Execute, recorder: Recorder, fleet: FakeFleet, phase: str
) -> None:
    fleet.stored = {"latencies.hlog": recent}
    recorder.act_in(phase, lambda: fleet.lost.add("a-0"))
    summary = execute(duration_s=0.4, warm_up_s=0.1)
    assert summary.status == "ok", summary.reasons
    assert summary.completed_tps == pytest.approx(60)
    told = "lost the monitoring host a-0 (the connection was lost); the run goes on without samples"
    assert recorder.texts().count(told) == 1
    assert any(text.startswith("the monitoring host was lost: ") for text in summary.warnings)
    assert summary.hosts == {}
    require_stopped(fleet)
