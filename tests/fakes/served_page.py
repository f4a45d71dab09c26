"""Pages that are served while a browser looks at them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from benchmark.cli.serve import Page

Server = TypeVar("Server", bound=Page)


@contextmanager
def served_page(server: Server) -> Iterator[Server]:
    """Serve a page from another thread."""
    ready, over = threading.Event(), threading.Event()

    async def serve() -> None:
        async with server.serving(0):
            ready.set()
            while not over.is_set():
                await asyncio.sleep(0.05)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(60)
        yield server
    finally:
        over.set()
        thread.join(60)
