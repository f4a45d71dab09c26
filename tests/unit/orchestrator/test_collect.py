"""Collecting logs and samples from fake hosts, after a run and after a failure."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from factories.latency_logs import recent
from fakes.fleet import FakeFleet
from fakes.recorder import Recorder

from benchmark.errors import HostError, InfrastructureError, Interrupted, SystemFailure
from benchmark.measure.warm_up import WarmUp
from benchmark.metrics.latency_log import read_latency_log
from benchmark.metrics.sample_files import read_samples
from benchmark.orchestrator import collect as module
from benchmark.orchestrator import run as run_module
from benchmark.orchestrator.collect import last_lines
from benchmark.results.manifest import read_manifest
from benchmark.results.run_folder import LATENCIES, LOGS, SAMPLES, read_summary
from benchmark.results.summary import Summary
from benchmark.testbed.testbed import Testbed

PANIC = "found\tnode-0\tpanic\t1\nline\tnode-0\tpanic\tpanic: out of range\n"

pytestmark = pytest.mark.usefixtures("fast")


def interrupt() -> None:
    raise KeyboardInterrupt


def break_prometheus(operation: str) -> None:
    if operation == "samples":
        raise InfrastructureError("Prometheus did not answer")


def test_findings_in_logs_are_part_of_the_summary(execute: Callable[..., Summary], fleet: FakeFleet) -> None:
    fleet.answers = {"geobench/run 16777216": PANIC}
    summary = execute()
    finding = summary.log_findings["node-0"]["panic"]
    assert (finding.count, finding.first[0]) == (1, "panic: out of range")
    assert any(warning.startswith("node-0: ") for warning in summary.warnings)


def test_logs_are_not_downloaded_if_disabled_in_the_settings(
    execute: Callable[..., Summary], testbed: Testbed, folder: Callable[[], Path], fleet: FakeFleet
) -> None:
    object.__setattr__(testbed, "settings", testbed.settings.model_copy(update={"log_processing": False}))
    execute()
    assert not any("geobench/run 16777216" in command for command in fleet.commands)
    assert not (folder() / LOGS).exists()


def test_results_come_from_latency_logs_if_prometheus_does_not_answer(
    execute: Callable[..., Summary], recorder: Recorder, folder: Callable[[], Path], fleet: FakeFleet
) -> None:
    fleet.stored = {"latencies.hlog": recent}
    recorder.act_in("collect", lambda: setattr(fleet, "hook", break_prometheus))
    summary = execute(duration_s=0.4, warm_up_s=0.1)
    assert summary.status == "ok", summary.reasons
    assert summary.completed_tps == pytest.approx(60)
    assert summary.sent_tps == pytest.approx(60)
    assert summary.scheduled_tps == pytest.approx(60)
    assert summary.latency_s is not None
    assert summary.latency_s.quantiles["p99"].upper == pytest.approx(0.003, rel=1e-3)
    assert summary.sources == {
        **dict.fromkeys(["sent_tps", "completed_tps", "latency_s", "successful_latency_s", "errors"], "latency_log"),
        "scheduled_tps": "schedule",
    }
    assert set(summary.by_workload) == {"put"}
    assert summary.window is not None
    assert round(summary.window.start * 10, 3) % 1 == 0
    assert summary.window.seconds == 0.4
    missing = "the resource usage of hosts, and samples that confirm the latency logs, are missing"
    assert f"{missing}: Prometheus did not answer" in summary.warnings
    assert any("fewer than 2 samples of any client" in text for text in summary.warnings)
    logs = sorted((folder() / LATENCIES).iterdir())
    assert [path.name for path in logs] == ["client-0.hlog", "client-1.hlog", "client-2.hlog"]
    assert read_latency_log(logs[0]).aligned


def test_latency_logs_that_contradict_the_samples_make_the_run_invalid(
    execute: Callable[..., Summary], fleet: FakeFleet
) -> None:
    fleet.stored = {"latencies.hlog": recent}
    summary = execute(duration_s=0.4, warm_up_s=0.1)
    assert summary.status == "invalid"
    assert any("completed by its counters, but" in text and "a-" in text for text in summary.reasons)


def test_a_damaged_latency_log_is_a_warning_and_samples_replace_it(
    execute: Callable[..., Summary], fleet: FakeFleet
) -> None:
    fleet.stored = {"latencies.hlog": lambda: recent() + b"broken\n"}
    summary = execute(duration_s=0.4, warm_up_s=0.1)
    assert "latency_log" not in summary.sources.values()
    (text,) = (text for text in summary.warnings if "latencies/client-0.hlog, line 63: " in text)
    assert text.endswith("the results come from the histograms that Prometheus sampled, which are coarser")


def test_samples_replace_the_log_of_a_load_generator_that_did_not_end_well(
    execute: Callable[..., Summary], recorder: Recorder, fleet: FakeFleet
) -> None:
    """One of its processes may have hung, and did not write what it measured."""
    fleet.stored = {"latencies.hlog": recent}
    recorder.act_in("stop", lambda: fleet.exits.update({"a-1": ["exited client-0 1"]}))
    summary = execute(duration_s=0.4, warm_up_s=0.1)
    assert "latency_log" not in summary.sources.values()
    text = "client-0 on a-1: it ended with exit code 1, so its latency log may be incomplete; the results come from"
    assert any(each.startswith(text) for each in summary.warnings)


def test_hosts_whose_logs_are_incomplete_are_a_warning(
    execute: Callable[..., Summary], recorder: Recorder, fleet: FakeFleet
) -> None:
    def lose(operation: str) -> None:
        if operation == "get":
            fleet.failed = {"a-2": "disk full"}

    recorder.act_in("collect", lambda: setattr(fleet, "hook", lose))
    assert execute().status != "failed"
    assert "the logs of a-2 are incomplete: disk full" in recorder.texts()


def test_requested_warm_up_is_not_changed(execute: Callable[..., Summary], folder: Callable[[], Path]) -> None:
    summary = execute(warm_up_s=0.01)
    assert summary.warm_up is not None
    assert summary.warm_up.method == "as requested"
    assert 0.01 <= summary.warm_up.seconds <= 0.2  # the window begins with an interval of latency logs
    assert read_manifest(folder()).warm_up == summary.warm_up


def test_a_detected_warm_up_moves_the_window(
    execute: Callable[..., Summary], folder: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = WarmUp(seconds=0.015, method="detected")
    monkeypatch.setattr(module, "find_window", lambda series, load, start, end, **_: (start + 0.01, end, found))
    summary = execute(find_warm_up=True)
    assert summary.warm_up == found
    times = read_manifest(folder()).times
    assert times is not None
    assert times.end - times.start == pytest.approx(0.01)
    assert summary.window is not None
    assert summary.window.start == times.start


def test_a_snapshot_that_fails_is_a_warning(
    execute: Callable[..., Summary], recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise InfrastructureError("could not save the snapshot")

    monkeypatch.setattr(module, "save_snapshot", fail)
    execute(snapshot=True)
    assert "could not save the snapshot" in recorder.texts()


def test_samples_end_at_an_interrupt(
    execute: Callable[..., Summary], recorder: Recorder, folder: Callable[[], Path]
) -> None:
    recorder.act_in("measure", interrupt)
    with pytest.raises(Interrupted):
        execute(duration_s=600.0)
    times = read_manifest(folder()).times
    assert times is not None
    samples = read_samples(folder() / SAMPLES)
    assert samples
    assert max(series.times[-1] for series in samples) < times.load + 60
    assert "collecting partial results" in recorder.texts()


def test_what_was_measured_before_an_interrupt_is_evaluated(
    execute: Callable[..., Summary],
    recorder: Recorder,
    folder: Callable[[], Path],
    fleet: FakeFleet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_LEAST_INTERVALS", 0.1)
    monkeypatch.setattr(run_module, "_PROGRESS_S", 0.1)
    fleet.stored = {"latencies.hlog": recent}
    began: list[float] = []

    def wait(_operation: str) -> None:
        if time.time() > began[0] + 1.5:
            fleet.hook = lambda operation: None
            raise KeyboardInterrupt

    def begin() -> None:
        began.append(time.time())
        fleet.hook = wait

    recorder.act_in("measure", begin)
    with pytest.raises(Interrupted):
        execute(duration_s=600.0)
    summary, times = read_summary(folder()), read_manifest(folder()).times
    assert summary
    assert times
    assert summary.status == "interrupted"
    assert re.match(r"interrupted \d+ s into the measured window of 600 s", summary.reasons[0])
    assert summary.window
    assert (times.start, times.end) == (summary.window.start, summary.window.end)
    assert 1 < summary.window.seconds < 300
    assert summary.completed_tps
    assert summary.latency_s
    assert summary.latency_s.mean == pytest.approx(0.002, rel=0.01), "of 1 and 3 ms"


def test_an_interrupt_before_the_window_measures_nothing(
    execute: Callable[..., Summary], recorder: Recorder, folder: Callable[[], Path]
) -> None:
    recorder.act_in("warm_up", interrupt)
    with pytest.raises(Interrupted):
        execute(duration_s=600.0)
    summary = read_summary(folder())
    assert summary
    assert (summary.status, summary.window, summary.completed_tps) == ("interrupted", None, None)


def test_findings_are_kept_after_an_interrupt(
    execute: Callable[..., Summary], recorder: Recorder, folder: Callable[[], Path], fleet: FakeFleet
) -> None:
    fleet.answers = {"geobench/run 16777216": PANIC}
    recorder.act_in("measure", interrupt)
    with pytest.raises(Interrupted):
        execute()
    summary = read_summary(folder())
    assert summary is not None
    assert summary.status == "interrupted"
    assert summary.log_findings["node-0"]["panic"].count == 1


def test_logs_are_kept_if_prometheus_does_not_answer(
    execute: Callable[..., Summary], recorder: Recorder, folder: Callable[[], Path], fleet: FakeFleet
) -> None:
    recorder.act_in("collect", lambda: setattr(fleet, "hook", break_prometheus))
    with pytest.raises(InfrastructureError, match="Prometheus did not answer"):
        execute()
    assert "the samples are missing: Prometheus did not answer" in recorder.texts()
    assert not (folder() / SAMPLES).exists()
    assert list((folder() / LOGS).glob("*/*.log.gz"))


def test_samples_are_kept_if_logs_cannot_be_searched(
    execute: Callable[..., Summary], recorder: Recorder, folder: Callable[[], Path], fleet: FakeFleet
) -> None:
    fleet.answers = {"geobench/run 16777216": "bash: gzip: not found\n"}
    recorder.act_in("measure", interrupt)
    with pytest.raises(Interrupted):
        execute()
    assert (folder() / SAMPLES).exists()
    assert "the logs of a-1 are incomplete: collect_logs.sh printed 'bash: gzip: not found'" in recorder.texts()


def test_noise_of_a_host_in_its_logs_does_not_cost_the_numbers(
    execute: Callable[..., Summary], recorder: Recorder, folder: Callable[[], Path], fleet: FakeFleet
) -> None:
    fleet.replies = {"a-2": {"geobench/run 16777216": "Welcome to a-2\n"}}
    summary = execute()
    assert summary.window is not None
    assert read_summary(folder()) == summary
    assert "the logs of a-2 are incomplete: collect_logs.sh printed 'Welcome to a-2'" in recorder.texts()
    assert {path.parent.name for path in (folder() / LOGS).glob("*/*.log.gz")} == {"a-1", "b-0"}


def test_a_lost_host_is_announced_once_and_by_its_cause(
    execute: Callable[..., Summary], recorder: Recorder, fleet: FakeFleet
) -> None:
    def lose() -> None:
        fleet.lost.add("b-0")
        fleet.failed = {"b-0": "no route"}

    recorder.act_in("measure", lose)
    with pytest.raises(HostError, match="b-0: the connection was lost"):
        execute()
    assert not [text for text in recorder.texts() if "logs" in text]


def test_processes_that_were_not_started_have_no_logs_to_miss(
    execute: Callable[..., Summary],
    recorder: Recorder,
    fleet: FakeFleet,
    folder: Callable[[], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run_module, "CHANGE_S", 0.01)

    def end_while_others_start() -> None:
        fleet.mute.add("b-0")
        fleet.exits = {"a-1": ["exited node-0 1"]}

    recorder.act_in("start_nodes", end_while_others_start)
    with pytest.raises(SystemFailure, match="node-0 on a-1 ended with exit code 1"):
        execute()
    assert not [text for text in recorder.texts() if "logs" in text]
    assert {path.name for path in (folder() / LOGS).glob("*/*")} == {f"node-{index}.log.gz" for index in range(3)}


@pytest.mark.parametrize(
    "printed", ["512 2000 1000\n9 - -\n", "90000 2000 0\n9000 - -\n", "0 - -\n9000 - -\n", "9000 - -\n0 - -\n"]
)
def test_a_full_disk_is_named_as_the_cause(
    execute: Callable[..., Summary], recorder: Recorder, fleet: FakeFleet, folder: Callable[[], Path], printed: str
) -> None:
    fleet.replies = {"a-2": {"df --output": printed}, "a-1": {"df --output": "90000 0 0\n"}}
    recorder.act_in("measure", lambda: fleet.exits.update({"a-1": ["exited node-0 1"]}))
    with pytest.raises(InfrastructureError, match=r"the disk of a-2 is full; .* led to: node-0 on a-1 ended with"):
        execute()
    summary = read_summary(folder())
    assert summary is not None
    assert summary.failure == "infrastructure"


def test_a_write_that_was_larger_than_the_free_space_names_the_disk(
    execute: Callable[..., Summary], recorder: Recorder, fleet: FakeFleet
) -> None:
    fleet.replies = {
        "a-1": {"df --output": "90000 2000 1000\n80000 - -\n", "tail -n": "panic: wal: No space left on device\n"}
    }
    recorder.act_in("measure", lambda: fleet.exits.update({"a-1": ["exited node-0 1"]}))
    with pytest.raises(InfrastructureError, match=r"the disk of a-1 is full; .* led to: node-0 on a-1 ended with"):
        execute()


def test_the_summary_is_written_before_anything_is_collected(
    execute: Callable[..., Summary], recorder: Recorder, folder: Callable[[], Path], fleet: FakeFleet
) -> None:
    seen: list[object] = []

    def fail_then_record(operation: str) -> None:
        if operation == "samples":
            seen.append(read_summary(folder()))

    def fail() -> None:
        fleet.hook = fail_then_record
        raise HostError("lost hosts:", {"a-1": "no route"})

    recorder.act_in("measure", fail)
    with pytest.raises(HostError):
        execute()
    assert seen
    assert all(isinstance(summary, Summary) and summary.status == "failed" for summary in seen)


def test_nothing_is_collected_from_hosts_without_processes(
    execute: Callable[..., Summary], recorder: Recorder, fleet: FakeFleet
) -> None:
    recorder.act_in("configure", interrupt)
    with pytest.raises(Interrupted):
        execute()
    assert not {"samples", "get"} & set(fleet.operations)


def test_overhead_excludes_system_start_up_and_load(
    execute: Callable[..., Summary], folder: Callable[[], Path]
) -> None:
    execute()
    timings = dict(read_manifest(folder()).timings_s)
    overhead, start = timings.pop("overhead"), timings.pop("system_start")
    loaded = timings["warm_up"] + timings["measure"]
    assert overhead == pytest.approx(sum(timings.values()) - loaded - start)


def test_requests_of_readiness_checks_do_not_hide_what_a_process_logged(tmp_path: Path) -> None:
    log = tmp_path / "node-0.log"
    requests = "".join(f'127.0.0.1 - "GET /health HTTP/1.0" 404 at {n}\n404 not found {n}\n' for n in range(500))
    log.write_text(f"listening on 8000\nerror: no quorum\n{requests}")
    done = subprocess.run(["bash", "-c", last_lines(str(log))], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "listening on 8000",
        "error: no quorum",
        '127.0.0.1 - "GET /health HTTP/1.0" 404 at 499',
        "404 not found 499",
    ]
