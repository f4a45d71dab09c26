"""An HTTP server with known service times that logs when each request arrived and was answered.

    python reference_server.py --model constant:0.05 --log FILE

Models: constant:S, exponential:MEAN, bimodal:FAST:SLOW:SHARE_OF_SLOW, stall:S:AT:LENGTH (the whole process pauses for
LENGTH seconds, AT seconds after the first request). The server prints its port, answers until SIGTERM, then writes its
log: lines of {"sequence", "arrival", "completion"} in seconds of the monotonic clock; `sequence` is the request's body.

The path selects the response or a fault: /status/N, /chunked, /dribble (one byte at a time), /close (answers and
closes), /http10 (the body ends with the connection), /idle-close (closes after 20 ms without a request), /hang, /drop
(no answer), /truncate (half an answer), /garbage, /overlong (more bytes than announced), /error (status 200 with an
error in its body), /hints (an interim response first).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ANSWERS = {
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"2\r\nok\r\n3;x=y\r\n\r\n\n\r\n0\r\nTrailer: t\r\n\r\n",
    "close": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
    "http10": b"HTTP/1.0 200 OK\r\n\r\nok",
    "drop": b"",
    "truncate": b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nok",
    "garbage": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "error": b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"error":"no"}',
    "hints": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "overlong": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nok",
}
"""Complete responses by the first part of the path."""
CLOSING = ("close", "http10", "drop", "truncate", "garbage")

_CHRT = ("chrt", "-f", "10")
REAL_TIME = _CHRT if shutil.which("chrt") and not subprocess.call([*_CHRT, "true"], stderr=subprocess.DEVNULL) else ()
"""Prefix of commands whose times are compared: real-time priority, so that other load on the machine does not affect
them. Empty where the user may not use it."""


_SLEEPER = """
import sys, time
due, delays = time.monotonic(), []
for _ in range(int(sys.argv[1])):
    due += 0.005
    time.sleep(max(0.0, due - time.monotonic()))
    delays.append(time.monotonic() - due)
print(sorted(delays)[int(0.99 * len(delays))])
"""


class Entry(NamedTuple):
    """An answered request; times in s of the monotonic clock."""

    sequence: int
    arrival: float
    completion: float


def service_time(model: str, seed: int) -> Callable[[], float]:
    """Return a function that draws service times of a model, in s."""
    kind, *texts = model.split(":")
    numbers = [float(text) for text in texts]
    draw = random.Random(seed)
    if kind == "exponential":
        return lambda: draw.expovariate(1 / numbers[0])
    if kind == "bimodal":
        return lambda: numbers[1] if draw.random() < numbers[2] else numbers[0]
    return lambda: numbers[0]


class Server:
    """Answer each request after its service time, any number of them concurrently."""

    def __init__(self, model: str) -> None:
        self.log: list[Entry] = []
        self._service = service_time(model, seed=7)
        kind, *numbers = model.split(":")
        self._stall = (float(numbers[1]), float(numbers[2])) if kind == "stall" else None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            while await self._answer(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:] if line)
        body = await reader.readexactly(int(fields["Content-Length"]))
        arrival = time.monotonic()
        if self._stall:
            asyncio.get_running_loop().call_later(self._stall[0], time.sleep, self._stall[1])
            self._stall = None
        await asyncio.sleep(self._service())
        kind, _, number = head.split()[1].decode().strip("/").partition("/")
        if kind == "hang":
            await asyncio.Event().wait()
        status = number if kind == "status" else "200"
        answer = ANSWERS.get(kind, f"HTTP/1.1 {status} Any\r\nContent-Length: 2\r\n\r\nok".encode())
        step = 1 if kind == "dribble" else len(answer) or 1
        completion = time.monotonic()
        for at in range(0, len(answer), step):
            completion = time.monotonic()
            writer.write(answer[at : at + step])
            await asyncio.sleep(0)
        self.log.append(Entry(int(body) if body.isdigit() else -1, arrival, completion))
        if kind == "idle-close":
            await asyncio.sleep(0.02)
        return kind not in CLOSING and kind != "idle-close"


async def _main(model: str, port: int, log: Path | None) -> None:
    server, ended = Server(model), asyncio.Event()
    listener = await asyncio.start_server(server.serve, "127.0.0.1", port, backlog=1024)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    print(listener.sockets[0].getsockname()[1], flush=True)
    await ended.wait()
    if log:
        log.write_text("".join(json.dumps(entry._asdict()) + "\n" for entry in server.log))
    os._exit(0)  # without waiting for open connections


@contextmanager
def wake_up_delay(seconds: float) -> Iterator[Callable[[], float]]:
    """Measure the scheduling delay of this machine during the block, with a process that only sleeps.

    Yields a function that waits until the measurement ends and returns the 99th percentile in s.
    """
    command = [*REAL_TIME, sys.executable, "-I", "-S", "-c", _SLEEPER, str(round(seconds / 0.005))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield lambda: float(process.communicate(timeout=60)[0])


class ReferenceServer:
    """A running reference server."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        assert process.stdout is not None
        self.port = int(process.stdout.readline())
        self._log = log

    def url(self, path: str = "/") -> str:
        """Return the URL of a path on it."""
        return f"http://127.0.0.1:{self.port}{path}"

    def stop(self) -> list[Entry]:
        """Stop the server and return its log, in the order of the answers."""
        self.process.terminate()
        self.process.wait(10)
        return [Entry(**json.loads(line)) for line in self._log.read_text().splitlines()]


@contextmanager
def running_server(model: str, folder: Path, port: int = 0) -> Iterator[ReferenceServer]:
    """Run a server until the block ends; its log is written to `folder`."""
    log = folder / f"server-{time.monotonic_ns()}.jsonl"
    command = [*REAL_TIME, sys.executable, __file__, "--model", model, "--log", str(log), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield ReferenceServer(process, log)
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="An HTTP server with known service times.")
    parser.add_argument("--model", default="constant:0")
    parser.add_argument("--log", type=Path)
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    asyncio.run(_main(arguments.model, arguments.port, arguments.log))
