"""The files of a run, read while it is written, after its end, and after the runner was killed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from factories.live_runs import HOSTS, REGIONS, LiveRun
from factories.result_factory import summary
from paths import ROOT

from benchmark.results.events import Phase
from benchmark.results.run_folder import EVENTS, SUMMARY
from benchmark.web.follow import RunFollower, state_of, thin

BEGIN = 1_800_000_000.0


@pytest.fixture
def live(tmp_path: Path) -> LiveRun:
    return LiveRun(tmp_path, "20260101T000000Z-etcd-1-3n-60tps-aaaa", BEGIN)


def read(messages: list[str]) -> dict[str, Any]:
    return {each["kind"]: each["value"] for each in map(json.loads, messages)}


def test_what_is_new_is_read_once(live: LiveRun) -> None:
    follower = RunFollower(live.path)
    first = read(follower.poll())
    assert first.keys() == {"header", "events", "state"}
    assert first["header"]["nodes"] == 3
    assert [each["name"] for each in first["header"]["regions"]] == list(REGIONS)
    assert [each["machine"] for each in first["header"]["hosts"]] == HOSTS
    assert first["events"][0]["runs"] == 5
    assert first["state"]["status"] == "running"
    assert follower.poll() == []
    live.measure(16, 18)
    second = read(follower.poll())
    assert second.keys() == {"events", "samples"}
    assert [each["time"] for each in second["samples"]] == [BEGIN + 16, BEGIN + 18]
    everything = read(follower.snapshot())
    assert len(everything["events"]) == len(first["events"]) + 2
    assert everything["samples"] == second["samples"]


def test_a_killed_runner_is_known_by_its_lock(live: LiveRun) -> None:
    follower = RunFollower(live.path)
    follower.poll()
    live.close()
    state = read(follower.poll())["state"]
    assert state["status"] == "killed"
    assert "runner was killed" in state["reasons"][0]


def test_the_result_is_shown_once_there_is_one(live: LiveRun) -> None:
    follower = RunFollower(live.path)
    follower.poll()
    (live.path / SUMMARY).write_text(summary(live.path.name, 60.0).to_json())
    state = read(follower.poll())["state"]
    assert (state["status"], state["requested_tps"]) == ("ok", 60.0)
    live.close()
    assert follower.poll() == []
    (live.path / "report.html").touch()
    assert read(follower.poll())["state"]["report"]


def test_a_quantile_without_an_upper_bound_is_marked() -> None:
    found = summary("r1", 60.0)
    assert found.latency_s
    p99 = found.latency_s.quantiles["p99"].model_copy(update={"upper": None})
    latency = found.latency_s.model_copy(update={"p99": p99})
    state = state_of(found.model_copy(update={"latency_s": latency}), report=False)
    assert state.unbounded == ("p99_s",)
    assert state_of(found, report=False).unbounded == ()


def test_before_its_first_event_a_run_is_not_touched(tmp_path: Path) -> None:
    """A lock that is tested in the moment in which the runner takes it would fail the run."""
    (tmp_path / EVENTS).touch()
    follower = RunFollower(tmp_path)
    assert follower.poll() == []
    assert follower.state.status == "starting"


@pytest.mark.parametrize("name", ["manifest.json", "summary.json", "events.jsonl", "live/feed.jsonl"])
@pytest.mark.parametrize(
    "content", [b"\xff\xfe\n", b"{}\n", b"[1]\n", b'{"kind":"progress","time":NaN}\n', b"[" * 9999]
)
def test_damaged_files_end_nothing(live: LiveRun, name: str, content: bytes) -> None:
    live.measure(16, 18)
    live.close()
    (live.path / name).write_bytes(content)
    follower = RunFollower(live.path)
    follower.poll()
    assert read(follower.snapshot())["state"]["status"] in ("killed", "damaged", "starting")
    follower.poll()


def test_long_runs_keep_what_is_rare_and_what_is_new() -> None:
    points = [(number % 100 != 0, str(number)) for number in range(5000)]
    kept = thin(points, most=1000)
    assert len(kept) < 3000
    assert kept[-250:] == points[-250:]
    assert [text for many, text in kept if not many] == [str(number) for number in range(0, 5000, 100)]
    assert thin(points, most=5000) == points


def test_the_page_names_every_phase() -> None:
    script = (ROOT / "benchmark" / "web" / "static" / "live.js").read_text(encoding="utf-8")
    assert [name for name in get_args(Phase) if f'["{name}", ' not in script] == []
