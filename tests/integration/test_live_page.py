"""The live page in a real browser: readable in each phase, during a fault, after the end, in light, dark and 390 px."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from factories.live_runs import FAULT, HOSTILE, REGIONS, LiveRun, log_of
from factories.result_factory import summary
from fakes.browser import Browser, browser, lowest_contrast, text, wait_text
from fakes.served_page import served_page
from waiting import wait_for

from benchmark.results.run_folder import SUMMARY
from benchmark.web.server import LiveServer
from benchmark.web.watch import Watch

pytestmark = pytest.mark.integration

RUN_ID = "20260101T000000Z-etcd-1-3n-60tps-aaaa"
CHARTS = ("rate", "errors", "latency", "cpu", "network")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def live(tmp_path: Path) -> LiveRun:
    return LiveRun(tmp_path, RUN_ID, time.time() - 30)


def drawn(page: Browser, chart: str) -> int:
    """Return how many pixels of a chart are not empty."""
    return int(
        page.evaluate(
            f"(() => {{ const canvas = document.querySelector('#chart-{chart} canvas'); if (!canvas) return 0;"
            "const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;"
            "let n = 0; for (let i = 3; i < data.length; i += 4) n += data[i] > 0; return n; })()"
        )
    )


def test_a_run_is_shown_while_it_is_in_progress(page: Browser, live: LiveRun) -> None:
    page.complaints.clear()
    live.measure(6, 24)
    with served_page(LiveServer(Watch(live.path))) as server:
        page.resize(1200)
        page.open(server.url)
        wait_text(page, "#title", RUN_ID)
        wait_text(page, "#badge", "running")
        wait_text(page, "#left", "run 2 of 5")
        assert "left of this run's load" in text(page, "#left")
        assert "left of the command" in text(page, "#left")
        assert "measure" in text(page, ".phases .now")
        wait_for(lambda: all(drawn(page, chart) > 500 for chart in CHARTS), "all charts are drawn")
        for region in REGIONS:
            assert region in text(page, "#regions")
        assert "294 ms" in text(page, "#regions")
        assert "146 ms" in page.evaluate("document.getElementById('places').textContent")
        assert "p99 294 ms" in page.evaluate("document.getElementById('places').textContent")
        live.fault(healed=False)
        live.measure(26, 28)
        wait_text(page, "#events", FAULT)
        assert HOSTILE.replace("\x1b", "") in text(page, "#events").replace("\x1b", ""), "text of hosts stays text"
        assert page.evaluate("document.querySelectorAll('#events img').length") == 0
        wait_text(page, "#tiles", "2 of 3")
        wait_for(lambda: page.evaluate("document.querySelectorAll('.arc.lost').length") == 1, "a lost round trip")
        live.fault(healed=True)
        wait_text(page, "#events", "healed")
    wait_text(page, "#connection", "`geobench watch` shows this run again")
    assert page.complaints == []


@pytest.mark.parametrize("dark", [False, True])
def test_texts_can_be_read_and_nothing_is_wider_than_the_window(page: Browser, live: LiveRun, dark: bool) -> None:
    live.measure(6, 24)
    live.fault(healed=True)
    live.measure(26, 28)
    with served_page(LiveServer(Watch(live.path))) as server:
        page.resize(1200, dark=dark)
        page.open(server.url)
        wait_text(page, "#events", "healed")
        for width in (390, 700, 1200):
            page.resize(width, dark=dark)
            wait_for(
                lambda width=width: page.evaluate("document.documentElement.scrollWidth") <= width,  # type: ignore[misc]
                f"{width} px are enough",
            )
            ratio, where = lowest_contrast(page)
            assert ratio >= 4.5, where


def test_everything_can_be_reached_with_the_keyboard(page: Browser, live: LiveRun) -> None:
    live.measure(6, 24)
    with served_page(LiveServer(Watch(live.path))) as server:
        page.resize(1200)
        page.open(server.url)
        wait_text(page, "#chart-network .legend", "us-east-1-0")
        reached = []
        for _ in range(60):
            page.press("Tab")
            if page.evaluate("document.activeElement === document.body"):
                break
            name = page.evaluate("document.activeElement.id || document.activeElement.innerText.replace(/\\s+/g, ' ')")
            if not page.evaluate("document.activeElement.matches(':focus-visible')"):
                pytest.fail(f"the focus on {name} is invisible")
            reached.append(str(name))
            if reached[-1] == "scheduled 60":
                page.press(" ")
                assert page.evaluate("document.activeElement.getAttribute('aria-pressed')") == "false"
        for name in ("scheduled 60", "p50", "mean", "received", "process", "follow"):
            assert name in reached
        labels = page.evaluate(
            "[...document.querySelectorAll('[role=img]')].map((each) => each.getAttribute('aria-label'))"
        )
        assert any("Latency by region of the clients: us-east-1 124 ms" in label for label in labels), labels


def test_another_percentile_is_one_click_away(page: Browser, live: LiveRun) -> None:
    live.measure(6, 24)
    with served_page(LiveServer(Watch(live.path))) as server:
        page.resize(1200)
        page.open(server.url)
        wait_text(page, "#chart-latency .legend", "124 ms")
        page.evaluate("document.querySelector('[data-latency=p50_s]').click()")
        wait_text(page, "#chart-latency .legend", "60 ms")


def test_a_log_is_followed(page: Browser, live: LiveRun) -> None:
    live.measure(6, 24)
    with served_page(LiveServer(Watch(live.path))) as server:
        page.resize(1200)
        page.open(server.url)
        wait_text(page, "#title", RUN_ID)
        choose = (
            "(() => {{ const list = document.getElementById('process'); list.value = {}; "
            "list.dispatchEvent(new Event('change')); }})()"
        )
        wait_for(lambda: page.evaluate("document.getElementById('process').options.length") == 7, "all processes")
        page.evaluate(choose.format("'node-1'"))
        wait_text(page, "#log-state", "waiting for the runner")
        log_of(live.path, "node-1", HOSTILE)
        wait_text(page, "#log", "<img src=x onerror=alert(1)> red")
        log_of(live.path, "node-1", "one more line")
        wait_text(page, "#log", "one more line")


def test_the_result_and_the_next_run_replace_a_run(page: Browser, live: LiveRun, tmp_path: Path) -> None:
    page.complaints.clear()
    live.measure(6, 28)
    with served_page(LiveServer(Watch(live.path, latest=live.path.parent))) as server:
        page.resize(1200)
        page.open(server.url)
        wait_text(page, "#badge", "running")
        (live.path / "report.html").write_text("<!DOCTYPE html><title>report</title>")
        (live.path / SUMMARY).write_text(summary(RUN_ID, 60.0).to_json())
        live.close()
        wait_text(page, "#badge", "valid")
        wait_text(page, "#left", "this run has ended")
        assert "result" in text(page, "#tiles")
        wait_for(lambda: page.evaluate("!!document.querySelector('#subtitle a')"), "the link to the report")
        second = LiveRun(tmp_path, RUN_ID.replace("aaaa", "bbbb"), time.time() - 20)
        wait_text(page, "#title", "bbbb")
        second.measure(6, 16)
        wait_text(page, "#tiles", "60 tx/s")
        second.close()  # without a summary: it was killed
        wait_text(page, "#badge", "killed")
        wait_text(page, "#runs", "aaaa")
    assert page.complaints == []
