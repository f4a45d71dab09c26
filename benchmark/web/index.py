"""The index of all results as a page: a table with filters, trends, and the reports that it leads to.

The page gets every selected entry of the catalogue at once and filters by itself. Reports are read from the results
folder, and written there if they are missing or older than what they show.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from aiohttp import web
from pydantic_core import to_json

from benchmark.compare.comparison import find_variants
from benchmark.errors import TestbedError, UsageError
from benchmark.report import REPORT, comparison_page, write_report
from benchmark.results.catalogue import Entry, Selection, catalogue
from benchmark.results.layout import COLLECTIONS, SUMMARY
from benchmark.web.page import error_page, index_assets
from benchmark.web.site import LocalSite, report_response

_FIELDS = (
    "folder", "kind", "state", "saturated", "reason", "name", "tags", "protocol", "commit", "nodes", "clients",
    "requested_tps", "completed_tps", "p50_s", "p99_s", "failed", "faults", "part_of",
)  # fmt: skip
"""What the page gets of an entry, besides when it began and its number of runs."""


class ResultsServer:
    """Serves the index of the results in a folder, as far as they are selected."""

    def __init__(self, results_dir: Path, selection: Selection) -> None:
        self._results_dir = results_dir
        self._selection = selection
        self._drawing = asyncio.Lock()
        routes = {"results.json": self._data, "compare": self._compare, "{testbed}/{id}/report.html": self._report}
        self._site = LocalSite(index_assets(), routes)

    @property
    def url(self) -> str:
        """The address of the page, with its token."""
        return self._site.url

    @contextlib.asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[None]:
        """Serve on `port`, any free one if 0, until the block is left; OSError if it is taken."""
        async with self._site.serving(port):
            yield

    async def _data(self, _: web.Request) -> web.StreamResponse:
        try:
            content = await asyncio.to_thread(self._entries)
        except UsageError as error:
            return web.Response(status=500, text=f"{error}\n")
        response = web.Response(body=content, content_type="application/json", charset="utf-8")
        response.enable_compression()
        return response

    def _entries(self) -> bytes:
        rows = [_row(each) for each in reversed(catalogue(self._results_dir)) if self._selection.matches(each)]
        columns = (*_FIELDS, "began", "runs")
        return to_json({"columns": columns, "rows": rows}, inf_nan_mode="null")

    async def _report(self, request: web.Request) -> web.StreamResponse:
        folder = self._folder(f"{request.match_info['testbed']}/{request.match_info['id']}")
        return await self._drawn(request, lambda: _report_of(folder))

    async def _compare(self, request: web.Request) -> web.StreamResponse:
        folders = [self._folder(request.query.get(side, "")) for side in ("a", "b")]

        def draw() -> bytes:
            if folders[0] == folders[1]:
                raise UsageError("A and B are the same result; tick two")
            a, b = find_variants(self._results_dir, list(map(str, folders)))
            return comparison_page(a, b, self._results_dir).encode()

        return await self._drawn(request, draw)

    def _folder(self, name: str) -> Path:
        """Return the folder of the result TESTBED/ID; HTTPNotFound if there is none, also for what links lead to."""
        testbed, _, result = name.partition("/")
        path = self._results_dir
        for part in (testbed, result):
            path /= part
            if part in ("", ".", "..") or "/" in part or "\0" in part or path.is_symlink() or not path.is_dir():
                raise web.HTTPNotFound
        return path

    async def _drawn(self, request: web.Request, draw: Callable[[], bytes]) -> web.StreamResponse:
        """Return a report, or a page that says why there is none; one at a time is drawn, beside the server's thread.

        Results may be damaged in any way, and the reader of a page does not see the terminal: no error is left out.
        """
        try:
            async with self._drawing:
                page = await asyncio.to_thread(draw)
        except TestbedError as error:
            status, text = 422, str(error)
        except OSError as error:
            status, text = 500, f"cannot read or write {error.filename}: {error.strerror}"
        except Exception as error:
            status, text = 500, f"could not draw this page: {error!r}"
        else:
            return report_response(page)
        page_text = error_page(text, f"/{request.match_info['token']}/")
        return web.Response(status=status, text=page_text, content_type="text/html")


def _row(entry: Entry) -> list[object]:
    began = entry.began
    return [*(getattr(entry, name) for name in _FIELDS), began.timestamp() if began else None, len(entry.runs)]


def _report_of(folder: Path) -> bytes:
    """Return the report in a folder, written first if there is none that is as new as the result."""
    path = folder / REPORT
    sources = [folder / name for name in (SUMMARY, *COLLECTIONS)]
    changed = max((each.stat().st_mtime for each in sources if each.exists()), default=0.0)
    if path.is_symlink() or not path.is_file() or path.stat().st_mtime < changed:
        write_report(folder)
    return path.read_bytes()
