"""Serve a page until Ctrl-C: say where it is, and open it in a browser."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from typing import Protocol

import click

from benchmark.cli.live_page import open_page
from benchmark.errors import UsageError


class Page(Protocol):
    """A server of a page."""

    @property
    def url(self) -> str:
        """Its address, with a secret."""

    def serving(self, port: int) -> contextlib.AbstractAsyncContextManager[None]:
        """Serve on `port`, any free one if 0, until the block is left."""


def serve_page(page: Page, name: str, port: int = 0, *, as_json: bool = False, in_browser: bool = True) -> None:
    """Serve `page` until Ctrl-C, and print its address after `name`; UsageError if the port is taken."""

    async def serve() -> None:
        with contextlib.ExitStack() as stack:
            async with page.serving(port):
                click.echo(json.dumps({"page": page.url}) if as_json else f"{name}: {page.url} (Ctrl-C stops it)")
                sys.stdout.flush()
                if in_browser:
                    open_page(page.url, stack)
                await asyncio.Event().wait()

    try:
        asyncio.run(serve())
    except OSError as error:
        raise UsageError(f"cannot listen on port {port}: {error.strerror}; pass another --port") from None
