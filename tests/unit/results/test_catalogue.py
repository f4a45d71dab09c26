"""The catalogue knows every result, from its cache or from the results themselves."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from factories.result_factory import TESTBED, manifest, store_run, store_sweep, summary

from benchmark.results.catalogue import CACHE, Selection, catalogue
from benchmark.results.layout import SUMMARY
from benchmark.results.run_folder import RunFolder
from benchmark.results.search import Limits, SearchConfig, SearchFolder, new_search
from benchmark.results.summary import Identity, not_measured
from benchmark.results.tags import change_tags

FIRST, SECOND, THIRD = "20260101T000000Z-etcd", "20260102T000000Z-etcd", "20260103T000000Z-etcd"


def failed(run_id: str) -> Identity:
    return Identity(run_id=run_id, protocol="redis", commit="7", nodes=1, clients=1, requested_tps=50)


def read(results: Path) -> tuple[list[str], int]:
    """Return the ids in the catalogue, and how many of them were read from results."""
    counts: list[int] = []
    return [each.id for each in catalogue(results, counts.append)], counts[0]


def test_entries_show_what_summaries_and_manifests_have(tmp_path: Path) -> None:
    store_run(tmp_path, summary(FIRST, load=200, latency=0.12), manifest(name="nightly"))
    store_run(tmp_path, not_measured(failed(SECOND), "failed", "node-0 ended", "system"))
    first, second = catalogue(tmp_path)
    assert (first.kind, first.state, first.name, first.testbed) == ("run", "ok", "nightly", TESTBED)
    assert (first.protocol, first.requested_tps, first.nodes) == ("etcd", 200, 3)
    assert first.mean_s == pytest.approx(0.12, rel=0.01)
    assert first.began == datetime(2026, 1, 1, tzinfo=UTC)
    assert (second.state, second.reason, second.protocol, second.completed_tps, second.p99_s) == (
        "failed", "node-0 ended", "redis", None, None
    )  # fmt: skip


def test_catalogue_of_no_folder_is_empty(tmp_path: Path) -> None:
    assert catalogue(tmp_path / "none") == []
    assert not (tmp_path / "none").exists()


def test_only_new_and_changed_results_are_read_again(tmp_path: Path) -> None:
    path = store_run(tmp_path, summary(FIRST))
    assert read(tmp_path) == ([FIRST], 1)
    assert read(tmp_path) == ([FIRST], 0)
    store_run(tmp_path, summary(SECOND))
    assert read(tmp_path) == ([FIRST, SECOND], 1)
    (path / SUMMARY).write_text("{}")
    assert read(tmp_path) == ([FIRST, SECOND], 1)
    assert catalogue(tmp_path)[0].state == "damaged"
    change_tags(path, ["good"])
    assert catalogue(tmp_path)[0].tags == ("good",)
    path.rename(path.with_name(THIRD))
    assert read(tmp_path) == ([SECOND, THIRD], 1)


@pytest.mark.parametrize("text", ["", "[]", '{"format": 1, "cached": {"t/x": {}}}', '{"format": 0, "cached": {}}'])
def test_damaged_or_old_cache_is_replaced(tmp_path: Path, text: str) -> None:
    store_run(tmp_path, summary(FIRST))
    (tmp_path / CACHE).write_text(text)
    assert read(tmp_path) == ([FIRST], 1)
    assert read(tmp_path) == ([FIRST], 0)


def test_folder_that_cannot_be_written_is_listed(tmp_path: Path) -> None:
    store_run(tmp_path, summary(FIRST))
    (tmp_path / CACHE).mkdir()  # nothing can replace a folder, not even root
    assert read(tmp_path) == ([FIRST], 1)
    assert read(tmp_path) == ([FIRST], 1)


def test_running_and_killed_runs_are_read_each_time(tmp_path: Path) -> None:
    running = RunFolder.create(tmp_path, TESTBED, FIRST)
    assert [each.state for each in catalogue(tmp_path)] == ["running"]
    running.close()
    assert [each.state for each in catalogue(tmp_path)] == ["killed"]
    running.write(SUMMARY, summary(FIRST).to_json())
    assert [each.state for each in catalogue(tmp_path)] == ["ok"]


def test_experiments_have_their_runs_and_become_complete(tmp_path: Path) -> None:
    made = store_sweep(tmp_path, [("", summary(FIRST)), ("", summary(SECOND))])
    made.journal.options = {"name": "night"}
    last = made.journal.planned_runs[-1].attempts.pop()
    made.save()
    store_run(tmp_path, summary(THIRD))
    entries = {each.id: each for each in catalogue(tmp_path)}
    sweep = entries[made.path.name]
    assert (sweep.kind, sweep.state, sweep.name, sweep.runs) == ("sweep", "incomplete", "night", (FIRST,))
    assert (entries[FIRST].part_of, entries[THIRD].part_of) == (made.path.name, None)
    made.journal.planned_runs[-1].attempts.append(last)
    made.save()
    entries = {each.id: each for each in catalogue(tmp_path)}
    assert (entries[made.path.name].state, entries[SECOND].part_of) == ("complete", made.path.name)
    assert read(tmp_path)[1] == 0


def test_searches_are_listed(tmp_path: Path) -> None:
    SearchFolder.create(tmp_path, new_search(TESTBED, Limits(), SearchConfig(1, 2), {"name": "limit"}, {}))
    (entry,) = catalogue(tmp_path)
    assert (entry.kind, entry.state, entry.name, entry.runs) == ("search", "incomplete", "limit", ())


def test_damaged_journal_is_listed_as_damaged(tmp_path: Path) -> None:
    folder = tmp_path / TESTBED / "20260101T000000Z-sweep-0000"
    folder.mkdir(parents=True)
    (folder / "sweep.json").write_text("[]")
    (entry,) = catalogue(tmp_path)
    assert (entry.kind, entry.state) == ("sweep", "damaged")
    assert "sweep.json" in entry.reason


def test_unknown_times_and_links_do_no_harm(tmp_path: Path) -> None:
    store_run(tmp_path, summary("renamed"))
    assert (tmp_path / TESTBED / "latest").is_symlink()
    (entry,) = catalogue(tmp_path)
    assert (entry.id, entry.began) == ("renamed", None)


@pytest.mark.parametrize(
    ("selection", "chosen"),
    [
        (Selection(), [FIRST, SECOND]),
        (Selection(protocol="redis"), [SECOND]),
        (Selection(states=["ok"]), [FIRST]),
        (Selection(states=["ok", "failed"]), [FIRST, SECOND]),
        (Selection(name="night*"), [FIRST]),
        (Selection(name="night"), []),
        (Selection(tags=["good"]), [SECOND]),
        (Selection(tags=["good", "better"]), []),
        (Selection(since=datetime(2026, 1, 2, tzinfo=UTC)), [SECOND]),
        (Selection(kinds=["sweep"]), []),
    ],
)
def test_selection(tmp_path: Path, selection: Selection, chosen: list[str]) -> None:
    store_run(tmp_path, summary(FIRST), manifest(name="nightly"))
    change_tags(store_run(tmp_path, not_measured(failed(SECOND), "failed", "why")), ["good"])
    assert [each.id for each in catalogue(tmp_path) if selection.matches(each)] == chosen


def test_saturated_runs_are_selected_by_that_word(tmp_path: Path) -> None:
    store_run(tmp_path, summary(FIRST).model_copy(update={"saturated": True}))
    (entry,) = catalogue(tmp_path)
    assert Selection(states=["saturated"]).matches(entry)
    assert json.loads((tmp_path / CACHE).read_text())["cached"].keys() == {f"{TESTBED}/{FIRST}"}
