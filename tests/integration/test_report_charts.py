"""Charts of reports in a real browser: their values, keyboard and pointer; contrast and width of all pages."""

from __future__ import annotations

import csv
import gzip
import io
import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from browser import DARK, Browser
from factories.result_factory import (
    START,
    breakdown,
    store_breakdown,
    use_latency_logs,
    write_run,
    write_search,
    write_sweep,
)

from benchmark.report import write_report
from benchmark.report.chart import Chart
from benchmark.report.page import charts_of
from benchmark.report.run_data import read_record
from benchmark.report.search_data import read_search_record
from benchmark.report.search_page import charts_of_search
from benchmark.report.sweep_page import read_sweep_record

pytestmark = pytest.mark.integration

PROBE = (Path(__file__).parent / "report_probe.js").read_text(encoding="utf-8")
LOG = "us-east-1-0/node-0.log.gz"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    results = tmp_path_factory.mktemp("results")
    run = write_run(results / "dev" / "run")
    use_latency_logs(run)
    store_breakdown(run, breakdown())
    log = run / "logs" / LOG
    log.parent.mkdir(parents=True)
    times = [datetime.fromtimestamp(START + second, UTC) for second in range(30)]
    lines = "".join(f"{time:%Y-%m-%dT%H:%M:%S}.5Z <b>second</b> {second}\n" for second, time in enumerate(times))
    log.write_bytes(gzip.compress(lines.encode()))
    return {
        "run": run,
        "sampled": write_run(results / "dev" / "sampled"),
        "sweep": write_sweep(results, {"": {}}, loads=(30, 120), repeat=2),
        "comparison": write_sweep(results, {"a": {}, "b": {"slower": 1.3}}, loads=(60,), repeat=4),
        "search": write_search(results),
    }


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Browser:
    return Browser(tmp_path_factory.mktemp("browser"))


@pytest.fixture(scope="module")
def values(browser: Browser, folders: dict[str, Path]) -> dict[str, list[Any]]:
    """What the pointer shows at every point of every chart, by page."""
    pages = {name: (write_report(folder), 1000) for name, folder in folders.items()}
    script = "const look = (frames) => Object.fromEntries(Object.entries(frames).map(([k, v]) => [k, valuesOf(v)]));"
    found: dict[str, list[Any]] = browser.look(pages, PROBE + script)
    return found


def table(charts: list[Chart], name: str) -> list[dict[str, str]]:
    (chart,) = (chart for chart in charts if chart.name == name)
    return list(csv.DictReader(io.StringIO(chart.csv())))


def number(text: str) -> float:
    """Return the number that a tooltip shows, without its unit."""
    return float(text.replace("\N{MINUS SIGN}", "-").replace("p", "").split("\N{NO-BREAK SPACE}")[0].split()[0])


def close(shown: str, stored: str, scale: float = 1.0) -> bool:
    if shown == "unknown" or not stored:
        return shown == "unknown" and not stored
    return math.isclose(number(shown), float(stored) * scale, rel_tol=6e-4, abs_tol=1e-9)


def shown_at(found: list[Any], chart: str) -> Iterator[tuple[str, dict[str, str]]]:
    return ((title, dict(rows)) for name, title, rows, _ in found if name == chart)


def test_pointer_shows_the_values_of_the_csv_over_time(values: dict[str, Any], folders: dict[str, Path]) -> None:
    for page in ("run", "sampled"):
        charts = charts_of(read_record(folders[page]))
        for chart, columns in (
            ("load", {"sent": ("sent_tps", 1.0), "completed": ("completed_tps", 1.0)}),
            ("latency", {"mean": ("mean_s", 1000.0), "p50": ("p50_s", 1000.0), "p99": ("p99_s", 1000.0)}),
        ):
            rows = {float(row["time_s"]): row for row in table(charts, chart)}
            seen = set()
            for title, shown in shown_at(values[page], chart):
                at = min(rows, key=lambda time: abs(time - number(title)))
                seen.add(at)
                for series, (column, scale) in columns.items():
                    assert close(shown[series], rows[at][column], scale), (page, chart, title, series)
            assert seen == {at for at, row in rows.items() if any(row[column] for column, _ in columns.values())}


def test_pointer_shows_the_values_of_the_csv_by_percentile_and_host(
    values: dict[str, Any], folders: dict[str, Path]
) -> None:
    charts = charts_of(read_record(folders["run"]))
    rows = table(charts, "distribution")
    shown = list(shown_at(values["run"], "distribution"))
    assert len(shown) == len(rows)
    for title, cells in shown:
        name, latency = "all clients", cells["all clients"]
        near = [row for row in rows if row["region"] == "all" and abs(float(row["percentile"]) - number(title)) < 2e-4]
        if near:  # regions have fewer transactions, so their curves end at another percentile
            assert any(close(latency, row["latency_s"], 1000.0) for row in near), (title, name)
    hosts = table(charts, "hosts")
    for title, cells in shown_at(values["run"], "hosts"):
        for host, text in cells.items():
            near = [row for row in hosts if row["host"] == host and abs(float(row["time_s"]) - number(title)) < 0.06]
            column, scale = ("cpu_busy", 100.0) if "%" in text else ("sent_bytes_per_s", 1e-6)
            assert any(
                math.isclose(number(text), float(row[column]) * scale, rel_tol=2e-3, abs_tol=0.02) for row in near
            )


def test_pointer_shows_the_values_of_the_csv_at_points(values: dict[str, Any], folders: dict[str, Path]) -> None:
    for page in ("sweep", "comparison"):
        charts = list(read_sweep_record(folders[page]).charts)
        rows = table(charts, "curve")
        medians = {(row["variant"], row["metric"], row["requested_tps"]): float(row["median"]) for row in rows}
        throughput = [value for (_, metric, _), value in medians.items() if metric == "completed_tps"]
        latencies = [value * 1000 for (_, metric, _), value in medians.items() if metric.endswith("_s")]
        shown = list(shown_at(values[page], "curve"))
        assert len(shown) >= 4
        for _, cells in shown:
            assert any(close(cells["throughput"], str(value)) for value in throughput)
            assert any(close(cells["latency"], str(value)) for value in latencies)
        for _, cells in shown_at(values[page], "achieved"):
            assert any(close(cells["completed"], str(value)) for value in throughput)
    rows = table(list(charts_of_search(read_search_record(folders["search"]))), "search")
    seen = set()
    for title, cells in shown_at(values["search"], "search"):
        (name,) = cells.keys() - {"requested load", ""}
        column, scale = ("p99_s", 1000.0) if name == "p99 latency" else ("completed_tps", 1.0)
        load = cells.get("requested load", cells.get(""))
        near = [row for row in rows if load is None or close(load, row["requested_tps"])]
        near = [row for row in near if row[column] and close(cells[name], row[column], scale)]
        assert any(row["met"] == str(title == "met") for row in near), (title, cells)
        seen |= {row["step"] for row in near}
    assert seen == {row["step"] for row in rows if row["p99_s"]}


def test_charts_can_be_used_with_the_keyboard_and_show_the_log(browser: Browser, folders: dict[str, Path]) -> None:
    page = write_report(folders["run"])
    found = browser.look({"run": (page, 1000)}, PROBE + 'const look = ({ run }) => used(run, "latency", "p99");')
    assert found["focused"]
    assert found["keyFocused"]
    said = found["first"].replace("\N{NO-BREAK SPACE}", " ")
    assert re.match(r"\N{MINUS SIGN}?[\d.]+ s · \d\d:\d\d:\d\d\.\d UTC, max [\d.]+ ms, p99 ", said)
    assert found["second"] != found["first"]
    assert found["moved"]
    assert len(found["zoomed"]) >= 3
    assert found["others"] == ["load", "latency", "regional", "hosts"], "charts over time are enlarged together"
    assert found["reset"]
    assert found["restored"]
    assert found["pressed"] == "false"
    assert "p99" not in found["without"]
    assert len(found["dragged"]) >= 3
    assert found["restoredAgain"]
    texts = [text for _, _, text in found["log"]]
    assert any("<b>second</b>" in text for text in texts), "as text, not as markup"
    assert set(found["links"]) == {f"logs/{LOG}"}
    assert len(found["log"]) >= 10


@pytest.mark.parametrize("flags", [(), (DARK,)], ids=["light", "dark"])
def test_pages_are_legible_and_reachable_at_each_width(
    flags: tuple[str, ...], browser: Browser, folders: dict[str, Path]
) -> None:
    pages = {name: write_report(folder) for name, folder in folders.items()}
    frames = {f"{name} {width}": (page, width) for name, page in pages.items() for width in (390, 1000)}
    look = "const look = (frames) => Object.fromEntries(Object.entries(frames).map(([name, frame]) => "
    found = browser.look(frames, f"{PROBE}{look}[name, [faint(frame), reach(frame)]]));", *flags)
    for name, (contrast, reached) in found.items():
        assert contrast["count"] > 50, name
        assert contrast["found"] == [], name
        assert reached == {"width": frames[name][1], "wide": 0, "stuck": [], "unnamed": []}, name


def test_without_scripts_the_page_is_the_drawing(browser: Browser, folders: dict[str, Path]) -> None:
    look = "const look = ({ run }) => run.contentDocument.documentElement.outerHTML;"
    frames = {"run": (write_report(folders["run"]), 1000)}
    without, enhanced = (browser.look(frames, look, scripts=scripts) for scripts in (False, True))
    assert without.count('role="img"') == without.count("<svg ") >= 5
    for added in ('class="key"', 'class="bar"', 'class="tip"'):
        assert added in enhanced
        assert added not in without
