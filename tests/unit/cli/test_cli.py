"""The command line: what it prints, where, and with which exit code; above all when the user is mistaken."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from factories.command_line import call, write
from factories.hosts import inventory
from factories.result_factory import store_run, summary
from fakes.sshd import Sshd

from benchmark import __version__
from benchmark.cli import spread
from benchmark.results.events import Events
from benchmark.results.summary import Summary


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """The options of a testbed of four hosts none of which answers."""
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    found = inventory(a=2, b=2)
    hosts = [host.model_copy(update={"address": "127.0.0.1", "ssh_port": port}) for host in found.hosts]
    return write(tmp_path, hosts)


def test_an_unknown_field_names_the_nearest(files: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    Path("settings.yaml").write_text("regions: [a]\ninstnces: 3\n")
    assert call("run", "--loads", "200", *files) == 2
    out, err = capsys.readouterr()
    assert err == "error: settings.yaml: unknown field 'instnces'; did you mean 'instances'?\n"
    assert out == ""


def test_a_variable_that_is_not_set_is_named(files: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    Path("settings.yaml").write_text("regions: [a]\nrepository: {url: 'https://${NO_SUCH_TOKEN}@x/y'}\n")
    assert call("status", *files) == 2
    assert "repository.url: ${NO_SUCH_TOKEN} is not set in the environment" in capsys.readouterr().err


def test_a_bad_duration_says_what_is_accepted(files: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert call("run", "--loads", "200", "--duration", "3 parsecs", *files) == 2
    assert "'3 parsecs' is not a duration; write seconds or a unit: 90, 90s, 3m" in capsys.readouterr().err


def test_a_committee_that_does_not_fit_does_the_sum(files: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert call("run", "--loads", "200", "--committee", "99", *files) == 2
    assert "need 100 hosts (99 nodes + 1 monitoring), found 4 running in testbed t" in capsys.readouterr().err


@pytest.mark.parametrize("load", ["0", "-5", "many"])
def test_a_load_that_is_none(files: tuple[str, ...], capsys: pytest.CaptureFixture[str], load: str) -> None:
    assert call("run", f"--loads={load}", *files) == 2
    assert "--loads" in capsys.readouterr().err


def test_hosts_that_are_down_are_named(files: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert call("run", "--loads", "200", *files) == 3
    err = capsys.readouterr().err
    assert "cannot reach hosts" in err
    assert "a-0: " in err
    assert "refused" in err
    assert "Traceback" not in err


class JudgedBench:
    """A testbed whose runs are over at once, and have been judged."""

    verdict: Mapping[str, Any] = {}

    def __init__(self, *_: object) -> None:
        self.events = Events()

    def __enter__(self) -> JudgedBench:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def announce(self, request: object, runs: int) -> None:
        pass

    def ready(self, request: object) -> SimpleNamespace:
        return SimpleNamespace(commit="3.4")

    def run(self, request: object, load: int, begin: Callable[[str], object] = str) -> Summary:
        name = f"20260101T000000Z-{load}"
        begin(name)
        found = summary(name, float(load)).model_copy(update=dict(self.verdict))
        store_run(Path("results"), found)
        return found


@pytest.mark.parametrize("loads", [("60",), ("30", "60")])
@pytest.mark.parametrize(
    ("verdict", "code"),
    [({}, 0), ({"saturated": True, "warnings": ["late"]}, 0), ({"status": "invalid", "reasons": ["no sample"]}, 1)],
)
def test_one_run_and_many_end_with_1_if_any_is_not_to_be_used(
    files: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, loads: tuple[str, ...], verdict: dict[str, Any], code: int
) -> None:
    monkeypatch.setattr(JudgedBench, "verdict", verdict)
    monkeypatch.setattr("benchmark.orchestrator.sweep.Bench", JudgedBench)
    assert call("run", "--loads", *loads, *files) == code


def test_where_a_profile_goes_is_settled_before_it_is_taken(
    files: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("profile", "node-0", "--output", "new/x.svg", *files) == 3, (
        "it gets as far as the hosts, which are down"
    )
    assert Path("new").is_dir()
    capsys.readouterr()
    assert call("profile", "node-0", "--output", "key/x.svg", *files) == 2
    assert "cannot write key/x.svg: File exists" in capsys.readouterr().err


def test_unreachable_hosts_show_in_the_status(files: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert call("status", "--json", *files) == 3
    assert json.loads(capsys.readouterr().out)["hosts"]["b-1"] == "unreachable"


def test_no_inventory_and_no_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: geobench\nruntime: python\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{tmp_path}")
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "home"))
    assert call("run", "--loads", "200") == 2
    assert "no stack is selected; `pulumi stack ls` lists them" in capsys.readouterr().err
    assert call("run", "--loads", "200", "--stack", "nowhere") == 2
    assert "nowhere" in capsys.readouterr().err


def test_without_pulumi_the_way_out_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert call("status") == 2
    assert "`. ./env.sh`" in capsys.readouterr().err


def test_a_missing_or_broken_inventory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("status", "--inventory", "none.json") == 2
    assert "cannot read the inventory none.json" in capsys.readouterr().err
    Path("none.json").write_text('{"hosts": []}')
    assert call("status", "--inventory", "none.json") == 2
    assert "none.json is not an inventory of version 1" in capsys.readouterr().err
    Path("none.json").write_bytes(b"\x80\x02}q\x00")
    assert call("status", "--inventory", "none.json") == 2
    assert "cannot read the inventory none.json: it is not a text file in UTF-8" in capsys.readouterr().err


def test_unknown_parameters_name_the_known_ones(files: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with Path("settings.yaml").open("a") as file:
        file.write("node_parameters: {hartbeat: 3}\n")
    assert call("run", "--loads", "200", *files) == 2
    assert "node_parameters: unknown parameter 'hartbeat'; did you mean" in (err := capsys.readouterr().err)
    assert "heartbeat_ms" in err


def test_an_unknown_command_and_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("rum") == 2
    assert "run" in capsys.readouterr().err
    assert call("run", "--load", "3") == 2
    assert "--loads" in capsys.readouterr().err


def test_a_described_system_is_named_by_its_file(files: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert call("run", "--loads", "200", "--protocol", "nowhere.yaml", *files) == 2
    assert "cannot read nowhere.yaml" in capsys.readouterr().err
    Path("system.yaml").write_text("name: one\nnode:\n  command: run {{ prt }}\nload: {url: 'http://a/'}\n")
    assert call("run", "--loads", "200", "--protocol", "system.yaml", *files) == 2
    assert "system.yaml, line 3, column 19: 'prt' is unknown" in capsys.readouterr().err


def test_results_of_nothing_are_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("results", "--json", "--results-dir", "none") == 0
    assert json.loads(capsys.readouterr().out) == []


def test_hosts_that_answer_are_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Sshd, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    hosts = [server.host(name).model_copy(update={"region": name[0]}) for name in ("a-0", "a-1", "b-0")]
    options = write(tmp_path, hosts, key=str(server.user_key))
    assert call("status", *options) == 0
    out = capsys.readouterr().out
    assert "2 ready" in out
    assert "1 ready" in out
    assert "unreachable" not in out


def test_many_loads_are_spread_for_the_option_parser() -> None:
    assert spread(["run", "--loads", "200", "1000", "--repeat", "2"]) == [
        "run", "--loads", "200", "--loads", "1000", "--repeat", "2"
    ]  # fmt: skip
    assert spread(["run", "--loads=5"]) == ["run", "--loads=5"]


def test_the_module_can_be_called() -> None:
    done = subprocess.run([sys.executable, "-m", "benchmark", "--help"], capture_output=True, text=True, check=True)
    for command in ("run", "status", "check", "stop", "results"):
        assert f"  {command} " in done.stdout


@pytest.mark.parametrize(
    ("program", "shown"), [("/usr/bin/geobench", "geobench"), ("/x/benchmark/__main__.py", "python -m benchmark")]
)
def test_usage_names_the_program_as_it_was_called(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], program: str, shown: str
) -> None:
    monkeypatch.setattr(sys, "argv", [program])
    assert call("results", "--help") == 0
    assert capsys.readouterr().out.startswith(f"Usage: {shown} results [OPTIONS]\n")


def test_version_is_printed_with_the_commit(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--version") == 0
    assert capsys.readouterr().out.startswith(f"geobench {__version__}")
