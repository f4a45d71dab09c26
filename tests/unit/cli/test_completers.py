"""Shell completion: the values of options and arguments, and the scripts in real shells."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from factories.command_line import call, write
from factories.hosts import inventory
from factories.result_factory import store_sweep, summary, write_run
from paths import ROOT

from benchmark.cli.commands import COMPLETE_VARIABLE, cli
from benchmark.faults.targets import TARGETS


def complete(*words: str) -> list[str]:
    """Return what a shell offers for the last word."""
    found = ShellComplete(cli, {}, "geobench", COMPLETE_VARIABLE).get_completions(list(words[:-1]), words[-1])
    return [item.value for item in found]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a testbed, two runs and a sweep."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path, list(inventory(a=2, b=1).hosts))
    for name in ("20270101T000000Z-etcd", "20270102T000000Z-etcd"):
        write_run(tmp_path / "results" / "t" / name)
    return tmp_path


FILES = ("--inventory", "inventory.json", "--settings", "settings.yaml")


def test_commands_and_options_are_completed() -> None:
    assert sorted(complete("re")) == ["report", "results"]
    assert "--load-shape" in complete("run", "--load")


def test_results_are_completed_newest_first(project: Path) -> None:
    assert complete("logs", *FILES, "") == ["latest", "20270102T000000Z-etcd", "20270101T000000Z-etcd"]
    assert complete("report", "--results-dir", "results", "20270101") == ["20270101T000000Z-etcd"]


def test_experiments_are_no_runs(project: Path) -> None:
    sweep = store_sweep(project / "other", [("", summary("20270103T000000Z-etcd"))]).path.name
    assert sweep in complete("report", "--results-dir", "other", "")
    assert complete("logs", "--results-dir", "other", "") == ["latest", "20270103T000000Z-etcd"]


def test_processes_and_hosts_are_completed(project: Path) -> None:
    assert "node-0" in complete("logs", *FILES, "20270101T000000Z-etcd", "node")
    assert complete("ssh", *FILES, "a") == ["all", "a-0", "a-1"]
    assert "node-0" in complete("ssh", *FILES, "node")


def test_protocols_faults_shapes_limits_and_stacks_are_completed(project: Path) -> None:
    (project / "Pulumi.one.yaml").touch()
    (project / "Pulumi.two.yaml").touch()
    assert complete("run", "--protocol", "et") == ["etcd"]
    assert "crash:leader@" in complete("run", "--faults", "crash:")
    assert "partition:halves@" in complete("run", "--faults", "part")
    assert complete("run", "--load-shape", "s") == ["steps:"]
    assert complete("search", "--limit", "") == ["p99=", "achieved="]
    assert complete("status", "--stack", "") == ["one", "two"]


def test_what_cannot_be_read_has_no_completions(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (project / "settings.yaml").write_text("regions: [")
    (project / "inventory.json").write_text("{")
    assert complete("logs", *FILES, "") == []
    assert complete("ssh", *FILES, "") == []
    assert capfd.readouterr() == ("", "")


_CALLS = {
    "bash": (
        "source <(geobench completion bash); COMP_WORDS=(geobench run --protocol et) COMP_CWORD=3;"
        "_geobench_completion geobench;"
        'echo "${COMPREPLY[@]}"'
    ),
    # A stub of compadd prints what the function would offer.
    "zsh": (
        "compdef() { :; }; compadd() { print -r -- ${(P)@[-1]}; }; _describe() { :; };"
        "source <(geobench completion zsh); words=(geobench run --protocol et) CURRENT=4; _geobench_completion"
    ),
}


@pytest.mark.parametrize("shell", _CALLS)
def test_script_completes_in_the_real_shell(shell: str, tmp_path: Path) -> None:
    program = tmp_path / "geobench"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m benchmark "$@"\n')
    program.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [shell, "-c", _CALLS[shell]], env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split() == ["etcd"], done.stderr


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("geobench run --faults crash : lea", ["leader@"]),
        ("geobench run --faults cra", [f"crash:{target}@" for target in TARGETS]),
        ("geobench run --loads=100 : 200 : 50 --protocol et", ["etcd"]),
    ],
)
def test_bash_is_answered_although_it_splits_words_at_colons(
    words: str, offered: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(COMPLETE_VARIABLE, "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    assert call() == 0
    assert capsys.readouterr().out.split() == [f"plain,{value}" for value in offered]


def test_script_for_fish_calls_this_program(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("completion", "fish") == 0
    assert f"env {COMPLETE_VARIABLE}=fish_complete" in capsys.readouterr().out
