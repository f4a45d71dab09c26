"""Text from hosts does not act on the operator's terminal."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from factories.result_factory import write_run
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.table import Table

from benchmark.cli import messages
from benchmark.cli.live import LivePanel
from benchmark.cli.messages import printable
from benchmark.cli.output import SafeConsole, show
from benchmark.results.events import RunStarted

HOSTILE = {
    "clipboard": "\x1b]52;c;cm0gLXJmIC8=\x07",
    "clear": "\x1b[2J\x1b[H",
    "title": "\x1b]0;owned\x07",
    "one byte": "\x9b2J",
    "overwrite": "safe\rrm -rf /",
    "backspace": "rm\b\bls",
    "direction": "\u202egnp.exe",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_what_acts_on_a_terminal_is_escaped(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    escaped = printable(f"a\tb\n{text}é\n")
    assert escaped.startswith("a\tb\n")
    assert escaped.endswith("é\n")
    assert not set("\x1b\x07\x9b\r\b\u202e") & set(escaped)
    for report in (messages.error, messages.warning, messages.note):
        report(text)
        assert printable(text) in capsys.readouterr().err


def test_colours_and_line_ends_of_logs_are_dropped() -> None:
    assert printable("\x1b[2m12:00\x1b[0m \x1b[1;31mERROR\x1b[0m lost\r\n") == "12:00 ERROR lost\n"


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.text(st.sampled_from("\x1b[]0;2Jm\x9b\x07\r\n\t a\u2066\u202e\x00")))
def test_no_text_leaves_a_control_character(text: str) -> None:
    assert all(character in "\n\t" or character.isprintable() for character in printable(text))


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_tables_lines_and_panels_are_escaped_and_keep_their_own_colours(text: str) -> None:
    console = SafeConsole(file=io.StringIO(), force_terminal=True, width=120, highlight=False)
    table = Table("host")
    table.add_row(text)
    panel = LivePanel()
    panel.run(RunStarted(text, 1, ""))
    for each in (table, f"[red]{text}[/red]", panel):
        console.print(each)
    assert isinstance(console.file, io.StringIO)
    printed = console.file.getvalue()
    assert "\x1b[31m" in printed
    assert text not in printed
    assert not set("\x07\x9b\r\b\u202e") & set(printed)


def test_names_between_colons_are_no_emoji(capsys: pytest.CaptureFixture[str]) -> None:
    show(["outage of crash:one: 1.3 s"])
    assert capsys.readouterr().out == "outage of crash:one: 1.3 s\n"


def test_logs_are_escaped_on_a_terminal_and_unchanged_in_a_pipe(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "results" / "t" / "20260101T000000Z-etcd")
    (folder / "logs" / "a-0").mkdir(parents=True)
    (folder / "logs" / "a-0" / "node-0.log.gz").write_bytes(gzip.compress(b"\x1b]52;c;eA==\x07log\n"))
    command = [sys.executable, "-m", "benchmark", "logs", "latest", "--results-dir", str(tmp_path / "results")]
    piped = subprocess.run(command, capture_output=True, check=True)
    assert piped.stdout == b"\x1b]52;c;eA==\x07log\n\n"
    controller, terminal = os.openpty()
    subprocess.run(command, stdout=terminal, check=True)
    os.close(terminal)
    shown = os.read(controller, 1000)
    os.close(controller)
    assert shown.startswith(b"\\x1b]52;c;eA==\\x07log")
