"""Serve the live page on this machine only, to those who know its token.

Other users of the machine reach the port, but not the token, which is in the path of the URL: without it every answer
is 404. A name other than that of this machine in the Host header is rejected, so a web page elsewhere cannot reach the
server through a name of its own (DNS rebinding); there is no CORS, and there are no cookies.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import secrets
import socket
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

from aiohttp import web

from benchmark.report import REPORT
from benchmark.results.live_feed import request_tails
from benchmark.web.logs import log_tail
from benchmark.web.page import Asset, assets
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
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
_REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data:; font-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Reports have their scripts and styles in the page; the sandbox keeps them from what else the token opens."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class LiveServer:
    """Serves what a `Watch` reads, to any number of viewers, from one thread."""

    def __init__(self, watch: Watch, *, stalled_s: float = STALLED_S) -> None:
        self.watch = watch
        self.dropped = 0
        """Viewers that did not take what was sent to them."""
        self._stalled_s = stalled_s
        self._token = secrets.token_urlsafe(24)
        self._assets: dict[str, Asset] = assets()
        self._viewers: set[_Viewer] = set()
        self._wanted: dict[str, float] = {}
        """When the log of a process was last asked for, monotonic time."""
        self._requested = 0.0
        self._port = 0

    @property
    def url(self) -> str:
        """The address of the page, with its token."""
        return f"http://127.0.0.1:{self._port}/{self._token}/"

    @property
    def viewers(self) -> int:
        """Number of viewers."""
        return len(self._viewers)

    @contextlib.asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[None]:
        """Serve on `port`, any free one if 0, until the block is left; OSError if it is taken."""
        application = web.Application(middlewares=[self._guard], client_max_size=0)
        application.router.add_get("/{token}/", self._asset)
        application.router.add_get("/{token}/stream", self._stream)
        application.router.add_get("/{token}/report", self._report)
        application.router.add_get("/{token}/logs/{process}", self._log)
        application.router.add_get("/{token}/{name}", self._asset)
        runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        try:
            opened = socket.create_server(("127.0.0.1", port))
            self._port = opened.getsockname()[1]
            await web.SockSite(runner, opened).start()
            polling = asyncio.create_task(self._poll())
            try:
                yield
            finally:
                polling.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await polling
                await self._finish()
        finally:
            await runner.cleanup()

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

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Reject whoever does not know the token, or reaches this server by another name."""
        names = (f"127.0.0.1:{self._port}", f"localhost:{self._port}")
        token = request.match_info.get("token", "")
        if request.headers.get("Host") not in names:
            response: web.StreamResponse = web.Response(status=421, text="wrong host\n")
        elif not hmac.compare_digest(token.encode(errors="replace"), self._token.encode()):
            response = web.Response(status=404, text="not found\n")
        else:
            try:
                response = await handler(request)
            except web.HTTPException as error:
                response = web.Response(status=error.status, text=f"{error.reason.lower()}\n")
        if not response.prepared:
            for name, value in _HEADERS.items():
                response.headers.setdefault(name, value)
        return response

    async def _asset(self, request: web.Request) -> web.StreamResponse:
        asset = self._assets.get(request.match_info.get("name", ""))
        if asset is None:
            raise web.HTTPNotFound
        return web.Response(body=asset.content, content_type=asset.content_type, charset="utf-8")

    async def _report(self, request: web.Request) -> web.StreamResponse:
        path = self.watch.run.folder / REPORT if self.watch.run else None
        if path is None or not path.exists():
            raise web.HTTPNotFound
        headers = {**_HEADERS, "Content-Security-Policy": _REPORT_POLICY}
        return web.Response(body=path.read_bytes(), content_type="text/html", charset="utf-8", headers=headers)

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
        response = web.StreamResponse(headers={**_HEADERS, "Content-Type": "text/event-stream; charset=utf-8"})
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
