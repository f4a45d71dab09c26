"""Results are deleted with what belongs to them, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from factories.result_factory import TESTBED, store_run, store_sweep, summary

from benchmark.errors import UsageError
from benchmark.results.catalogue import catalogue
from benchmark.results.deletion import delete_results, with_their_runs
from benchmark.results.find import find
from benchmark.results.run_folder import RunFolder

FIRST, SECOND, ALONE = "20260101T000000Z-etcd", "20260102T000000Z-etcd", "20260103T000000Z-etcd"


def test_experiment_is_deleted_with_its_runs(tmp_path: Path) -> None:
    sweep = store_sweep(tmp_path, [("", summary(FIRST)), ("", summary(SECOND))])
    store_run(tmp_path, summary(ALONE))
    doomed = with_their_runs(catalogue(tmp_path), {sweep.path.name})
    assert {each.id for each in doomed} == {sweep.path.name, FIRST, SECOND}
    delete_results(tmp_path, doomed)
    assert [each.id for each in catalogue(tmp_path)] == [ALONE]


def test_run_of_an_experiment_is_not_deleted_alone(tmp_path: Path) -> None:
    sweep = store_sweep(tmp_path, [("", summary(FIRST))])
    with pytest.raises(UsageError, match=f"{FIRST} belongs to {sweep.path.name}"):
        with_their_runs(catalogue(tmp_path), {FIRST})


def test_running_result_keeps_all_others(tmp_path: Path) -> None:
    store_run(tmp_path, summary(FIRST))
    running = RunFolder.create(tmp_path, TESTBED, SECOND)
    with pytest.raises(UsageError, match=f"{SECOND} is still running"):
        delete_results(tmp_path, catalogue(tmp_path))
    running.close()
    assert len(catalogue(tmp_path)) == 2


def test_latest_points_at_the_newest_run_that_is_left(tmp_path: Path) -> None:
    for run_id in (FIRST, SECOND):
        RunFolder.create(tmp_path, TESTBED, run_id).close()
    link = tmp_path / TESTBED / "latest"
    assert link.readlink() == Path(SECOND)
    delete_results(tmp_path, with_their_runs(catalogue(tmp_path), {SECOND}))
    assert link.readlink() == Path(FIRST)
    assert find(tmp_path, "latest").path.name == FIRST
    delete_results(tmp_path, catalogue(tmp_path))
    assert not (tmp_path / TESTBED).exists()
