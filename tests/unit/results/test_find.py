"""All commands find results by the same names."""

from __future__ import annotations

from pathlib import Path

import pytest
from factories.result_factory import TESTBED, manifest, store_run, store_sweep, summary

from benchmark.errors import UsageError
from benchmark.results.find import find, find_run, find_search, find_sweep
from benchmark.results.layout import KINDS, Kind
from benchmark.results.run_folder import find_runs
from benchmark.results.search import Limits, SearchConfig, SearchFolder, new_search

ALONE, FIRST, SECOND, LAST = "20260101T000000Z-alone", "20260102T000000Z-a", "20260103T000000Z-b", "20260109T000000Z-z"


def sweep_id(results: Path, started: str, *runs: str, name: str | None = None, compare: bool = False) -> str:
    """Store a sweep or comparison that began at `started`."""
    made = store_sweep(results, [("ab"[index % 2] if compare else "", summary(run)) for index, run in enumerate(runs)])
    identity = f"{started}-{'compare' if compare else 'sweep'}-0000"
    made.journal.sweep_id, made.journal.options = identity, {"name": name}
    made.save()
    made.path.rename(made.path.with_name(identity))
    return identity


def test_run_is_found_by_id_prefix_folder_and_name(tmp_path: Path) -> None:
    store_run(tmp_path, summary(ALONE))
    path = store_run(tmp_path, summary(FIRST), manifest(name="baseline"))
    for name in (FIRST, FIRST[:8], str(path), "baseline", "latest"):
        assert find_run(tmp_path, name) == path


def test_latest_is_the_newest_of_the_requested_kinds(tmp_path: Path) -> None:
    store_run(tmp_path, summary(ALONE))
    sweep = sweep_id(tmp_path, "20260101T120000Z", FIRST)
    comparison = sweep_id(tmp_path, "20260102T120000Z", SECOND, LAST, compare=True)
    search = new_search(TESTBED, Limits(), SearchConfig(1, 2), {}, {})
    search.search_id = "20260104T000000Z-search-0000"
    SearchFolder.create(tmp_path, search)
    expected: dict[Kind, str] = {"run": LAST, "sweep": sweep, "comparison": comparison, "search": search.search_id}
    for kind, name in expected.items():
        assert find(tmp_path, "latest", (kind,)).path.name == name
    assert find(tmp_path, "latest").path.name == comparison, "its last run is the newest"
    assert find(tmp_path, "latest", ("run", "sweep")).path.name == LAST
    assert find_search(tmp_path, "latest").journal.search_id == search.search_id
    assert find_sweep(tmp_path, "latest").journal.sweep_id == comparison


def test_name_shared_by_a_sweep_and_its_runs_finds_the_sweep(tmp_path: Path) -> None:
    sweep = sweep_id(tmp_path, "20260102T000000Z", SECOND, name="nightly")
    (tmp_path / TESTBED / SECOND / "manifest.json").write_text(manifest(name="nightly").to_json())
    assert find(tmp_path, "nightly").path.name == sweep
    store_run(tmp_path, summary(ALONE), manifest(name="nightly"))
    with pytest.raises(UsageError, match="2 results match 'nightly'"):
        find(tmp_path, "nightly")
    assert find_sweep(tmp_path, "nightly").path.name == sweep


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        (("run",), "no runs in .* yet"),
        (("sweep",), "no sweeps in .* yet"),
        (("run", "sweep"), "no runs or sweeps in .* yet"),
        (("search",), "no searches in .* yet"),
        (KINDS, "no runs or sweeps or comparisons or searches in .* yet"),
    ],
)
@pytest.mark.parametrize("name", ["latest", "x"])
def test_no_results_yet_is_a_usage_error(tmp_path: Path, kinds: tuple[Kind, ...], message: str, name: str) -> None:
    with pytest.raises(UsageError, match=message):
        find(tmp_path, name, kinds)


def test_unknown_and_ambiguous_names_are_usage_errors(tmp_path: Path) -> None:
    for run in (ALONE, FIRST, SECOND, LAST):
        store_run(tmp_path, summary(run))
    with pytest.raises(UsageError, match=f"no run matches 'nope' in .*; the newest: {FIRST}, {SECOND}, {LAST}"):
        find_run(tmp_path, "nope")
    with pytest.raises(UsageError, match=f"4 results match '2026' in .*: {ALONE}, {FIRST}, {SECOND} and 1 more"):
        find_run(tmp_path, "2026")
    with pytest.raises(UsageError, match="is a run; expected a search"):
        find(tmp_path, str(tmp_path / TESTBED / FIRST), ("search",))


@pytest.mark.parametrize("content", [b'{"schema": 2', b'{"schema": 1, "by_region": 7}', b"[]", b"\xff\xfe"])
def test_damaged_summary_does_not_hide_other_runs(tmp_path: Path, content: bytes) -> None:
    for run in (ALONE, FIRST):
        store_run(tmp_path, summary(run))
    (tmp_path / TESTBED / ALONE / "summary.json").write_bytes(content)
    damaged, whole = find_runs(tmp_path)
    assert damaged.summary is None
    assert f"{ALONE}/summary.json is not a summary" in damaged.damage
    assert (whole.path.name, whole.damage) == (FIRST, "")


def test_damaged_journals_and_manifests_do_not_hide_other_results(tmp_path: Path) -> None:
    store_run(tmp_path, summary(ALONE))
    sweep = sweep_id(tmp_path, "20260101T120000Z", FIRST)
    (tmp_path / TESTBED / sweep / "sweep.json").write_text("[]")
    (tmp_path / TESTBED / ALONE / "manifest.json").write_text("")
    store_run(tmp_path, summary(LAST), manifest(name="good"))
    assert find(tmp_path, "good").path.name == LAST
    with pytest.raises(UsageError, match=r"sweep\.json is not a sweep's journal: expected an object"):
        find_sweep(tmp_path, "latest")
