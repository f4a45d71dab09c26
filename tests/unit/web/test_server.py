"""The server of the live page over real sockets: who is let in, what is sent, who is dropped."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from factories.live_runs import LiveRun, log_of

from benchmark.results.live_feed import requested_tails
from benchmark.web import server as module
from benchmark.web.page import assets, land_path
from benchmark.web.server import LiveServer
from benchmark.web.watch import Watch

BEGIN = 1_800_000_000.0
DEADLINE_S = 60
Test = Callable[[LiveServer, aiohttp.ClientSession], Coroutine[Any, Any, None]]


@pytest.fixture
def live(tmp_path: Path) -> LiveRun:
    return LiveRun(tmp_path, "20260101T000000Z-etcd-1-3n-60tps-aaaa", BEGIN)


@asynccontextmanager
async def serving(live: LiveRun, **options: float) -> AsyncIterator[tuple[LiveServer, aiohttp.ClientSession]]:
    server = LiveServer(Watch(live.path), **options)
    async with asyncio.timeout(DEADLINE_S), server.serving(), aiohttp.ClientSession() as session:
        yield server, session


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition; the deadline is that of `serving`."""
    while not condition():
        await asyncio.sleep(0.01)


async def messages(answer: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    async for line in answer.content:
        if line.startswith(b"data: "):
            yield json.loads(line.removeprefix(b"data: "))


def test_the_page_is_complete_and_asks_for_nothing_elsewhere(live: LiveRun) -> None:
    async def look() -> None:
        async with serving(live) as (server, session):
            for name in assets():
                async with session.get(server.url + name) as answer:
                    assert answer.status == 200, name
                    text = await answer.text()
                    assert "http://" not in text.replace("http://www.w3.org/", ""), name
                    policy = answer.headers["Content-Security-Policy"]
                    assert "default-src 'none'" in policy
                    assert "unsafe" not in policy
                    assert answer.headers["Referrer-Policy"] == "no-referrer"
                    assert answer.headers["Cache-Control"] == "no-store"
                    assert "Access-Control-Allow-Origin" not in answer.headers
                    assert "Set-Cookie" not in answer.headers

    asyncio.run(look())


@pytest.mark.parametrize("path", ["", "stream", "report", "logs/node-0", "live.js"])
@pytest.mark.parametrize("token", ["", "x", "{token}x", "%FF", "{half}", ".."])
def test_without_the_token_there_is_nothing(live: LiveRun, path: str, token: str) -> None:
    async def look() -> None:
        async with serving(live) as (server, session):
            parts = urlsplit(server.url)
            real = parts.path.strip("/")
            wrong = token.format(token=real, half=real[: len(real) // 2]) if "{" in token else token
            async with session.get(f"http://{parts.netloc}/{wrong}/{path}") as answer:
                assert answer.status == 404
                assert await answer.text() == "not found\n"
                assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]

    asyncio.run(look())


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:{port}", "[::1]:{port}"]
)
def test_another_name_in_the_host_header_is_rejected(live: LiveRun, host: str) -> None:
    async def look() -> None:
        async with serving(live) as (server, session):
            port = urlsplit(server.url).port
            for path, expected in (("", 421), ("stream", 421)):
                async with session.get(server.url + path, headers={"Host": host.format(port=port)}) as answer:
                    assert answer.status == expected
            async with session.get(server.url, headers={"Host": f"localhost:{port}"}) as answer:
                assert answer.status == 200

    asyncio.run(look())


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_changed(live: LiveRun, method: str) -> None:
    async def look() -> None:
        async with serving(live) as (server, session), session.request(method, server.url) as answer:
            assert answer.status == 404

    asyncio.run(look())


def test_only_this_machine_reaches_it(live: LiveRun) -> None:
    async def look() -> None:
        async with serving(live) as (server, _):
            assert urlsplit(server.url).hostname == "127.0.0.1"
            with socket.socket(socket.AF_INET) as other:  # all of 127.0.0.0/8 is this machine
                assert other.connect_ex(("127.0.0.2", urlsplit(server.url).port or 0)) != 0

    asyncio.run(look())


def test_every_server_has_its_own_token(live: LiveRun) -> None:
    tokens = {urlsplit(LiveServer(Watch(live.path)).url).path for _ in range(20)}
    assert len(tokens) == 20
    assert min(map(len, tokens)) >= 32


def test_a_viewer_gets_everything_so_far_then_what_is_new(live: LiveRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_S", 0.01)
    live.measure(16, 20)

    async def look() -> None:
        async with serving(live) as (server, session):
            await until(lambda: server.watch.run and server.watch.run.state.status == "running")
            async with session.get(f"{server.url}stream") as answer:
                assert answer.content_type == "text/event-stream"
                stream = messages(answer)
                first = [await anext(stream) for _ in range(7)]
                assert [each["kind"] for each in first] == [
                    "reset", "header", "events", "samples", "state", "runs", "steps",
                ]  # fmt: skip
                assert len(first[3]["value"]) == 3
                live.measure(22, 22)
                fresh = [await anext(stream), await anext(stream)]
                assert {each["kind"] for each in fresh} == {"events", "samples"}

    asyncio.run(look())


def test_the_end_of_the_server_is_the_last_message(live: LiveRun) -> None:
    async def look() -> None:
        async with aiohttp.ClientSession() as session:
            server = LiveServer(Watch(live.path))
            async with server.serving():
                answer = await session.get(f"{server.url}stream")
                await until(lambda: server.viewers)
            kinds = [each["kind"] async for each in messages(answer)]
            assert kinds[-1] == "closed"

    asyncio.run(asyncio.wait_for(look(), DEADLINE_S))


def test_a_viewer_that_reads_nothing_is_dropped_and_the_others_are_not(live: LiveRun) -> None:
    async def look() -> None:
        async with serving(live, stalled_s=4.0) as (server, session):
            parts = urlsplit(server.url)
            with socket.socket(socket.AF_INET) as stalled:
                stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                stalled.connect((parts.hostname, parts.port))
                stalled.sendall(f"GET {parts.path}stream HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
                async with session.get(f"{server.url}stream") as answer:
                    await until(lambda: server.viewers == 2)
                    big = json.dumps({"kind": "steps", "value": "x" * 200_000})
                    reading = asyncio.create_task(read_until_end(answer))
                    while not server.dropped:
                        server.publish([big])
                        await asyncio.sleep(0.02)
                    assert server.viewers == 1
                    server.publish(['{"kind":"last"}'])
                    assert (await reading) > 0
            assert server.dropped == 1

    async def read_until_end(answer: aiohttp.ClientResponse) -> int:
        size = 0
        while True:
            chunk = await answer.content.readany()
            size += len(chunk)
            if not chunk or b'"last"' in chunk:
                return size

    asyncio.run(look())


def test_a_viewer_for_whom_too_much_waits_is_dropped(live: LiveRun) -> None:
    async def look() -> None:
        async with serving(live) as (server, session), session.get(f"{server.url}stream"):
            await until(lambda: server.viewers)
            for _ in range(1000):  # without a pause in which something could be sent
                server.publish(['{"kind":"steps","value":[]}'])
            assert (server.viewers, server.dropped) == (0, 1)

    asyncio.run(look())


def test_viewers_beyond_the_limit_are_told_so(live: LiveRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_VIEWERS", 1)

    async def look() -> None:
        async with serving(live) as (server, session), session.get(f"{server.url}stream"):
            await until(lambda: server.viewers)
            async with session.get(f"{server.url}stream") as answer:
                assert answer.status == 503

    asyncio.run(look())


def test_a_viewer_that_leaves_is_forgotten(live: LiveRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ALIVE_S", 0.01)

    async def look() -> None:
        async with serving(live) as (server, session):
            async with session.get(f"{server.url}stream"):
                await until(lambda: server.viewers)
            await until(lambda: not server.viewers)
            assert server.dropped == 0

    asyncio.run(look())


def test_a_log_is_requested_from_the_runner_and_shown(live: LiveRun) -> None:
    async def look() -> None:
        async with serving(live) as (server, session):
            await until(lambda: server.watch.run and server.watch.run.header.processes)
            async with session.get(f"{server.url}logs/node-1") as answer:
                assert answer.status == 204
            assert requested_tails(live.path, ["node-0", "node-1"]) == ["node-1"]
            log_of(live.path, "node-1", "one\ntwo <b>\n")
            async with session.get(f"{server.url}logs/node-1") as answer:
                assert answer.content_type == "text/plain"
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert await answer.text() == "one\ntwo <b>\n"

    asyncio.run(look())


def test_after_the_run_the_collected_log_is_shown(live: LiveRun) -> None:
    (live.path / "logs" / "us-east-1-0").mkdir(parents=True)
    (live.path / "logs" / "us-east-1-0" / "node-0.log.gz").write_bytes(gzip.compress(b"x" * 100_000 + b"the end \xff"))
    live.close()

    async def look() -> None:
        async with serving(live) as (server, session):
            await until(lambda: server.watch.run and server.watch.run.state.ended)
            async with session.get(f"{server.url}logs/node-0") as answer:
                text = await answer.text()
                assert len(text) == 32 * 1024
                assert text.endswith("the end \ufffd")
            assert not (live.path / "live" / "wanted.json").exists()

    asyncio.run(look())


@pytest.mark.parametrize("name", ["node-7", "..%2F..%2Fmanifest", "..%2f..%2f..%2fetc%2fpasswd", "%00", "node-0%0a"])
def test_only_logs_of_processes_of_the_run_are_shown(live: LiveRun, name: str) -> None:
    async def look() -> None:
        async with serving(live) as (server, session):
            await until(lambda: server.watch.run and server.watch.run.header.processes)
            async with session.get(f"{server.url}logs/{name}") as answer:
                assert answer.status == 404
            assert not (live.path / "live" / "wanted.json").exists()

    asyncio.run(look())


def test_a_report_is_shown_in_a_sandbox(live: LiveRun) -> None:
    async def look() -> None:
        async with serving(live) as (server, session):
            async with session.get(f"{server.url}report") as answer:
                assert answer.status == 404
            (live.path / "report.html").write_text("<p>report</p>")
            async with session.get(f"{server.url}report") as answer:
                assert await answer.text() == "<p>report</p>"
                assert answer.headers["Content-Security-Policy"].startswith("sandbox allow-scripts; default-src 'none'")

    asyncio.run(look())


def test_the_land_of_the_map_is_an_svg_path() -> None:
    path = land_path()
    assert path.count("M") == path.count("Z") > 50
    assert set(path) <= set("MLZ0123456789.- ")
