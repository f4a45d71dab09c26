"""The live page beside a command: the child process that serves it, and how a browser is opened."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Callable
from html import escape
from pathlib import Path

import click

from benchmark.cli import messages
from benchmark.results.events import (
    Event,
    PhaseEnded,
    PhaseStarted,
    PlanAnnounced,
    RunStarted,
    Step,
    event_to_json,
    parse_event,
)

_SHOWN = PlanAnnounced | Step | RunStarted | PhaseStarted | PhaseEnded
_END_S = 5.0
"""Time for the server of the page to send its last messages."""
_LOWER_PRIORITY = 10


class LivePage:
    """The live page of a command, served by a child process of lower priority: it cannot disturb the runs.

    The child gets the events of the command on its standard input and reads all else from the results. It ends with
    the command, however that ends.
    """

    def __init__(self, show: Callable[[str], None]) -> None:
        """`show` gets a line with the address, from another thread."""
        self._broken = False
        self._child: subprocess.Popen[bytes] | None = None
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "benchmark.cli.live_page"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for the run
            )
        except OSError as error:
            show(f"no live page: {error.strerror}")
            return
        assert self._child.stdin
        os.set_blocking(self._child.stdin.fileno(), False)
        self._printer = threading.Thread(target=self._print, args=(self._child, show), daemon=True)
        self._printer.start()

    def observe(self, event: Event) -> None:
        """Pass an event to the page; dropped if the page does not take it at once."""
        if self._child and self._child.stdin and isinstance(event, _SHOWN):
            line = event_to_json(event).encode() + b"\n"
            try:
                # A line that was cut short before must not take this one with it.
                written = os.write(self._child.stdin.fileno(), b"\n" + line if self._broken else line)
                self._broken = written < len(line)
            except OSError:
                pass

    def close(self) -> None:
        """End the page; its last messages get some seconds."""
        if self._child and self._child.stdin:
            with contextlib.suppress(OSError):
                self._child.stdin.close()
            try:
                self._child.wait(_END_S)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
            self._printer.join(1.0)

    @staticmethod
    def _print(child: subprocess.Popen[bytes], show: Callable[[str], None]) -> None:
        assert child.stdout
        for line in child.stdout:
            with contextlib.suppress(OSError):
                show(line.decode(errors="replace").rstrip())


def open_page(url: str, stack: contextlib.ExitStack) -> None:
    """Open `url` in a browser where there is a desktop; `stack` removes the file through which it is opened.

    The file, which only its owner can read, leads to the URL: in the arguments of the browser, other users of the
    machine would see the token.
    """
    desktop = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if not desktop:
        return
    file = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="geobench-"))) / "live.html"
    file.write_text(f'<!DOCTYPE html><meta http-equiv="refresh" content="0;url={escape(url)}"><title>geobench</title>')
    file.chmod(0o600)

    def start() -> None:
        with contextlib.suppress(webbrowser.Error, OSError):
            webbrowser.open(file.as_uri())

    threading.Thread(target=start, daemon=True).start()


async def _serve_command() -> None:
    """Serve the page of the command that writes its events to standard input, until that ends."""
    from benchmark.web.server import LiveServer
    from benchmark.web.watch import Watch

    page = Watch()
    server = LiveServer(page)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    with contextlib.ExitStack() as stack:
        async with server.serving():
            click.echo(f"live page: {server.url}")
            sys.stdout.flush()
            open_page(server.url, stack)
            while line := await reader.readline():
                with contextlib.suppress(ValueError):
                    event = parse_event(line)
                    if isinstance(event, RunStarted):
                        page.follow(Path(event.folder))
                        server.publish(page.snapshot())
                    else:
                        page.between_runs(event)


if __name__ == "__main__":
    os.nice(_LOWER_PRIORITY)
    try:
        asyncio.run(_serve_command())
    except OSError as problem:
        messages.warning(f"no live page: {problem.strerror}")
