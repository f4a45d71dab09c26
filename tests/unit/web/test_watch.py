"""Which run a page shows, and what its command does between runs."""

from __future__ import annotations

import json
from pathlib import Path

from factories.live_runs import LiveRun
from factories.result_factory import summary

from benchmark.results.events import PhaseEnded, PhaseStarted, Progress
from benchmark.results.run_folder import SUMMARY
from benchmark.web.watch import Watch

BEGIN = 1_800_000_000.0
FIRST, SECOND = "20260101T000000Z-etcd-1-3n-60tps-aaaa", "20260101T000100Z-etcd-1-3n-60tps-bbbb"


def kinds(messages: list[str]) -> list[str]:
    return [json.loads(message)["kind"] for message in messages]


def steps(messages: list[str]) -> list[str]:
    found = [json.loads(message) for message in messages]
    return [step["name"] for each in found if each["kind"] == "steps" for step in each["value"]]


def finish(run: LiveRun) -> None:
    (run.path / SUMMARY).write_text(summary(run.path.name, 60.0).to_json())
    run.close()


def test_the_newest_run_of_a_testbed_is_followed(tmp_path: Path) -> None:
    first = LiveRun(tmp_path, FIRST, BEGIN)
    watch = Watch(first.path, latest=first.path.parent)
    assert kinds(watch.poll()) == ["header", "events", "state"]
    finish(first)
    assert "runs" in kinds(watch.poll())
    second = LiveRun(tmp_path, SECOND, BEGIN + 60)
    messages = watch.poll()
    assert kinds(messages)[0] == "reset"
    assert watch.run
    assert watch.run.folder.name == SECOND
    finish(second)
    (states,) = [json.loads(each)["value"] for each in watch.poll() if '"runs"' in each]
    assert list(states) == [FIRST, SECOND]


def test_a_run_that_was_named_stays(tmp_path: Path) -> None:
    first = LiveRun(tmp_path, FIRST, BEGIN)
    watch = Watch(first.path)
    watch.poll()
    finish(first)
    LiveRun(tmp_path, SECOND, BEGIN + 60).close()
    watch.poll()
    assert watch.run
    assert watch.run.folder.name == FIRST


def test_what_precedes_a_run_is_shown_until_it_ends(tmp_path: Path) -> None:
    watch = Watch()
    watch.between_runs(PhaseStarted("connect", time=BEGIN))
    assert steps(watch.poll()) == ["connect"]
    watch.between_runs(PhaseEnded("connect", 1.0, time=BEGIN + 1))
    watch.between_runs(Progress(left_s=1.0))
    assert steps(watch.poll()) == ["connect"]
    first = LiveRun(tmp_path, FIRST, BEGIN)
    watch.follow(first.path)
    watch.between_runs(PhaseStarted("configure", time=BEGIN + 2))
    assert steps(watch.snapshot()) == ["connect", "connect"], "the phases of the run are in its folder"
    finish(first)
    watch.between_runs(PhaseStarted("check", time=BEGIN + 60))
    assert steps(watch.poll()) == ["check"]
    assert steps(watch.snapshot()) == ["check"]
