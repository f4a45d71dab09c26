"""Serve pages on this machine only, to those who know their token.

Other users of the machine reach the port, but not the token, which is in the path of the URL: without it every answer
is 404. A name other than that of this machine in the Host header is rejected, so a web page elsewhere cannot reach the
server through a name of its own (DNS rebinding); there is no CORS, and there are no cookies.
"""

from __future__ import annotations

import contextlib
import hmac
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from aiohttp import web

from benchmark.web.page import Asset

HEADERS = {
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


class LocalSite:
    """The files of a page and what it asks for."""

    def __init__(self, assets: Mapping[str, Asset], routes: Mapping[str, Handler]) -> None:
        """`routes` are handlers of GET by their path below the token, in the syntax of aiohttp."""
        self._assets = assets
        self._routes = routes
        self._token = secrets.token_urlsafe(24)
        self._port = 0

    @property
    def url(self) -> str:
        """The address of the page, with its token."""
        return f"http://127.0.0.1:{self._port}/{self._token}/"

    @contextlib.asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[None]:
        """Serve on `port`, any free one if 0, until the block is left; OSError if it is taken."""
        application = web.Application(middlewares=[self._guard], client_max_size=0)
        for path, handler in self._routes.items():
            application.router.add_get(f"/{{token}}/{path}", handler)
        application.router.add_get("/{token}/", self._asset)
        application.router.add_get("/{token}/{name}", self._asset)
        runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        try:
            opened = socket.create_server(("127.0.0.1", port))
            self._port = opened.getsockname()[1]
            await web.SockSite(runner, opened).start()
            yield
        finally:
            await runner.cleanup()

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
            for name, value in HEADERS.items():
                response.headers.setdefault(name, value)
        return response

    async def _asset(self, request: web.Request) -> web.StreamResponse:
        asset = self._assets.get(request.match_info.get("name", ""))
        if asset is None:
            raise web.HTTPNotFound
        return web.Response(body=asset.content, content_type=asset.content_type, charset="utf-8")


def report_response(page: bytes) -> web.Response:
    """Return the answer that shows a report, in a sandbox."""
    headers = {"Content-Security-Policy": _REPORT_POLICY}
    return web.Response(body=page, content_type="text/html", charset="utf-8", headers=headers)
