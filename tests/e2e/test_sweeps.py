"""Sweeps, comparisons and searches as a user runs them, on a real local testbed with etcd."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.runner import Runner, is_measuring, running
from waiting import wait_for

pytestmark = pytest.mark.e2e

SETTINGS = (
    "regions: [us-east-1, eu-west-1]\ninstances: 2\nscrape_interval: 500ms\nwarm_up: 1s\nbenchmark_duration: 3s\n"
)
RUNS = ("--committee", "3")


class Busy(Runner):
    """A runner on a machine that may be busy: that makes runs invalid, and then the exit code is 1."""

    def __call__(self, *arguments: str, codes: tuple[int, ...] = (0, 1)) -> tuple[str, str]:
        return super().__call__(*arguments, codes=codes)

    def journal(self, name: str = "sweep.json") -> dict[str, Any]:
        """The journal of the newest sweep, or search."""
        newest = max(self.results.glob(f"*/{name}"), key=lambda path: path.parent.name)
        found: dict[str, Any] = json.loads(newest.read_text())
        return found


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Busy]:
    with running(tmp_path_factory.mktemp("sweeps"), "e2esweep", SETTINGS) as made:
        yield Busy(made.stack)


def sweeps(runner: Busy) -> set[Path]:
    return set(runner.results.glob("*/sweep.json"))


def measuring(runner: Busy, number: int, known: set[Path]) -> bool:
    """Whether run `number` of a sweep that is none of the `known` is being measured."""
    if sweeps(runner) == known:
        return False
    tried = [attempt["run_id"] for planned in runner.journal()["planned_runs"] for attempt in planned["attempts"]]
    return len(tried) >= number and is_measuring(runner.results / tried[number - 1])


def test_killed_sweep_resumes_without_repeating_finished_runs(runner: Busy) -> None:
    known = sweeps(runner)
    process = runner.start("run", "--loads", "20", "40", "--repeat", "2", "--shuffle", *RUNS)
    try:
        wait_for(lambda: measuring(runner, 2, known), "the second run is measured")
    finally:
        process.kill()
        process.communicate()
    before = runner.journal()
    assert [len(planned["attempts"]) for planned in before["planned_runs"]] == [1, 1, 0, 0]
    assert before["planned_runs"][1]["attempts"][0]["outcome"] == "running"

    out, err = runner("run", "--resume", "latest", "--json")
    after = json.loads(out)["sweep"]
    assert after["sweep_id"] == before["sweep_id"]
    assert [(planned["requested_tps"], planned["repeat"]) for planned in after["planned_runs"]] == [
        (planned["requested_tps"], planned["repeat"]) for planned in before["planned_runs"]
    ]
    assert after["planned_runs"][0] == before["planned_runs"][0]
    outcomes = [[attempt["outcome"] for attempt in planned["attempts"]] for planned in after["planned_runs"]]
    assert outcomes[1][0] == "killed"
    assert all(tried[-1] in ("ok", "invalid") for tried in outcomes)
    assert "run 1 of 4" not in err
    summaries = json.loads(out)["runs"]
    assert sorted(summary["requested_tps"] for summary in summaries) == [20, 20, 40, 40]

    again, _ = runner("run", "--resume", "latest", "--json")
    assert json.loads(again)["sweep"] == after


def test_sweep_resumes_only_with_its_original_request(runner: Busy) -> None:
    settings = runner.stack.project / "s.yaml"
    kept = settings.read_text()
    settings.write_text(f"{kept}node_parameters: {{heartbeat_ms: 77}}\n")
    try:
        _, err = runner("run", "--resume", "latest", codes=(2,))
    finally:
        settings.write_text(kept)
    assert "was begun with other settings: node_parameters" in err


def test_failure_of_the_system_is_recorded_and_the_sweep_continues(runner: Busy) -> None:
    known = sweeps(runner)
    process = runner.start("run", "--loads", "20", "--repeat", "2", "--duration", "12s", *RUNS)
    try:
        wait_for(lambda: measuring(runner, 1, known), "the first run is measured")
        runner("ssh", "eu-west-1-0", "pkill", "-KILL", "-x", "etcd", codes=(0,))
        _, err = process.communicate(timeout=200)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 1
    first, second = (planned["attempts"] for planned in runner.journal()["planned_runs"])
    assert [(each["outcome"], each["failure"]) for each in first] == [("failed", "system")]
    assert "by signal 9" in first[0]["reason"]
    assert second[-1]["outcome"] in ("ok", "invalid")
    assert "the system failed, which is a result" in err


@pytest.mark.quiet  # runs that are invalid are not compared
def test_two_variants_run_interleaved_and_are_compared(runner: Busy) -> None:
    words = (
        "--a",
        "committee=1",
        "--b",
        "committee=3",
        "--loads",
        "20",
        "--repeat",
        "2",
        "--fail-over",
        "5%",
        "--json",
    )
    out, err = runner("compare", *words)
    found = json.loads(out)
    planned_runs = runner.journal()["planned_runs"]
    assert [planned["arm"] for planned in planned_runs] == ["a", "b", "a", "b"]
    assert found["differences"][0] == {"name": "nodes", "a": "1", "b": "3"}
    assert found["verdict"].startswith("not significant; 2 repeats are too few")
    assert found["gate"]["outcome"] in ("inconclusive", "pass")
    assert "run 4 of 4: B, 20 tx/s, repeat 2" in err
    stored, _ = runner("compare", "latest", "--json")
    assert json.loads(stored)["metrics"] == found["metrics"]


# Limits that every run meets: the loads and the answer are known.
SEARCH = ("--from", "20", "--to", "40", "--confirmations", "1", "--max-runs", "4", "--limit", "p99=20s",
          "--limit", "achieved=50%", *RUNS)  # fmt: skip
STEPS = [(20, True), (40, True), (40, True)]


def steps_of(document: dict[str, Any]) -> list[tuple[int, bool | None]]:
    return [(step["requested_tps"], step["met"]) for step in document["steps"]]


@pytest.mark.quiet  # runs that are invalid are repeated
def test_killed_search_resumes_and_ends_with_an_answer_and_a_report(runner: Busy) -> None:
    known = set(runner.results.glob("*/search.json"))
    process = runner.start("search", *SEARCH)

    def second_step_is_measured() -> bool:
        if set(runner.results.glob("*/search.json")) == known:
            return False
        steps = runner.journal("search.json")["steps"]
        return len(steps) == 2 and is_measuring(runner.results / steps[1]["run_ids"][0])

    try:
        wait_for(second_step_is_measured, "the second step is measured")
    finally:
        process.kill()
        _, err = process.communicate()
    assert "step 1: 20 tx/s (first load)" in err
    before = runner.journal("search.json")
    assert steps_of(before) == [(20, True), (40, None)]
    first = runner.results / before["steps"][0]["run_ids"][0]
    kept = {path: path.read_bytes() for path in first.iterdir() if path.is_file() and path.name != "report.html"}

    _, err = runner("search", "--resume", "latest", "--limit", "p99=1s", codes=(2,))
    assert "was begun with other limits: p99=20s achieved=0.5, now p99=1s achieved=0.5" in err
    out, err = runner("search", "--resume", before["search_id"], "--json")
    after = json.loads(out)
    assert after["search_id"] == before["search_id"]
    assert steps_of(after) == STEPS
    assert (after["answer_tps"], after["confirmed"]) == (40, True)
    assert after["steps"][0] == before["steps"][0]
    assert len(after["steps"][1]["run_ids"]) >= 2, "the run that the kill cut short, and the one that counts"
    assert {path: path.read_bytes() for path in kept} == kept
    assert "step 1:" not in err
    folder = runner.results / after["search_id"]
    assert f"report: {folder / 'report.html'}" in err
    page = (folder / "report.html").read_text()
    assert "The highest load within the limits is 40 tx/s: it met them in 2 runs" in page
    assert all(run_id in page for step in after["steps"] for run_id in step["run_ids"][-1:])

    again, err = runner("search", "--resume", "latest", "--json")
    assert json.loads(again) == after
    assert "nothing to do" in err


def test_mistakes_are_reported_before_anything_is_touched(runner: Busy) -> None:
    for words, said in (  # alone, this test has no results to choose from
        (("run",), "no load given"),
        (("run", "--resume", "2001"), "no sweep or comparison matches '2001'|no sweeps or comparisons in .* yet"),
        (("search", "--resume", "2001"), "no search matches '2001'|no searches in .* yet"),
        (("search", "--limit", "p98=1s"), "expected p99=DURATION or achieved=SHARE"),
        (("compare", "x", "y"), "matches 'x'|in .* yet"),
        (("compare", "x", "--a", "committee=1"), "pass either two names, or --a and --b"),
        (("compare", "latest", "--fail-over", "lots"), "expected a share such as 5%"),
    ):
        _, err = runner(*words, codes=(2,))
        assert re.search(said, err), err
