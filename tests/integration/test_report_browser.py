"""Reports in a real browser: self-contained, readable in light, dark and print."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from browser import DARK, Browser
from factories.result_factory import (
    breakdown,
    store_breakdown,
    use_latency_logs,
    write_run,
    write_search,
    write_sweep,
)
from matplotlib.image import imread
from numpy.typing import NDArray

from benchmark.report import write_report
from benchmark.report.palette import PALETTE

pytestmark = pytest.mark.integration

Picture = NDArray[np.float64]


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    return Browser(tmp_path)


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    results = tmp_path_factory.mktemp("results")
    folders = {
        "run": write_run(results / "dev" / "run"),
        "sweep": write_sweep(results, {"": {}}, loads=(30, 120), repeat=2),
        "comparison": write_sweep(results, {"a": {}, "b": {"slower": 1.3}}, loads=(60,), repeat=4),
        "search": write_search(results),
    }
    use_latency_logs(folders["run"])
    store_breakdown(folders["run"], breakdown())
    return {name: write_report(folder) for name, folder in folders.items()}


def picture(browser: Browser, page: Path, path: Path, *flags: str, width: int = 1100) -> Picture:
    """Return a picture of the first 3000 rows of a page: shape (rows, columns, 3), 0 to 1."""
    browser.open(page, f"--window-size={width},3000", f"--screenshot={path}", *flags)
    return np.asarray(imread(path)[..., :3], dtype=np.float64)


def colour(text: str) -> list[float]:
    return [int(text[at : at + 2], 16) / 255 for at in (1, 3, 5)]


def share_of(seen: Picture, text: str) -> float:
    """Return the share of pixels that have just this colour."""
    return float((np.abs(seen - colour(text)).max(axis=2) < 0.004).mean())


@pytest.mark.parametrize("name", ["run", "sweep", "comparison", "search"])
def test_light_and_dark_show_the_same_page(
    name: str, reports: dict[str, Path], browser: Browser, tmp_path: Path
) -> None:
    light = picture(browser, reports[name], tmp_path / "light.png")
    dark = picture(browser, reports[name], tmp_path / "dark.png", DARK)
    for seen, other, mode in ((light, "dark", "light"), (dark, "light", "dark")):
        assert share_of(seen, getattr(PALETTE["page"], mode)) > 0.5
        assert share_of(seen, getattr(PALETTE["page"], other)) < 0.002
        for role in ("ink", "muted", "blue"):
            assert share_of(seen, getattr(PALETTE[role], mode)) > 0.0002, f"{role} is drawn"


def asked_of(browser: Browser, page: Path, log: Path) -> tuple[str, set[str]]:
    """Return the page as the browser understood it and the hosts it asked for something, its maker's left out."""
    dom = browser.open(page, "--dump-dom", "--host-resolver-rules=MAP * ~NOTFOUND", f"--log-net-log={log}")
    hosts = set(re.findall(r'"url":"https?://([^/"]+)', log.read_text()))
    return dom, {host for host in hosts if not host.endswith((".google.com", ".googleapis.com"))}


def test_page_is_complete_and_makes_no_request(reports: dict[str, Path], browser: Browser, tmp_path: Path) -> None:
    canary = tmp_path / "canary.html"
    canary.write_text('<img src="http://canary.invalid/x.png">')
    assert asked_of(browser, canary, tmp_path / "log")[1] == {"canary.invalid"}, "a request would be seen"
    for name, charts in (("run", 10), ("sweep", 2), ("comparison", 3), ("search", 1)):
        dom, hosts = asked_of(browser, reports[name], tmp_path / "log")
        assert hosts == set()
        assert dom.count("<svg ") == charts
        assert dom.rstrip().endswith("</html>")


@pytest.mark.parametrize("name", ["run", "search"])
@pytest.mark.parametrize("width", [400, 1100])
def test_nothing_is_wider_than_the_window(
    name: str, width: int, reports: dict[str, Path], browser: Browser, tmp_path: Path
) -> None:
    """Wide tables and charts scroll inside their box: the right margin stays empty at any width."""
    seen = picture(browser, reports[name], tmp_path / "page.png", width=width)
    assert seen.shape[1] == width
    assert np.abs(seen[:, -6:] - colour(PALETTE["page"].light)).max() < 0.01


def test_page_prints_with_embedded_fonts(reports: dict[str, Path], browser: Browser, tmp_path: Path) -> None:
    paper = tmp_path / "report.pdf"
    browser.open(reports["run"], "--no-pdf-header-footer", f"--print-to-pdf={paper}", DARK)
    told = {
        tool: subprocess.run(command, capture_output=True, text=True, check=True).stdout
        for tool, command in {
            "info": ["pdfinfo", str(paper)],
            "text": ["pdftotext", "-layout", str(paper), "-"],
            "fonts": ["pdffonts", str(paper)],
        }.items()
    }
    assert "A4" in told["info"]
    pages = int(told["info"].partition("Pages:")[2].split()[0])
    assert 2 <= pages <= 8
    for text in (
        "Configuration",
        "Latency over time",
        "time since the measured window began",
        "geobench run",
    ):
        assert text in told["text"]
    assert "etcd --name=node-0" in told["text"], "what is folded on a screen is open on paper"
    assert all(line.split()[-5] == "yes" for line in told["fonts"].splitlines()[2:]), "fonts are embedded"
    subprocess.run(["pdftoppm", "-r", "40", "-png", "-f", "1", "-l", "1", paper, tmp_path / "page"], check=True)
    (first,) = tmp_path.glob("page-*.png")
    seen = np.asarray(imread(first)[..., :3], dtype=np.float64)
    assert seen.mean() > 0.8, "dark on light, whatever the screen has"


def test_search_report_prints_unscaled(reports: dict[str, Path], browser: Browser, tmp_path: Path) -> None:
    """A browser shrinks a page until its widest part fits the paper; here that is the table of the steps."""
    paper = tmp_path / "search.pdf"
    browser.open(reports["search"], "--no-pdf-header-footer", f"--print-to-pdf={paper}")
    told = subprocess.run(["pdftotext", "-bbox", str(paper), "-"], capture_output=True, text=True, check=True).stdout
    heading = re.search(r'yMin="([\d.]+)" xMax="[\d.]+" yMax="([\d.]+)">Steps</word>', told)
    assert heading
    points = float(heading[2]) - float(heading[1])
    assert points > 1.25 * 11 * 0.75, (
        "a heading is 1.25 times 11 px, of 0.75 points each, and lines are higher than that"
    )
    for text in ("tx/s", "confirmed", "killed", "invalid", "latency"):
        assert f">{text}</word>" in told
