"""The server of the index of results over real sockets: what it lists, which reports it shows, who is let in."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import pytest
from factories.result_factory import TESTBED, failed, manifest, store_run, store_sweep, summary
from yarl import URL

from benchmark.results.catalogue import Selection
from benchmark.results.layout import LATEST
from benchmark.web.index import ResultsServer
from benchmark.web.page import error_page, index_assets

FIRST, SECOND = "20260101T000000Z-etcd", "20260102T000000Z-etcd"
HOSTILE = "</script><img src=x onerror=alert(1)>"
DEADLINE_S = 120
Look = Callable[[ResultsServer, aiohttp.ClientSession], Coroutine[Any, Any, None]]


@asynccontextmanager
async def serving(results: Path, selection: Selection) -> AsyncIterator[tuple[ResultsServer, aiohttp.ClientSession]]:
    server = ResultsServer(results, selection)
    async with asyncio.timeout(DEADLINE_S), server.serving(), aiohttp.ClientSession() as session:
        yield server, session


def serve(results: Path, look: Look, selection: Selection | None = None) -> None:
    async def run() -> None:
        async with serving(results, selection or Selection()) as (server, session):
            await look(server, session)

    asyncio.run(run())


def get(results: Path, path: str, selection: Selection | None = None, **headers: str) -> tuple[int, str, str]:
    """Return status, text and content security policy of one answer."""
    found: list[tuple[int, str, str]] = []

    async def look(server: ResultsServer, session: aiohttp.ClientSession) -> None:
        async with session.get(URL(f"{server.url}{path}", encoded=True), headers=headers) as answer:
            found.append((answer.status, await answer.text(), answer.headers["Content-Security-Policy"]))

    serve(results, look, selection)
    return found[0]


def entries(results: Path, selection: Selection | None = None) -> list[dict[str, Any]]:
    document = json.loads(get(results, "results.json", selection)[1])
    return [dict(zip(document["columns"], row, strict=True)) for row in document["rows"]]


def test_the_page_is_complete_and_asks_for_nothing_elsewhere(tmp_path: Path) -> None:
    async def look(server: ResultsServer, session: aiohttp.ClientSession) -> None:
        for name in index_assets():
            async with session.get(server.url + name) as answer:
                assert answer.status == 200, name
                assert "http://" not in (await answer.text()).replace("http://www.w3.org/", ""), name
                assert "unsafe" not in answer.headers["Content-Security-Policy"]
                assert answer.headers["Cache-Control"] == "no-store"

    serve(tmp_path, look)


def test_results_are_listed_newest_first_with_what_the_page_shows(tmp_path: Path) -> None:
    store_run(tmp_path, summary(FIRST, load=200, latency=0.12), manifest(name=HOSTILE))
    store_run(tmp_path, failed(SECOND))
    second, first = entries(tmp_path)
    assert (first["folder"], first["state"], first["name"]) == (f"{TESTBED}/{FIRST}", "ok", HOSTILE)
    assert (first["began"], first["requested_tps"], first["p99_s"]) == (1767225600, 200, 0.12)
    assert (second["state"], second["completed_tps"], second["p50_s"]) == ("failed", None, None)
    assert entries(tmp_path, Selection(states=["failed"])) == [second]


def test_the_runs_of_an_experiment_name_it(tmp_path: Path) -> None:
    sweep = store_sweep(tmp_path, [("", summary(FIRST)), ("", summary(SECOND))])
    found = {each["folder"].split("/")[1]: each for each in entries(tmp_path)}
    assert found[sweep.path.name]["runs"] == 2
    assert found[FIRST]["part_of"] == sweep.path.name


def test_new_results_are_there_when_the_page_is_loaded_again(tmp_path: Path) -> None:
    async def look(server: ResultsServer, session: aiohttp.ClientSession) -> None:
        for count, run_id in enumerate((FIRST, SECOND), 1):
            store_run(tmp_path, summary(run_id))
            async with session.get(f"{server.url}results.json") as answer:
                assert answer.headers["Content-Encoding"] in ("gzip", "deflate")
                assert len((await answer.json())["rows"]) == count

    serve(tmp_path, look)


@pytest.mark.parametrize("path", ["", "results.json", "compare", f"{TESTBED}/{FIRST}/report.html"])
def test_without_the_token_or_by_another_name_there_is_nothing(tmp_path: Path, path: str) -> None:
    folder = store_run(tmp_path, summary(FIRST))

    async def look(server: ResultsServer, session: aiohttp.ClientSession) -> None:
        parts = urlsplit(server.url)
        for token in ("x", parts.path.strip("/")[:-1], parts.path.strip("/") + "x"):
            async with session.get(f"http://{parts.netloc}/{token}/{path}") as answer:
                assert (answer.status, await answer.text()) == (404, "not found\n")
        async with session.get(server.url + path, headers={"Host": "evil.example"}) as answer:
            assert (answer.status, await answer.text()) == (421, "wrong host\n")

    serve(tmp_path, look)
    assert not (folder / "report.html").exists()


def test_a_missing_report_is_written_and_shown_in_a_sandbox(tmp_path: Path) -> None:
    folder = store_run(tmp_path, summary(FIRST))
    status, text, policy = get(tmp_path, f"{TESTBED}/{FIRST}/report.html")
    assert status == 200
    assert FIRST in text
    assert policy.startswith("sandbox allow-scripts; default-src 'none'")
    assert (folder / "report.html").read_text() == text


def test_a_report_that_is_as_new_as_its_result_is_not_written_again(tmp_path: Path) -> None:
    (store_run(tmp_path, summary(FIRST)) / "report.html").write_text("mine")
    assert get(tmp_path, f"{TESTBED}/{FIRST}/report.html")[:2] == (200, "mine")


def test_an_old_report_and_a_link_elsewhere_are_replaced(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    report = store_run(tmp_path / "results", summary(FIRST)) / "report.html"
    report.write_text("old")
    os.utime(report, (1, 1))
    assert FIRST in get(tmp_path / "results", f"{TESTBED}/{FIRST}/report.html")[1]
    report.unlink()
    report.symlink_to(secret)
    assert FIRST in get(tmp_path / "results", f"{TESTBED}/{FIRST}/report.html")[1]
    assert secret.read_text() == "secret"


@pytest.mark.parametrize(
    "path",
    [
        "..%2f{run}/report.html", "dev/..%2f..%2fother/report.html", "..%2f../{run}/report.html",
        "%2e%2e/other/report.html",
        "dev/%2e%2e/report.html", "dev/../report.html", "{testbed}/link/report.html", "{testbed}/latest/report.html",
        "{testbed}/%00/report.html", "{testbed}/{run}%2f..%2f{run}/report.html", "%2fetc/passwd/report.html",
        "{testbed}/{run}/summary.json", "compare?a=../other/x&b={testbed}/{run}",
        "compare?a=/etc/x&b=/etc/y", "compare",
        "compare?a={testbed}/{run}&b={testbed}/link",
    ],
)  # fmt: skip
def test_only_reports_of_results_in_the_folder_are_shown(tmp_path: Path, path: str) -> None:
    results = tmp_path / "results"
    inside, outside = store_run(results, summary(FIRST)), store_run(tmp_path / "other", summary(SECOND))
    for folder in (outside, outside.parent, tmp_path, tmp_path / "other"):
        (folder / "report.html").write_text("outside")
    (inside.parent / "link").symlink_to(outside)
    if not (inside.parent / LATEST).is_symlink():
        (inside.parent / LATEST).symlink_to(inside)
    status, text, _ = get(results, path.format(run=FIRST, testbed=TESTBED))
    assert (status, text) == (404, "not found\n")


def test_two_results_are_compared_with_links_to_their_reports(tmp_path: Path) -> None:
    for run_id, latency in ((FIRST, 0.1), (SECOND, 0.2)):
        store_run(tmp_path, summary(run_id, latency=latency), manifest(run_id=run_id))
    before = sorted(tmp_path.rglob("*"))
    status, text, policy = get(tmp_path, f"compare?a={quote(f'{TESTBED}/{FIRST}')}&b={quote(f'{TESTBED}/{SECOND}')}")
    assert status == 200
    assert policy.startswith("sandbox")
    assert f'href="{TESTBED}/{FIRST}/report.html"' in text
    assert sorted(tmp_path.rglob("*")) == before, "a comparison is not stored"


def test_results_that_cannot_be_compared_have_a_page_that_says_why(tmp_path: Path) -> None:
    store_run(tmp_path, summary(FIRST, load=100))
    store_run(tmp_path, summary(SECOND, load=200))
    status, text, policy = get(tmp_path, f"compare?a={TESTBED}/{FIRST}&b={TESTBED}/{SECOND}")
    assert status == 422
    assert "A and B have no load at which both have a valid run" in text
    assert policy.startswith("default-src 'none'; script-src 'self'")
    assert "the same result" in get(tmp_path, f"compare?a={TESTBED}/{FIRST}&b={TESTBED}/{FIRST}")[1]


def test_a_damaged_result_has_a_page_that_says_why(tmp_path: Path) -> None:
    folder = store_run(tmp_path, summary(FIRST))
    (folder / "summary.json").write_text(f'{{"{HOSTILE}": ')
    status, text, _ = get(tmp_path, f"{TESTBED}/{FIRST}/report.html")
    assert status in (422, 500)
    assert "There is no report to show" in text
    assert "Traceback" not in text
    assert [each["state"] for each in entries(tmp_path)] == ["damaged"]


def test_a_message_stays_text() -> None:
    page = error_page(f"no run {HOSTILE} ROOT", "/token/")
    assert HOSTILE not in page
    assert "&lt;img src=x onerror=alert(1)&gt; ROOT" in page
    assert 'href="/token/live.css"' in page
