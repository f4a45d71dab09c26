"""The process that serves the live page of a command: it gets its events, and ends with it."""

from __future__ import annotations

import json
import signal
import stat
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from factories.live_runs import LiveRun
from waiting import wait_for

from benchmark.cli.live_page import LivePage, open_page
from benchmark.results.events import PhaseStarted, Progress, RunStarted

BEGIN = 1_800_000_000.0
TOKEN_URL = "http://127.0.0.1:1234/secret/"


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def page(lines: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[LivePage]:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    made = LivePage(lines.append)
    yield made
    made.close()


def kinds(page_url: str, wanted: str) -> list[str]:
    """Read the stream until a message of kind `wanted`."""
    found = []
    with urllib.request.urlopen(f"{page_url}stream", timeout=60) as stream:
        for line in stream:
            if line.startswith(b"data: "):
                found.append(json.loads(line.removeprefix(b"data: "))["kind"])
                if found[-1] == wanted:
                    return found
    return found


def test_the_page_gets_the_events_of_the_command_and_ends_with_it(
    page: LivePage, lines: list[str], tmp_path: Path
) -> None:
    wait_for(lambda: lines, "the address")
    url = lines[0].removeprefix("live page: ")
    page.observe(PhaseStarted("connect", time=BEGIN))
    wait_for(lambda: kinds(url, "steps")[-1] == "steps", "the phase before the run")
    run = LiveRun(tmp_path, "20260101T000000Z-etcd-1-3n-60tps-aaaa", BEGIN)
    page.observe(RunStarted(run.path.name, 60, str(run.path)))
    page.observe(Progress(left_s=1.0))
    wait_for(lambda: "header" in kinds(url, "steps"), "the run")
    run.close()
    page.close()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=60)


def test_a_page_that_was_killed_does_not_disturb(page: LivePage) -> None:
    assert page._child
    page._child.send_signal(signal.SIGKILL)
    page._child.wait(60)
    for _ in range(1000):
        page.observe(PhaseStarted("connect"))


def test_a_page_that_takes_nothing_does_not_disturb(page: LivePage) -> None:
    assert page._child
    page._child.send_signal(signal.SIGSTOP)
    for _ in range(5000):  # more than a pipe holds
        page.observe(PhaseStarted("connect"))
    page._child.kill()


def test_a_browser_is_opened_without_the_token_in_its_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(webbrowser, "open", opened.append)
    with ExitStack() as stack:
        open_page(TOKEN_URL, stack)
        wait_for(lambda: opened, "the browser")
        assert "secret" not in opened[0]
        file = Path(opened[0].removeprefix("file://"))
        assert TOKEN_URL in file.read_text()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert not file.exists()


def test_without_a_desktop_no_browser_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(webbrowser, "open", opened.append)
    monkeypatch.setattr("sys.platform", "linux")
    with ExitStack() as stack:
        open_page(TOKEN_URL, stack)
    assert opened == []
