"""The index of results in a real browser: filters, trend, comparison; light, dark, 390 px and with the keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from factories.result_factory import failed, manifest, store_run, store_sweep, summary
from fakes.browser import Browser, browser, lowest_contrast, text, wait_text
from fakes.served_page import served_page
from waiting import wait_for

from benchmark.results.catalogue import Selection
from benchmark.results.tags import change_tags
from benchmark.web.index import ResultsServer

pytestmark = pytest.mark.integration

IDS = [f"202601{day:02}T000000Z-etcd" for day in range(1, 9)]
HOSTILE = "<img src=x onerror=alert(1)>"
COUNT = "document.querySelectorAll('#rows tr').length"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three nightly runs, one of another load, one that failed, and a sweep of two runs."""
    folder = tmp_path_factory.mktemp("results")
    for index, run_id in enumerate(IDS[:3]):
        path = store_run(folder, summary(run_id, latency=0.1 + index / 10), manifest(run_id=run_id, name="nightly"))
        change_tags(path, ["paper"])
    store_run(folder, summary(IDS[3], load=200), manifest(run_id=IDS[3], name=HOSTILE))
    store_run(folder, failed(IDS[4]))
    store_sweep(folder, [("", summary(IDS[5], load=300)), ("", summary(IDS[6], load=300))])
    return folder


@pytest.fixture(scope="module")
def server(results: Path) -> Iterator[ResultsServer]:
    with served_page(ResultsServer(results, Selection())) as serving:
        yield serving


def opened(page: Browser, server: ResultsServer, *, dark: bool = False) -> None:
    page.open("about:blank")
    page.complaints.clear()
    page.resize(1200, dark=dark)
    page.open(server.url)
    wait_text(page, "#state", "6 of 8 results")


def choose(page: Browser, name: str, value: str) -> None:
    page.evaluate(
        f"(() => {{ const chosen = document.getElementById('{name}'); chosen.value = {value!r}; "
        "chosen.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )


def tick(page: Browser, run_id: str) -> None:
    page.evaluate(f"document.querySelector('[aria-label=\"compare {run_id}\"]').click()")


def arrived(page: Browser, condition: str) -> bool:
    """Return whether a condition holds in a page that is loaded; between two pages there is nothing to ask."""
    with suppress(AssertionError):
        return bool(page.evaluate(f"document.readyState === 'complete' && {condition}"))
    return False


def test_filters_select_and_names_stay_text(page: Browser, server: ResultsServer) -> None:
    opened(page, server)
    assert HOSTILE in text(page, "#rows")
    assert page.evaluate("document.querySelectorAll('#rows img').length") == 0
    for name, value, count in (("status", "failed", 1), ("tag", "paper", 3), ("name", HOSTILE, 1), ("text", IDS[1], 1)):
        choose(page, name, value)
        wait_for(lambda count=count: page.evaluate(COUNT) == count, f"{name} {value}")  # type: ignore[misc]
        choose(page, name, "")
    page.evaluate("document.getElementById('runs').click()")
    wait_text(page, "#state", "8 of 8")
    assert page.complaints == []


def test_a_trend_shows_valid_runs_of_one_load_only(page: Browser, server: ResultsServer) -> None:
    opened(page, server)
    groups = page.evaluate("[...document.getElementById('group').options].map((each) => each.textContent)")
    assert len(groups) == 3
    assert "100 tx/s" in groups[0]
    assert groups[0].endswith("(3)")
    label = "document.getElementById('chart').getAttribute('aria-label')"
    assert "3 runs, first to last: p50 100 to 300 ms, p99 100 to 300 ms" in page.evaluate(label)
    assert "1 other run not drawn" in text(page, "#trend-note")
    assert page.evaluate("document.querySelectorAll('#chart canvas').length") == 1
    page.evaluate("document.querySelector('[data-metric=rate]').click()")
    assert "completed 100 to 100 tx/s" in page.evaluate(label)
    choose(page, "status", "failed")
    wait_text(page, "#no-trend", "no valid run")
    assert page.complaints == []


def test_two_ticked_results_are_compared_and_back_keeps_them(page: Browser, server: ResultsServer) -> None:
    opened(page, server)
    tick(page, IDS[2])
    assert page.evaluate("document.getElementById('compare').disabled")
    choose(page, "tag", "paper")
    tick(page, IDS[0])
    page.evaluate("document.getElementById('compare').click()")
    wait_for(lambda: arrived(page, "location.pathname.endsWith('/compare')"), "the comparison")
    assert IDS[0] in text(page, "body")
    query = page.evaluate("location.search")
    assert query.index(IDS[0]) < query.index(IDS[2]), "A is the older one"
    page.evaluate("history.back()")
    wait_for(lambda: arrived(page, "!!document.querySelector('#rows tr')"), "the index")
    assert page.evaluate("document.querySelectorAll('#rows input:checked').length") == 2
    assert page.evaluate("document.getElementById('tag').value") == "paper"


@pytest.mark.parametrize("dark", [False, True])
def test_texts_can_be_read_and_nothing_is_wider_than_the_window(
    page: Browser, server: ResultsServer, dark: bool
) -> None:
    opened(page, server, dark=dark)
    tick(page, IDS[0])
    for width in (390, 700, 1200):
        page.resize(width, dark=dark)
        wait_for(
            lambda width=width: page.evaluate("document.documentElement.scrollWidth") <= width,  # type: ignore[misc]
            f"{width} px are enough",
        )
        ratio, where = lowest_contrast(page)
        assert ratio >= 4.5, where
    assert page.complaints == []


def test_everything_can_be_reached_with_the_keyboard(page: Browser, server: ResultsServer) -> None:
    opened(page, server)
    reached = []
    for _ in range(60):
        page.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break
        name = page.evaluate(
            "(({id, ariaLabel, innerText}) => id || ariaLabel || innerText)(document.activeElement)",
        )
        assert page.evaluate("document.activeElement.matches(':focus-visible')"), f"the focus on {name} is invisible"
        reached.append(str(name))
        if name in (f"compare {IDS[0]}", f"compare {IDS[1]}"):
            page.press(" ")
    for name in ("text", "status", "protocol", "name", "tag", "runs", "group", "throughput", IDS[0]):
        assert name in reached
    assert not page.evaluate("document.getElementById('compare').disabled")
