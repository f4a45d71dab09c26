"""`results` lists, tags, exports and deletes what is stored."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from factories.command_line import call
from factories.result_factory import failed, manifest, store_run, store_sweep, summary

from benchmark.results.run_folder import RunFolder

FIRST, SECOND, THIRD = "20260101T000000Z-etcd", "20260102T000000Z-etcd", "20260103T000000Z-etcd"


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    store_run(tmp_path, summary(FIRST), manifest(name="nightly \x1b[2J[red]"))
    store_run(tmp_path, failed(SECOND))
    return tmp_path


def output(capsys: pytest.CaptureFixture[str], results: Path, *words: str) -> str:
    assert call("results", *words, "--results-dir", str(results)) == 0
    return capsys.readouterr().out


def ids(text: str) -> list[str]:
    return re.findall(r"^(\d{8}T\S+)", text, re.MULTILINE)


def test_list_has_one_line_per_result_newest_first(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header, second, first = output(capsys, stored).splitlines()
    assert header.split() == ["result", "status", "tx/s", "p50", "p99", "errors", "name", "and", "tags"]
    assert second.split() == [SECOND, "failed", "-", "-", "-", "-"]
    assert first == f"{FIRST}  ok      100.0  120 ms  120 ms       0  nightly \\x1b[2J[red]"


def test_an_empty_list_says_so(stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("results", "--status", "saturated", "--results-dir", str(stored)) == 0
    assert f"no results in {stored} match" in capsys.readouterr().err
    assert call("results", "--results-dir", str(tmp_path / "empty")) == 0
    assert f"no results in {tmp_path / 'empty'} yet" in capsys.readouterr().err


def test_experiments_stand_for_their_runs_until_runs_are_wanted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = store_sweep(tmp_path, [("", summary(FIRST)), ("", summary(SECOND))])
    store_run(tmp_path, summary(THIRD))
    assert set(ids(output(capsys, tmp_path))) == {sweep.path.name, THIRD}
    assert "2 runs" in output(capsys, tmp_path, "--kind", "sweep")
    for words in (["--runs"], ["--status", "ok"], ["--protocol", "etcd"]):
        assert ids(output(capsys, tmp_path, *words)) == [THIRD, SECOND, FIRST]


def test_filters_and_limit_select(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ids(output(capsys, stored, "--status", "failed", "--status", "killed")) == [SECOND]
    assert ids(output(capsys, stored, "--limit", "1")) == [SECOND]
    assert ids(output(capsys, stored, "--limit", "0")) == [SECOND, FIRST]
    assert ids(output(capsys, stored, "--since", "2026-01-02")) == [SECOND]
    assert ids(output(capsys, stored, "--since", "1h")) == []
    assert [each["run_id"] for each in json.loads(output(capsys, stored, "--json", "--status", "ok"))] == [FIRST]


def test_unknown_date_lists_what_is_accepted(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("results", "--since", "yesterday", "--results-dir", str(stored)) == 2
    assert "'yesterday' is neither a date nor a duration; write 2026-11-01, 7d or 12h" in capsys.readouterr().err


def test_tags_are_shown_and_select(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert output(capsys, stored, "tag", FIRST, "latest", "--add", "paper") == f"{FIRST}: paper\n{SECOND}: paper\n"
    assert output(capsys, stored, "tag", FIRST, "--remove", "paper") == f"{FIRST}: no tags\n"
    assert output(capsys, stored, "--tag", "paper").endswith(" [paper]\n")
    assert ids(output(capsys, stored, "--tag", "paper")) == [SECOND]


def test_table_is_exported(stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "new" / "table.csv"
    assert output(capsys, stored, "export", str(file), "--status", "failed") == f"{file}: 1 results\n"
    assert [line.split(",")[0] for line in file.read_text().splitlines()] == ["id", SECOND]


def test_options_before_a_subcommand_are_refused(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("results", "--status", "failed", "delete", "--yes", "--results-dir", str(stored)) == 2
    assert "write options after `delete`, not before it" in capsys.readouterr().err
    assert len(ids(output(capsys, stored))) == 2


def test_results_are_deleted_by_name_or_filter(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert output(capsys, stored, "delete", "--status", "failed", "--yes").endswith("deleted 1 result\n")
    assert ids(output(capsys, stored)) == [FIRST]
    assert "nothing was deleted" in output(capsys, stored, "delete", FIRST, "--status", "failed", "--yes")
    assert ids(output(capsys, stored, "delete", "latest", "--yes")) == [FIRST]
    assert output(capsys, stored) == ""


def test_filter_keeps_runs_that_an_experiment_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store_sweep(tmp_path, [("", summary(FIRST)), ("", failed(SECOND))])
    store_run(tmp_path, failed(THIRD))
    assert ids(output(capsys, tmp_path, "delete", "--status", "failed", "--yes")) == [THIRD]
    assert call("results", "delete", SECOND, "--yes", "--results-dir", str(tmp_path)) == 2
    assert f"run {SECOND} belongs to " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing to delete; name results, or give a filter"),
        (["latest"], "there is no terminal; pass --yes"),
        (["other", "--yes"], "no run or sweep or comparison or search matches 'other'"),
    ],
)
def test_nothing_is_deleted_without_a_clear_wish(
    stored: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert call("results", "delete", *words, "--results-dir", str(stored)) == 2
    assert message in capsys.readouterr().err
    assert len(ids(output(capsys, stored))) == 2


def test_running_result_is_not_deleted(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    running = RunFolder.create(stored, "t", THIRD)
    assert call("results", "delete", THIRD, "--yes", "--results-dir", str(stored)) == 2
    assert f"{THIRD} is still running" in capsys.readouterr().err
    running.close()


@pytest.mark.parametrize("words", [["--json"], ["--limit", "3"], ["--runs"]])
def test_the_page_excludes_options_of_the_list(
    stored: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert call("results", "--web", *words, "--results-dir", str(stored)) == 2
    assert f"{words[0]} is for the list, and --web shows all results" in capsys.readouterr().err


def test_the_page_is_served_with_the_selected_results_until_ctrl_c(
    stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    command = [sys.executable, "-m", "benchmark", "results", "--web", "--status", "ok", "--results-dir", str(stored)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            address = re.fullmatch(r"results: (http://127\.0\.0\.1:\d+/\S+/) \(Ctrl-C stops it\)\n", line)
            assert address
            with urllib.request.urlopen(f"{address[1]}results.json", timeout=60) as answer:
                assert [row[0].rpartition("/")[2] for row in json.load(answer)["rows"]] == [FIRST]
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130
        finally:
            process.kill()


def test_folder_whose_name_is_no_text_is_listed(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (stored / "t" / FIRST).rename(os.fsdecode(os.fsencode(stored) + b"/t/20260101T000000Z-\xff"))
    for _ in range(2):
        assert "20260101T000000Z-\\udcff" in output(capsys, stored)
