"""Searches: the journal on disk and its steps."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from factories.result_factory import TESTBED, failed, store_run, store_sweep, summary

from benchmark.errors import UsageError
from benchmark.results.find import find_search
from benchmark.results.run_folder import find_runs
from benchmark.results.search import Limits, SearchConfig, SearchFolder, SearchStep, new_search

LIMITS = Limits(p99_s=0.5)


def folder(results: Path) -> SearchFolder:
    return SearchFolder.create(
        results, new_search(TESTBED, LIMITS, SearchConfig(100, 1000), {"limits": ["p99=500ms"]}, {})
    )


def test_search_journal_survives_a_round_trip(tmp_path: Path) -> None:
    begun = folder(tmp_path)
    begun.open_step(100)
    begun.begin("r1")
    begun.journal.steps[0].judge(summary("r1"), LIMITS)
    begun.save()
    again = SearchFolder.read(begun.path).journal
    assert again == begun.journal
    assert again.steps[0].text == "achieved 100.0 % of 100 tx/s (at least 98 %), p99 at most 0.132 s (limit 0.5 s)"
    assert (again.limits, again.config) == (LIMITS, SearchConfig(100, 1000))
    assert json.loads((begun.path / "search.json").read_text())["schema"] == 2


def test_rates_of_a_schema_1_search_are_upgraded(tmp_path: Path) -> None:
    begun = folder(tmp_path)
    begun.open_step(100)
    begun.save()
    journal = begun.path / "search.json"
    old = journal.read_text().replace("requested_tps", "load_tps").replace('"schema": 2', '"schema": 1')
    journal.write_text(old)
    assert SearchFolder.read(begun.path).journal == begun.journal


def test_step_stays_open_until_it_is_judged(tmp_path: Path) -> None:
    begun = folder(tmp_path)
    first = begun.open_step(100)
    assert begun.open_step(100) is first
    assert begun.journal.next_action().requested_tps == 100, "a step without a result decides nothing"
    first.judge(summary("r1"), LIMITS)
    assert begun.journal.next_action().requested_tps == 200
    assert begun.open_step(200) is begun.journal.steps[1]


def test_infrastructure_failures_do_not_judge_a_load() -> None:
    for run, met in ((summary("r", latency=0.1), True), (summary("r", latency=0.9), False), (failed("r"), False)):
        step = SearchStep(requested_tps=100)
        step.judge(run, LIMITS)
        assert step.met is met
    with pytest.raises(UsageError, match="cannot decide a search"):
        SearchStep(requested_tps=100).judge(failed("r", kind="infrastructure"), LIMITS)


def test_summaries_omit_runs_without_a_result(tmp_path: Path) -> None:
    begun = folder(tmp_path)
    begun.open_step(100)
    for name in ("killed", "r2"):
        begun.begin(name)
    store_run(tmp_path, summary("r2"))
    assert [run.run_id for run in begun.summaries()] == ["r2"]
    begun.recover_interrupted()
    assert SearchFolder.read(begun.path).journal.steps[0].met


def test_search_is_found_and_not_listed_as_a_run_or_sweep(tmp_path: Path) -> None:
    begun = folder(tmp_path)
    store_sweep(tmp_path, [("", summary("20260101T000000Z-x"))])
    for name in ("latest", begun.journal.search_id[:-2], str(begun.path)):
        assert find_search(tmp_path, name).path == begun.path
    assert Counter(path.name for path, _, _ in find_runs(tmp_path)) == {"20260101T000000Z-x": 1}
    with pytest.raises(UsageError, match=f"no search matches 'nope' in .*; the newest: {begun.path.name}"):
        find_search(tmp_path, "nope")


def test_damaged_journal_is_a_usage_error(tmp_path: Path) -> None:
    begun = folder(tmp_path)
    document = json.loads((begun.path / "search.json").read_text())
    (begun.path / "search.json").write_text(json.dumps(document | {"steps": 3}))
    with pytest.raises(UsageError, match=r"search\.json is not a search's journal"):
        SearchFolder.read(begun.path)
    with pytest.raises(UsageError, match="is not the folder of a search"):
        SearchFolder.read(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write results to"):
        folder(tmp_path / "file")
