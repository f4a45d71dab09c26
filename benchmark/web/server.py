"""The server of the live page: it sends what a run writes to any number of viewers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from aiohttp import web

from benchmark.report import REPORT
from benchmark.results.live_feed import request_tails
from benchmark.web.logs import log_tail
from benchmark.web.page import assets
from benchmark.web.site import HEADERS, LocalSite, report_response
from benchmark.web.watch import Watch

POLL_S = 0.5
STALLED_S = 10.0
"""A viewer that takes nothing for this time is dropped."""
_LAST_S = 4.0
"""Time for the last messages to be sent."""
_MOST_VIEWERS = 50
_MOST_WAITING = 200
"""Messages that wait for a viewer."""
_SEND_BUFFER = 1 << 16
"""Bytes that the kernel keeps for a viewer."""
_ALIVE_S = 15.0
"""Time after which a comment is sent, by which a viewer that has gone is noticed."""
_LOOKED_AT_S, _REPEAT_S = 8.0, 5.0
"""How long a log counts as looked at after a request, and the time between two requests to the runner."""


class LiveServer:
    """Serves what a `Watch` reads, to any number of viewers, from one thread."""

    def __init__(self, watch: Watch, *, stalled_s: float = STALLED_S) -> None:
        self.watch = watch
        self.dropped = 0
        """Viewers that did not take what was sent to them."""
        self._stalled_s = stalled_s
        routes = {"stream": self._stream, "report": self._report, "logs/{process}": self._log}
        self._site = LocalSite(assets(), routes)
        self._viewers: set[_Viewer] = set()
        self._wanted: dict[str, float] = {}
        """When the log of a process was last asked for, monotonic time."""
        self._requested = 0.0

    @property
    def url(self) -> str:
        """The address of the page, with its token."""
        return self._site.url

    @property
    def viewers(self) -> int:
        """Number of viewers."""
        return len(self._viewers)

    @contextlib.asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[None]:
        """Serve on `port`, any free one if 0, until the block is left; OSError if it is taken."""
        async with self._site.serving(port):
            polling = asyncio.create_task(self._poll())
            try:
                yield
            finally:
                polling.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await polling
                await self._finish()

    async def _poll(self) -> None:
        while True:
            self.publish(self.watch.poll())
            await asyncio.sleep(POLL_S)

    async def _finish(self) -> None:
        """Send the last messages, and say that the server ends."""
        self.publish([*self.watch.poll(), '{"kind":"closed","value":null}'])
        for viewer in list(self._viewers):
            viewer.end()
        tasks = [viewer.task for viewer in self._viewers if viewer.task]
        if tasks:
            await asyncio.wait(tasks, timeout=_LAST_S)

    def publish(self, messages: Sequence[str]) -> None:
        """Give messages to all viewers; who has not taken many earlier ones is dropped."""
        text = "".join(f"data: {message}\n\n" for message in messages).encode()
        for viewer in list(self._viewers) if text else ():
            if not viewer.put(text):
                self._drop(viewer)

    def _drop(self, viewer: _Viewer) -> None:
        self.dropped += 1
        self._viewers.discard(viewer)
        viewer.abort()

    async def _report(self, request: web.Request) -> web.StreamResponse:
        path = self.watch.run.folder / REPORT if self.watch.run else None
        if path is None or not path.exists():
            raise web.HTTPNotFound
        return report_response(path.read_bytes())

    async def _log(self, request: web.Request) -> web.StreamResponse:
        """Return the end of the log of a process; while the run is in progress, have the runner copy it."""
        run, name = self.watch.run, request.match_info["process"]
        hosts = {process.name: process.host for process in run.header.processes} if run else {}
        if run is None or name not in hosts:
            raise web.HTTPNotFound
        if not run.state.ended:
            try:
                self._request_log(run.folder, name)
            except OSError as error:
                return web.Response(text=f"cannot ask the runner for this log: {error.strerror}\n")
        text = log_tail(run.folder, name, hosts[name])
        if text is None:
            return web.Response(status=204)
        return web.Response(text=text)

    def _request_log(self, folder: Path, name: str) -> None:
        """Repeat to the runner which logs viewers look at; not at each of their requests."""
        now = time.monotonic()
        fresh = name not in self._wanted
        self._wanted[name] = now
        self._wanted = {each: at for each, at in self._wanted.items() if now - at < _LOOKED_AT_S}
        if fresh or now - self._requested > _REPEAT_S:
            self._requested = now
            request_tails(folder, self._wanted)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """Send everything so far and then what is new, as server-sent events."""
        if len(self._viewers) >= _MOST_VIEWERS:
            return web.Response(status=503, text=f"{_MOST_VIEWERS} viewers are connected\n")
        response = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        viewer = _Viewer(request, response)
        viewer.put("".join(f"data: {message}\n\n" for message in self.watch.snapshot()).encode())
        self._viewers.add(viewer)
        try:
            if not await viewer.send(self._stalled_s) and viewer in self._viewers:
                self._drop(viewer)
        finally:
            self._viewers.discard(viewer)
        return response


class _Viewer:
    """A browser that is connected, and what waits to be sent to it."""

    def __init__(self, request: web.Request, response: web.StreamResponse) -> None:
        self._response = response
        self._transport = request.transport
        self._waiting: deque[bytes] = deque()
        self._news = asyncio.Event()
        self._ended = False
        self.task = asyncio.current_task()
        opened = self._transport.get_extra_info("socket") if self._transport else None
        if opened:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)

    def put(self, text: bytes) -> bool:
        """Add text to be sent; return False if too much waits already."""
        self._waiting.append(text)
        self._news.set()
        return len(self._waiting) <= _MOST_WAITING

    def end(self) -> None:
        """Send what waits, and no more."""
        self._ended = True
        self._news.set()

    def abort(self) -> None:
        """Close the connection without sending what waits."""
        self._ended = True
        self._waiting.clear()
        self._news.set()
        if self._transport:
            self._transport.abort()

    async def send(self, stalled_s: float) -> bool:
        """Send what comes until the viewer leaves; return False if it stopped reading."""
        while self._waiting or not self._ended:
            self._news.clear()
            text = self._waiting.popleft() if self._waiting else b""
            if not text:
                try:
                    async with asyncio.timeout(_ALIVE_S):
                        await self._news.wait()
                    continue
                except TimeoutError:
                    text = b": alive\n\n"
            try:
                async with asyncio.timeout(stalled_s):
                    await self._response.write(text)
            except TimeoutError:
                return False
            except ConnectionError:
                return True
        return True
