"""Reports of searches."""

from __future__ import annotations

import base64
import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest
from factories.page import Page
from factories.result_factory import write_search

from benchmark.report import REPORT, write_plots, write_report
from benchmark.report.search_data import read_search_record
from benchmark.report.search_page import steps_table
from benchmark.results.search import Limits, judge


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search of a system that completes 90 tx/s."""
    return write_search(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def page(search: Path) -> Page:
    return Page(write_report(search))


def written(tmp_path: Path, **changed: Any) -> Page:
    return Page(write_report(write_search(tmp_path, **changed)))


def test_answer_comes_first_with_its_limits(page: Page) -> None:
    head = page.apart.partition("Every step")[0]
    assert "The highest load within the limits is 90 tx/s: it met them in 2 runs; 97 tx/s does not." in head
    assert "Limits: p99 ≤ 500 ms, judged by the upper edge of its bucket; completed ≥ 98 % of the" in head
    assert head.index("The highest load within") < head.index("Limits:") < head.index("Steps")
    assert "p99 limit ≤ 500 ms measured: 300–315 ms" in head  # noqa: RUF001
    assert "97 tx/s not met: throughput, p99" in head
    assert "Search for the highest load within limits confirmed" in head


def test_every_step_is_in_the_chart_with_the_limits(search: Path, page: Page) -> None:
    (label,) = [svg["aria-label"] for svg in page.all("svg")]
    steps = read_search_record(search).search.steps
    assert label.count("Step ") == len(steps) == 7
    assert label.startswith("Limits: p99 at most 500")
    assert re.search(r"Step 1: 30 tx/s requested, 30.0 completed, p99 [^;]*, met;", label)
    assert re.search(r"Step 3: 120 tx/s requested, 90.0 completed, p99 more than [^;]*, not met;", label)
    for text in ("90 tx/s", "met", "not met", "limit", "p99 latency (ms)", "throughput (tx/s)"):
        assert f">{text}</text>" in page.source, text


def test_met_and_not_met_differ_by_more_than_colour(page: Page) -> None:
    """Each kind of point has a separate path, drawn once in the legend and once or twice per step."""
    drawn = re.findall(r'<use xlink:href="#search-(m\w+)"[^>]*fill: var\(--(\w+)\)', page.source)
    shapes = {colour: {name for name, seen in drawn if seen == colour} for colour in ("blue", "orange")}
    assert shapes["blue"]
    assert shapes["orange"]
    assert not shapes["blue"] & shapes["orange"]


def test_table_has_every_run_including_those_that_do_not_count(search: Path, page: Page) -> None:
    steps = read_search_record(search).search.steps
    runs = [run_id for step in steps for run_id in step.run_ids]
    assert len(runs) == len(steps) + 2
    assert all(run_id in page.apart for run_id in runs)
    assert "2 attempt 1 60 does not count killed" in page.apart
    assert "2 attempt 2 60 does not count invalid" in page.apart
    assert re.search(r"2 attempt 3 60 met 60.0 (99.9|100) %", page.apart)
    assert "3 120 not met throughput, p99 90.0 75 % > 5 s more than 5 s" in page.apart
    assert "Repeated: step 2, 60 tx/s: " in page.apart
    assert "is invalid: client <a> was late" in page.apart
    links = [a["href"] for a in page.all("a") if a["href"].endswith(REPORT)]
    assert len(links) == len(runs) - 1, "the run that was killed has no report"
    assert all((search / link).parent.is_dir() for link in links)


def test_data_is_unrounded_and_from_the_runs_that_count(search: Path, page: Page) -> None:
    (link,) = [a["href"] for a in page.all("a") if a.get("download") == "steps.csv"]
    rows = list(csv.DictReader(io.StringIO(base64.b64decode(link.partition(",")[2]).decode())))
    record = read_search_record(search)
    assert [row["run_id"] for row in rows] == [step.run_ids[-1] for step in record.search.steps]
    for row in rows:
        run = record.runs[row["run_id"]]
        assert float(row["completed_tps"]) == run.completed_tps
        assert run.latency_s is not None
        assert row["p99_upper_s"] == ("" if run.latency_s.p99.upper is None else str(run.latency_s.p99.upper))
        assert (row["met"] == "True") == judge(run, record.search.limits)[0]
        assert (row["met"] == "False") == bool(record.search.limits.violations(run))


@pytest.mark.parametrize("limits", [Limits(p99_s=0.5), Limits(p99_s=0.2), Limits(p99_s=5.0, achieved=0.7)])
def test_steps_table_agrees_with_the_verdict_of_every_step(tmp_path: Path, limits: Limits) -> None:
    record = read_search_record(write_search(tmp_path, limits=limits))
    rows = {row[-1].text: row for row in steps_table(record).rows}
    for step in record.search.steps:
        run, row = record.runs[step.run_ids[-1]], rows[step.run_ids[-1]]
        violated = limits.violations(run)
        assert step.met == (not violated)
        assert (row[2].text, row[2].detail) == (("met", "") if step.met else ("not met", ", ".join(violated)))
        assert [cell.mark for cell in row[3:5]] == ["bad" if name in violated else "" for name in ("throughput", "p99")]


def test_page_has_the_search_settings_and_the_command_to_reproduce_it(page: Page) -> None:
    assert "commit 3.4.23-4" in page.apart
    assert "from 30, at most 1000 tx/s" in page.apart
    assert "at most 10 % below a load that fails" in page.apart
    assert "90 tx/s met the limits in 2 runs; 97 tx/s fails" in page.apart
    assert "geobench run --loads 30 --name 'two words'" in page.apart


def test_unfinished_search_names_the_next_load(tmp_path: Path) -> None:
    page = written(tmp_path, steps=3)
    claim = "The search is unfinished: so far the highest load within the limits is 60 tx/s; the next load is 90 tx/s."
    assert claim in page.apart
    (folder,) = tmp_path.glob("dev/*-search-*")
    assert f"geobench search --resume {folder.name}" in page.apart
    assert "60 tx/s, not confirmed" in page.apart
    page = written(tmp_path / "empty", steps=0)
    assert "no load met the limits; the next load is 30 tx/s" in page.apart
    assert not page.all("svg")


def test_load_at_which_the_system_fails_is_marked_as_not_measured(tmp_path: Path) -> None:
    page = written(tmp_path, breaks_at=100)
    assert "Not measured: step 3, 120 tx/s: the system failed: node-1 exited" in page.apart
    assert "120 not met no measurement" in page.apart
    (label,) = [svg["aria-label"] for svg in page.all("svg")]
    assert "Step 3: 120 tx/s requested, not measured, not met" in label
    assert ">not met: no measurement</text>" in page.source


def test_search_without_an_answer_names_the_failing_load(tmp_path: Path) -> None:
    page = written(tmp_path, limits=Limits(p99_s=0.05))
    assert "No load meets the limits: 1 tx/s, the lowest load to be tried, fails." in page.apart
    assert "highest load none" in page.apart
    assert "measured:" not in page.apart


def test_plots_and_data_are_saved(search: Path, tmp_path: Path) -> None:
    names = {path.name for path in write_plots(search, tmp_path / "plots")}
    assert names == {"search.svg", "search.pdf", "search.csv", "steps.csv"}
    assert (tmp_path / "plots" / "search.csv").read_text() == (tmp_path / "plots" / "steps.csv").read_text()
    assert b"/Type3" not in (tmp_path / "plots" / "search.pdf").read_bytes()
