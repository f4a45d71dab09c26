"""Commands reach bash unchanged through every login shell, and their output is told from that of start-up files."""

from __future__ import annotations

import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from fakes.sshd import USER, Sshd
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.remote.fleet import Fleet
from benchmark.remote.login_shell import BEGIN, in_bash

SHELLS = [path for shell in ("sh", "bash", "dash", "zsh", "tcsh", "fish") if (path := shutil.which(shell))]
AWKWARD = """printf '%s|' "it's" 'a\\b' '!x' "$(echo '%b \\0101')" `echo tick`; echo {a,b} $((1 + 2))
for i in 1 2; do echo "line $i"; done
[[ -n $BASH_VERSION ]] && echo bash; echo oops >&2; exit 3"""


def run(shell: str, command: str, home: Path) -> subprocess.CompletedProcess[bytes]:
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
    return subprocess.run([shell, "-c", in_bash(command)], env=environment, capture_output=True, check=False)


@pytest.mark.parametrize("shell", SHELLS)
def test_every_login_shell_passes_a_command_to_bash_unchanged(shell: str, tmp_path: Path) -> None:
    done = run(shell, AWKWARD, tmp_path)
    expected = "it's|a\\b|!x|%b \\0101|tick|a b 3\nline 1\nline 2\nbash\n"
    assert (done.returncode, done.stdout, done.stderr) == (3, BEGIN + expected.encode(), BEGIN + b"oops\n")


@settings(max_examples=50, derandomize=True, deadline=None)
@given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=60))
def test_within_its_quotes_a_command_has_no_character_that_a_shell_would_read(command: str) -> None:
    line = in_bash(command)
    argument = line[line.index(" bash '") + len(" bash '") : -1]
    assert not set(argument) & set("'!\n")
    rest = argument
    for special in ("\\0047", "\\0134", "\\0041", "\\0012"):
        rest = rest.replace(special, "")
    assert "\\" not in rest


def test_the_commands_own_shells_read_no_start_up_file(tmp_path: Path) -> None:
    (tmp_path / ".bashrc").write_text('[ -z "$PS1" ] && echo Welcome\n', encoding="utf-8")
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "SSH_CLIENT": "192.0.2.1 1 22"}
    command = in_bash("bash -euo pipefail -c 'echo inner'; exec bash -euo pipefail -c 'echo last'")
    done = subprocess.run(["dash", "-c", command], env=environment, capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (BEGIN + b"inner\nlast\n", BEGIN)


def answer(config: str, command: str) -> tuple[dict[str, str], dict[str, str], str]:
    """Run a command on a server with more configuration; return the output, the failures and the preamble."""
    with (
        Sshd(config=config) as server,
        Fleet([server.host()], USER, server.user_key, timeout=timedelta(seconds=10), retries=0) as fleet,
    ):
        done = fleet.run(command, deadline=20)
        preamble = "".join(each.preamble for each in done.ok.values())
        return {name: each.stdout + each.stderr for name, each in done.ok.items()}, done.failed, preamble


def test_output_of_start_up_files_is_not_output_of_the_command() -> None:
    noise = "ForceCommand echo Welcome; echo 'PS1: unbound variable' >&2; eval \"$SSH_ORIGINAL_COMMAND\"\n"
    output, failed, preamble = answer(noise, "echo out; echo err >&2")
    assert (output, failed) == ({"host-0": "out\nerr\n"}, {})
    assert preamble == "Welcome\n"


def test_a_login_shell_that_runs_nothing_is_quoted() -> None:
    _, failed, _ = answer("ForceCommand echo 'This account is currently not available.'; exit 1\n", "true")
    assert failed == {
        "host-0": "the login shell ended before the command began (it printed: This account is currently not "
        "available.): true"
    }


def test_a_login_shell_that_prints_without_end_is_a_failure() -> None:
    _, failed, _ = answer("ForceCommand yes\n", "true")
    assert failed["host-0"].startswith("more than")
