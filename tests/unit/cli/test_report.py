from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from factories.result_factory import write_run, write_search, write_sweep

from benchmark.cli.commands import cli
from benchmark.cli.report import write_reports
from benchmark.errors import UsageError
from benchmark.results.find import find


def report(results: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["report", "--results-dir", str(results), *arguments])


def link_latest(folder: Path) -> None:
    (folder.parent / "latest").symlink_to(folder.name)


def test_run_named_by_a_prefix_is_reported(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "dev" / "20270101T000000Z-etcd")
    done = report(tmp_path, "20270101T0000")
    assert done.output == f"{folder / 'report.html'}\n"
    assert (folder / "report.html").read_text().startswith("<!DOCTYPE html>")


def test_latest_run_is_reported_without_a_name(tmp_path: Path) -> None:
    write_run(tmp_path / "dev" / "20270101T000000Z-etcd")
    folder = write_run(tmp_path / "dev" / "20270102T000000Z-etcd")
    link_latest(folder)
    assert json.loads(report(tmp_path, "--json").output) == [str(folder.resolve() / "report.html")]


def test_latest_is_the_sweep_of_the_latest_run(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path, {"": {}}, loads=(60,), repeat=2)
    runs = sorted(path for path in sweep.parent.iterdir() if path != sweep)
    link_latest(runs[-1])
    assert find(tmp_path, "latest").path == sweep
    assert find(tmp_path, str(sweep)).path == sweep
    assert find(tmp_path, runs[0].name).path == runs[0]


def test_search_is_found_by_name_and_by_its_latest_run(tmp_path: Path) -> None:
    write_sweep(tmp_path, {"": {}}, loads=(60,), repeat=1)
    search = write_search(tmp_path, steps=1)
    (run,) = (path for path in search.parent.glob("*T0900*"))
    link_latest(run)
    assert find(tmp_path, "latest").path == search
    assert report(tmp_path, search.name).output == f"{search / 'report.html'}\n"
    done = report(tmp_path, str(search), "--plots", str(tmp_path / "figures"))
    assert sorted(done.output.split()) == sorted(map(str, (tmp_path / "figures").iterdir()))


def test_plots_are_written_to_the_given_folder(tmp_path: Path) -> None:
    write_run(tmp_path / "dev" / "20270101T000000Z-etcd")
    done = report(tmp_path, "2027", "--plots", str(tmp_path / "figures"))
    assert done.exit_code == 0
    assert sorted(done.output.split()) == sorted(map(str, (tmp_path / "figures").iterdir()))


def test_paper_is_written_beside_the_results_or_to_the_given_folder(tmp_path: Path) -> None:
    for day in (1, 2):
        write_run(tmp_path / "dev" / f"2027010{day}T000000Z-etcd", seed=day)
    done = report(tmp_path, "20270101", "--paper", "--style", "ieee")
    assert done.exit_code == 0, done.exception
    folder = tmp_path / "dev" / "20270101T000000Z-etcd" / "paper"
    assert sorted(done.output.split()) == sorted(map(str, folder.iterdir()))
    assert 'width="252pt"' in (folder / "distribution.svg").read_text()
    compared = report(tmp_path, "20270101", "20270102", "--paper", "--output", str(tmp_path / "both"))
    assert compared.exit_code == 0, compared.exception
    assert (tmp_path / "both" / "methods.tex").read_text().count("20270102T000000Z-etcd") == 1


def test_two_names_are_compared(tmp_path: Path) -> None:
    for day in (1, 2):
        write_run(tmp_path / "dev" / f"2027010{day}T000000Z-etcd", seed=day)
    page = Path(report(tmp_path, "20270101", "20270102").output.strip())
    assert page.parent == tmp_path / "dev"
    assert "not significant; 1 repeat is too few" in page.read_text().lower()
    named = tmp_path / "new" / "page.html"
    assert report(tmp_path, "20270101", "20270102", "--output", str(named)).output == f"{named}\n"


def test_usage_errors_are_explained(tmp_path: Path) -> None:
    assert isinstance(report(tmp_path, "nothing").exception, UsageError)
    assert isinstance(report(tmp_path, "a", "b", "c").exception, UsageError)
    assert isinstance(report(tmp_path, "a", "b", "--plots", "x").exception, UsageError)
    assert "--style needs --paper or --plots" in str(report(tmp_path, "a", "--style", "acm").exception)
    assert "pass one of them" in str(report(tmp_path, "a", "--paper", "--plots", "x").exception)
    (tmp_path / "file").touch()
    write_run(tmp_path / "dev" / "20270101T000000Z-etcd")
    assert "is a file" in str(report(tmp_path, "2027", "--paper", "--output", str(tmp_path / "file")).exception)
    assert "--output needs two names" in str(report(tmp_path, "a", "--output", "x.html").exception)


def test_a_failing_report_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken, whole = tmp_path / "broken", write_run(tmp_path / "whole")
    broken.mkdir()
    write_reports([broken, whole])
    printed = capsys.readouterr()
    assert "warning: could not write the report of broken" in printed.err
    assert "geobench report broken" in printed.err
    assert f"report: {whole / 'report.html'}" in printed.err
    assert printed.out == "", "standard output is for results"


def test_only_the_report_of_the_experiment_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [write_run(tmp_path / name) for name in ("one", "two", "three")]
    write_reports(folders)
    assert capsys.readouterr().err == f"report: {folders[-1] / 'report.html'}\n"
    assert all((folder / "report.html").exists() for folder in folders)


def test_a_report_is_opened_in_the_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, opened = write_run(tmp_path / "results" / "t" / "20270101T000000Z-etcd"), tmp_path / "opened"
    os.mkfifo(opened)
    browser = tmp_path / "xdg-open"
    browser.write_text(f'#!/bin/sh\necho "$1" >{opened}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert report(tmp_path / "results", "latest", "--open").exit_code == 0
    assert opened.read_text() == f"{folder / 'report.html'}\n"
