"""Runs, output, files and exit codes of `run`, `compare` and `search`; a fake runner replaces hosts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from factories.command_line import call, write_unreachable
from factories.result_factory import failed, store_run
from fakes.judged_runner import use_judged_runs

from benchmark.cli import experiments
from benchmark.errors import InfrastructureError, Interrupted, SystemFailure
from benchmark.plan.request import Request
from benchmark.results.summary import Summary


def touch_report(folder: Path) -> Path:
    """Create an empty report; drawing the charts of a real one takes a second."""
    path = folder / "report.html"
    path.touch()
    return path


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Options for a testbed whose hosts are not needed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("benchmark.cli.report.write_report", touch_report)
    return write_unreachable(tmp_path)


@pytest.mark.parametrize("loads", [("60",), ("30", "60")])
@pytest.mark.parametrize(
    ("verdict", "code"),
    [({}, 0), ({"saturated": True, "warnings": ["late"]}, 0), ({"status": "invalid", "reasons": ["no sample"]}, 1)],
)
def test_exit_code_is_1_if_any_run_failed_or_is_invalid(
    files: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, loads: tuple[str, ...], verdict: dict[str, Any], code: int
) -> None:
    use_judged_runs(monkeypatch, lambda found, _: found.model_copy(update=verdict))
    assert call("run", "--loads", *loads, *files) == code


def test_one_run_is_printed_and_reported(
    files: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = use_judged_runs(monkeypatch)
    assert call("run", "--loads", "60", *files) == 0
    out, err = capsys.readouterr()
    assert f"results: {Path.cwd() / 'results/t' / done[0].run_id}" in out
    assert f"report: {Path.cwd() / 'results/t' / done[0].run_id / 'report.html'}" in err
    assert call("run", "--loads", "60", "--json", *files) == 0
    assert [each["run_id"] for each in json.loads(capsys.readouterr().out)] == [done[1].run_id]


def test_a_sweep_is_printed_as_json_and_reported(
    files: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = use_judged_runs(monkeypatch)
    assert call("run", "--loads", "30", "60", "--repeat", "2", "--json", *files) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["requested_tps"] for each in found["loads"]] == [30, 60]
    assert [each["run_id"] for each in found["runs"]] == [each.run_id for each in done]
    assert (Path("results/t") / found["sweep"]["sweep_id"] / "report.html").exists()


def test_both_sides_of_a_comparison_run_alternately_with_their_options(
    files: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    committees: list[int | None] = []

    def judge(found: Summary, request: Request) -> Summary:
        committees.append(request.committee)
        return found

    use_judged_runs(monkeypatch, judge)
    sides = ("--a", "committee=1", "--b", "committee=2", "--committee", "3")
    assert call("compare", *sides, "--loads", "60", "--repeat", "2", "--json", *files) == 0
    assert committees == [1, 2, 1, 2]
    assert json.loads(capsys.readouterr().out)["runs"].keys() == {"a", "b"}


@pytest.mark.parametrize(("option", "expected"), [((), True), (("--no-verify",), False)])
def test_faults_on_one_side_of_a_comparison_verify_both(
    files: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, option: tuple[str, ...], expected: bool
) -> None:
    verified: list[bool] = []

    def judge(found: Summary, request: Request) -> Summary:
        verified.append(request.verify)
        return found

    use_judged_runs(monkeypatch, judge)
    assert call("compare", "--a", "faults=[]", "--b", "faults=[crash:one@1s]", "--loads", "60", *option, *files) == 0
    assert verified == [expected, expected]


@pytest.mark.parametrize(("limit", "code"), [("5%", 1), ("50%", 0)])
def test_a_comparison_fails_if_b_is_worse_by_more_than_the_limit(
    files: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, limit: str, code: int
) -> None:
    def judge(found: Summary, request: Request) -> Summary:
        share = 0.8 if request.committee == 2 else 1.0
        return found.model_copy(update={"completed_tps": found.requested_tps * share})

    use_judged_runs(monkeypatch, judge)
    sides = ("--a", "committee=1", "--b", "committee=2", "--fail-over", limit)
    assert call("compare", *sides, "--loads", "60", "--repeat", "8", *files) == code


def test_a_comparison_without_valid_runs_shows_them_and_says_why(
    files: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = {"status": "invalid", "reasons": ["client a-1: fewer than 2 samples"]}
    done = use_judged_runs(monkeypatch, lambda found, _: found.model_copy(update=verdict))
    sides = ("--a", "committee=1", "--b", "committee=2")
    assert call("compare", *sides, "--loads", "60", "--retries", "0", *files) == 1
    out, err = capsys.readouterr()
    assert "no load at which both have a valid run; A: no valid run, 60 tx/s invalid: client a-1: fewer than 2" in err
    assert "0 of 1" in out
    assert [Path("results/t", run.run_id, "report.html").exists() for run in done] == [True, True]


def test_existing_and_new_runs_exclude_each_other(files: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert call("compare", "x", "y", "--commits", "1", "2", *files) == 2
    assert "both existing and new runs given" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("run",), ("compare", "--a", "committee=1", "--b", "committee=2")])
def test_a_sweep_needs_loads(
    words: tuple[str, ...], files: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*words, *files) == 2
    assert "no load given: pass --loads 200 1000, or --resume ID to continue a sweep" in capsys.readouterr().err


@pytest.mark.parametrize(("capacity", "answer", "code"), [(150, 150, 0), (0.5, None, 1)])
def test_a_search_ends_with_1_unless_it_finds_a_confirmed_load(
    files: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    capacity: float,
    answer: int | None,
    code: int,
) -> None:
    def judge(found: Summary, _: Request) -> Summary:
        return found.model_copy(update={"completed_tps": min(found.requested_tps, capacity)})

    use_judged_runs(monkeypatch, judge)
    assert call("search", "--from", "100", "--to", "400", "--precision", "2%", "--json", *files) == code
    found = json.loads(capsys.readouterr().out)
    assert found["confirmed"] == (code == 0)
    assert found["answer_tps"] == (pytest.approx(answer, rel=0.03) if answer else None)
    assert (Path("results/t") / found["search_id"] / "report.html").exists()


def test_invalid_limit_is_explained(files: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert call("search", "--limit", "p98=1s", *files) == 2
    assert "--limit p98=1s: expected p99=DURATION or achieved=SHARE" in capsys.readouterr().err
    assert call("search", "--precision", "lots", *files) == 2
    assert "--precision: found 'lots', expected a share such as 5% or 0.05" in capsys.readouterr().err


@pytest.mark.parametrize("error", [Interrupted("Ctrl-C"), InfrastructureError("lost"), SystemFailure("node-0 ended")])
def test_a_run_that_ends_early_has_a_report(tmp_path: Path, error: Exception) -> None:
    folder = store_run(tmp_path, failed("20260101T000000Z-one"))

    def run() -> None:
        with experiments.reported_early() as begun:
            begun += [tmp_path / "earlier", folder]
            raise error

    with pytest.raises(type(error)):
        run()
    page = (folder / "report.html").read_text()
    happened, nothing = page.index("<b>Failed:</b>"), page.index("stopped before anything was measured")
    assert happened < nothing, "what happened comes first"
    assert "<b>Failed:</b> node-0 ended" in page
