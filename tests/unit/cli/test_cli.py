"""Output and exit codes of the command line, mainly after usage errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from factories.command_line import call, write, write_unreachable
from factories.result_factory import write_run
from fakes.sshd import Sshd
from paths import ROOT

from benchmark import __version__
from benchmark.cli import reject_empty, repeat_option
from benchmark.cli.commands import COMMANDS, cli
from benchmark.errors import UsageError


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Options for a testbed of four hosts, none of which is reachable."""
    monkeypatch.chdir(tmp_path)
    return write_unreachable(tmp_path)


def test_unknown_field_gets_the_nearest_name(files: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    Path("settings.yaml").write_text("regions: [a]\ninstnces: 3\n")
    assert call("run", "--loads", "200", *files) == 2
    out, err = capsys.readouterr()
    assert err == "error: settings.yaml, line 2, column 11: unknown field 'instnces'; did you mean 'instances'?\n"
    assert out == ""


def test_missing_environment_variable_is_named(files: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    Path("settings.yaml").write_text("regions: [a]\nrepository: {url: 'https://${NO_SUCH_TOKEN}@x/y'}\n")
    assert call("status", *files) == 2
    assert "repository.url: ${NO_SUCH_TOKEN} is not set in the environment" in capsys.readouterr().err


def test_an_invalid_duration_lists_what_is_accepted(files: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert call("run", "--loads", "200", "--duration", "3 parsecs", *files) == 2
    assert "'3 parsecs' is not a duration; write seconds or a unit: 90, 90s, 3m" in capsys.readouterr().err


def test_too_large_committee_shows_the_required_hosts(
    files: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("run", "--loads", "200", "--committee", "99", *files) == 2
    assert "need 100 hosts (99 nodes + 1 monitoring), found 4 running in testbed t" in capsys.readouterr().err


def test_the_command_that_ssh_runs_may_have_empty_words() -> None:
    reject_empty(["ssh", "--inventory", "i.json", "--stack=dev", "host", "printf", "", "--x="])
    with pytest.raises(UsageError, match="an argument is empty"):
        reject_empty(["ssh", ""])


VALUES = sorted({
    (name, option)
    for name in COMMANDS
    for param in cli.get_command(click.Context(cli), name).params  # type: ignore[union-attr]
    if isinstance(param, click.Option) and not param.is_flag
    for option in param.opts
})  # fmt: skip


@pytest.mark.parametrize(("command", "option"), VALUES)
def test_an_empty_value_is_an_error_and_not_an_option_that_was_not_given(
    command: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(command, option, "") == 2
    assert call(command, f"{option}=") == 2
    assert capsys.readouterr().err == f"error: {option} is empty; give it a value or omit it\n" * 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "--loads", "200", "--duration", "0s"), "a duration of 0s is too short to be measured"),
        (("run", "--loads", "200", "--duration", "0"), "a duration of 0s is too short to be measured"),
        (("run", "--loads", "200", "--committee", "0"), "found 0, expected at least 1"),
        (("run", "--loads", "200", "--load-shape", "0"), "load shape: found '0', expected constant"),
        (("run", "--loads", "200", "--protocol", "false"), "false"),
        (("run", "--loads", "200", "--commit", "0"), "etcd is installed from packages and not built"),
        (("run", "--loads", "200", "--commit", "false"), "etcd is installed from packages and not built"),
        (("search", "--limit", "p99=0"), "--limit p99=0: no request takes 0 s"),
        (("search", "--limit", "achieved=0"), "--limit achieved: found '0', expected a share"),
        (("search", "--precision", "0"), "--precision: found '0', expected a share"),
        (("search", "--max-runs", "0"), "found 0, expected at least 1"),
        (("compare", "--fail-over", "0", "--a", "committee=1", "--b", "committee=2"), "--fail-over: found '0'"),
        (("compare", "--a", "committee=", "--b", "committee=2", "--loads", "5"), "committee=: no value"),
        (("compare", "--a", "committee=1", "--loads", "5"), "--a without --b: describe both sides"),
        (("compare", "--b", "committee=1", "--commits", "x", "y", "--loads", "5"), "--b without --a"),
        (("profile", "node-0", "--seconds", "0"), "found 0, expected at least 1s"),
        (("extend", "0"), "found 0, expected at least 1s"),
    ],
)
def test_zero_and_false_are_values(
    files: tuple[str, ...], capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    assert call(*words, *files) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_duration_of_few_samples_is_a_warning_before_anything_starts(
    files: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("run", "--loads", "200", "--duration", "40s", *files) == 3
    warning = "warning: a duration of 40 s is less than 10 scrape intervals of 5s: throughput and latency will be imp"
    assert capsys.readouterr().err.startswith(warning)


@pytest.mark.parametrize("load", ["0", "-5", "many"])
def test_invalid_load_is_rejected(files: tuple[str, ...], capsys: pytest.CaptureFixture[str], load: str) -> None:
    assert call("run", f"--loads={load}", *files) == 2
    assert "--loads" in capsys.readouterr().err


def test_unreachable_hosts_are_named(files: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert call("run", "--loads", "200", *files) == 3
    err = capsys.readouterr().err
    assert "cannot reach hosts" in err
    assert "a-0: " in err
    assert "refused" in err
    assert "Traceback" not in err


def test_output_file_is_checked_before_profiling(files: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert call("profile", "node-0", "--output", "new/x.svg", *files) == 3, (
        "it reaches the connection to the hosts, which fails"
    )
    assert Path("new").is_dir()
    capsys.readouterr()
    assert call("profile", "node-0", "--output", "key/x.svg", *files) == 2
    assert "cannot write key/x.svg: File exists" in capsys.readouterr().err


def test_status_lists_unreachable_hosts(files: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert call("status", "--json", *files) == 3
    assert json.loads(capsys.readouterr().out)["hosts"]["b-1"] == "unreachable"


def test_missing_stack_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: geobench\nruntime: python\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{tmp_path}")
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "home"))
    assert call("run", "--loads", "200") == 2
    assert "no stack is selected; list stacks with `pulumi stack ls`" in capsys.readouterr().err
    assert call("run", "--loads", "200", "--stack", "nowhere") == 2
    assert "nowhere" in capsys.readouterr().err


def test_missing_pulumi_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert call("status") == 2
    assert "`. ./env.sh`" in capsys.readouterr().err


def test_missing_or_broken_inventory_is_explained(
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


def test_an_unknown_parameter_lists_the_known_ones(files: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with Path("settings.yaml").open("a") as file:
        file.write("node_parameters: {hartbeat: 3}\n")
    assert call("run", "--loads", "200", *files) == 2
    assert "node_parameters: unknown parameter 'hartbeat'; did you mean" in (err := capsys.readouterr().err)
    assert "heartbeat_ms" in err


def test_unknown_command_or_option_is_rejected(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("rum") == 2
    assert "run" in capsys.readouterr().err
    assert call("--hlep") == 2
    assert "--help" in capsys.readouterr().err
    assert call("run", "--load", "3") == 2
    assert "--loads" in capsys.readouterr().err


def test_declared_system_is_selected_by_its_file(files: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert call("run", "--loads", "200", "--protocol", "nowhere.yaml", *files) == 2
    assert "cannot read nowhere.yaml" in capsys.readouterr().err
    Path("system.yaml").write_text("name: one\nnode:\n  command: run {{ prt }}\nload: {url: 'http://a/'}\n")
    assert call("run", "--loads", "200", "--protocol", "system.yaml", *files) == 2
    assert "system.yaml, line 3, column 19: 'prt' is unknown" in capsys.readouterr().err


def test_results_are_empty_without_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("results", "--json", "--results-dir", "none") == 0
    assert json.loads(capsys.readouterr().out) == []


def test_reachable_hosts_are_ready(
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


def test_option_is_repeated_for_each_of_several_loads() -> None:
    assert repeat_option(["run", "--loads", "200", "1000", "--repeat", "2"]) == [
        "run", "--loads", "200", "--loads", "1000", "--repeat", "2"
    ]  # fmt: skip
    assert repeat_option(["run", "--loads=5"]) == ["run", "--loads=5"]
    assert repeat_option(["run", "--faults", "crash:one@1s", "pause:one@2s", "--loads", "9"]) == [
        "run", "--faults", "crash:one@1s", "--faults", "pause:one@2s", "--loads", "9"
    ]  # fmt: skip


def test_package_runs_as_a_module() -> None:
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
    assert capsys.readouterr().out.startswith(f"Usage: {shown} results [OPTIONS]")


def test_version_is_printed_with_the_commit(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--version") == 0
    assert capsys.readouterr().out.startswith(f"geobench {__version__}")


def test_colours_are_used_only_on_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    assert "\x1b[31merror" in shown_by_terminal("status", "--inventory", "none.json")
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        monkeypatch.setenv(name, value)
        shown = shown_by_terminal("status", "--inventory", "none.json")
        monkeypatch.delenv(name)
        assert "\x1b" not in shown
        assert shown.startswith("error: cannot read the inventory none.json")


def shown_by_terminal(*arguments: str) -> str:
    """Return what a command prints to a terminal as its standard error."""
    controller, terminal = os.openpty()
    try:
        subprocess.run([sys.executable, "-m", "benchmark", *arguments], cwd=ROOT, stderr=terminal, timeout=60)
        return os.read(controller, 1 << 16).decode()
    finally:
        os.close(terminal)
        os.close(controller)


def test_lost_terminal_exits_with_code_130(tmp_path: Path) -> None:
    write_run(tmp_path / "dev" / "20270101T000000Z-etcd")
    controller, terminal = os.openpty()
    os.close(controller)
    done = subprocess.run(
        [sys.executable, "-m", "benchmark", "results", "--results-dir", str(tmp_path)],
        cwd=ROOT, stdout=terminal, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
    )  # fmt: skip
    os.close(terminal)
    assert (done.returncode, done.stderr) == (130, "")


@pytest.mark.parametrize(
    ("target", "expected"), [("/dev/full", (3, "error: No space left on device\n")), ("closed pipe", (1, ""))]
)
def test_output_that_cannot_be_written_is_one_line(tmp_path: Path, target: str, expected: tuple[int, str]) -> None:
    write_run(tmp_path / "dev" / "20270101T000000Z-etcd")
    if target == "closed pipe":
        reader, output = os.pipe()
        os.close(reader)
    else:
        output = os.open(target, os.O_WRONLY)
    done = subprocess.run(
        [sys.executable, "-m", "benchmark", "results", "--results-dir", str(tmp_path)],
        cwd=ROOT, stdout=output, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
    )  # fmt: skip
    os.close(output)
    assert (done.returncode, done.stderr) == expected


def run_script(script: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)


def test_interrupt_that_falls_into_a_finalizer_is_not_lost() -> None:
    script = (
        "import os, signal, time\n"
        "from benchmark.cli import _interrupt_once\n"
        "class Late:\n"
        "    def __del__(self): os.kill(os.getpid(), signal.SIGINT)\n"
        "_interrupt_once()\n"
        "try:\n"
        "    Late()\n"
        "    time.sleep(30)\n"
        "except KeyboardInterrupt: print('interrupted')\n"
    )
    done = run_script(script)
    assert (done.stdout, done.stderr) == ("interrupted\n", "")


@pytest.mark.parametrize("ignored", [False, True])
def test_sighup_interrupts_unless_nohup_ignores_it(ignored: bool) -> None:
    script = (
        "import os, signal\n"
        "from benchmark.cli import _interrupt_once\n"
        f"signal.signal(signal.SIGHUP, signal.{'SIG_IGN' if ignored else 'SIG_DFL'})\n"
        "_interrupt_once()\n"
        "try: os.kill(os.getpid(), signal.SIGHUP)\n"
        "except KeyboardInterrupt: print('interrupted')\n"
        "os.kill(os.getpid(), signal.SIGHUP)\n"
        "print('still here')"
    )
    done = run_script(script)
    assert done.stdout.split("\n")[:-1] == [*([] if ignored else ["interrupted"]), "still here"]
