"""Results of version 0.1 (schema 1) are shown, reported, compared and resumed.

`tests/data/sweep-schema1` holds a sweep of two loads that was killed in its third run, and a search.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from paths import DATA

from benchmark.cli import main, tables
from benchmark.cli.resume import load_options, require_same_request
from benchmark.compare.comparison import compare_variants, find_variants
from benchmark.plan.request import RunOptions, make_request
from benchmark.report import write_report
from benchmark.results.events import RunStarted, read_events
from benchmark.results.find import find_search, find_sweep
from benchmark.results.manifest import read_manifest
from benchmark.results.run_folder import find_runs
from benchmark.results.sweep import SweepFolder
from benchmark.settings import load_settings

STORED = DATA / "sweep-schema1"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A copy that may be changed."""
    shutil.copytree(STORED / "dev", tmp_path / "results" / "dev")
    return tmp_path / "results"


@pytest.fixture
def sweep() -> SweepFolder:
    return find_sweep(STORED, "latest")


def test_runs_manifests_and_events_are_read() -> None:
    runs = list(find_runs(STORED))
    assert [(summary.requested_tps, summary.status) if summary else None for _, summary, _ in runs] == [
        (20, "ok"),
        (40, "ok"),
        None,
        (20, "ok"),
        (40, "ok"),
    ]
    for path, _, _ in runs:
        manifest = read_manifest(path)
        assert manifest.run_id == path.name
        first = read_events(path / "events.jsonl")[0]
        assert isinstance(first, RunStarted)
        assert first.run_id == path.name


def test_sweep_is_shown(sweep: SweepFolder) -> None:
    shown = [table for table in tables.sweep(sweep) if not isinstance(table, str)]
    assert shown[0].row_count == 2


def test_sweep_is_reported(results: Path, sweep: SweepFolder) -> None:
    page = write_report(results / "dev" / sweep.path.name).read_text(encoding="utf-8")
    assert "etcd 3.4.23-4+b4, 2 nodes" in page


def test_runs_of_the_sweep_are_reported(results: Path) -> None:
    run = next(path for path, summary, _ in find_runs(results) if summary)
    assert "steps:2" in write_report(run).read_text(encoding="utf-8")


def test_sweep_is_compared_with_itself(sweep: SweepFolder) -> None:
    compared = compare_variants(*find_variants(STORED, [sweep.path.name, sweep.path.name]))
    assert compared.differences == []
    assert len(compared.runs["a"]) == 2


def test_sweep_can_be_resumed(sweep: SweepFolder) -> None:
    settings = load_settings(STORED / "settings.yaml")
    options = load_options(RunOptions, sweep.journal.options)
    assert options.load_shape == "steps:2"
    request = make_request(settings, options, sweep.journal.options["loads"], Path("results"))
    require_same_request("sweep", sweep.journal.requests[""], request)
    assert [planned.done for planned in sweep.journal.planned_runs] == [True, True, False, False]


def test_resumed_sweep_records_the_killed_run(results: Path, sweep: SweepFolder) -> None:
    copy = SweepFolder.read(results / "dev" / sweep.path.name)
    copy.recover_interrupted()
    assert [attempt.outcome for planned in copy.journal.planned_runs for attempt in planned.attempts] == [
        "ok",
        "ok",
        "killed",
    ]
    assert SweepFolder.read(copy.path).journal == copy.journal


def test_search_is_shown_and_reported(results: Path) -> None:
    search = find_search(results, "latest")
    assert [(step.requested_tps, step.met) for step in search.journal.steps] == [(20, True), (40, True)]
    assert tables.search(search.journal, search.path)
    assert "40 tx/s" in write_report(search.path).read_text(encoding="utf-8")


def test_results_are_listed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    copy = shutil.copytree(STORED, tmp_path / "results")
    for words, count in ((["results"], 2), (["results", "--runs"], 5)):
        with pytest.raises(SystemExit) as ended:
            main([*words, "--results-dir", str(copy)])
        assert ended.value.code in (0, None)
        assert capsys.readouterr().out.count("etcd") == count
