"""Reports of runs."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from factories.faults import fault_record
from factories.page import Page
from factories.result_factory import START, write_run
from paths import DATA

from benchmark.metrics.samples import Series
from benchmark.report import write_report
from benchmark.results.run_folder import read_summary

RUN = DATA / "run"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("dev") / "one")


@pytest.fixture(scope="module")
def page(run: Path) -> Page:
    return Page(write_report(run))


def change(folder: Path, name: str, /, **changes: Any) -> None:
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_result_comes_first_with_its_interval(run: Path, page: Page) -> None:
    summary = read_summary(run)
    assert summary is not None
    assert summary.latency_s is not None
    claim = page.text.partition("Configuration")[0]
    assert f"{summary.completed_tps:.1f} ±" in claim
    p99 = summary.latency_s.p99
    assert p99.upper
    assert f"within {p99.lower * 1000:g}–{p99.upper * 1000:g} ms" in claim  # noqa: RUF001
    assert re.search(r"mean latency 1\d\d(\.\d+)? ms ± [\d.]+ ms, 99th percentile within", claim)
    assert "valid" in claim


def test_page_has_request_regions_and_commands_to_reproduce(page: Page) -> None:
    assert "etcd at 3.4.23-4" in page.text
    assert "geobench run --loads 60 --name 'two words'" in page.text
    assert "/somewhere" not in page.source
    assert "scrape_interval: 1s" in page.text
    for region in ("us-east-1", "eu-west-1", "ap-northeast-1"):
        assert region in page.text
    assert "91.0" in page.text  # a round trip as measured


def test_page_loads_no_other_file(page: Page) -> None:
    assert not page.all("link") + page.all("img") + page.all("iframe")
    assert not re.search(r"@import|url\((?!#)", page.source)
    for tag, attributes in page.elements:
        assert "src" not in attributes, tag
        for name in ("href", "xlink:href"):
            assert not re.match(r"(https?:)?//", attributes.get(name, "")), attributes


def test_page_is_accessible_to_screen_readers(page: Page) -> None:
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("svg")) == 7
    for svg in page.all("svg"):
        assert svg["role"] == "img"
        assert len(svg["aria-label"]) > 40
    assert len(page.all("caption")) == len(page.all("table")) > 3
    assert all(heading["scope"] in ("col", "row") for heading in page.all("th"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids)), "no two elements of one id"


def test_links_lead_to_existing_files(run: Path, page: Page) -> None:
    links = [a["href"] for a in page.all("a") if not a["href"].startswith("data:")]
    assert "samples.parquet" in links
    assert all((run / link).exists() for link in links)


def test_page_embeds_the_data_of_every_chart_and_table(page: Page) -> None:
    links = {a["download"]: a["href"] for a in page.all("a") if "download" in a}
    assert {
        "load.csv",
        "latency.csv",
        "distribution.csv",
        "hosts.csv",
        "regions.csv",
        "round_trips.csv",
    } <= links.keys()
    rows = list(csv.DictReader(io.StringIO(base64.b64decode(links["load.csv"].partition(",")[2]).decode())))
    assert len(rows) >= 38
    assert sum(float(row["completed_tps"]) for row in rows) / len(rows) == pytest.approx(60, rel=0.03)


def test_secrets_and_foreign_markup_are_kept_out(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    command = ["x", "run", "--token=abc123", "--protocol", "<script>alert(1)</script>"]
    repository = {"url": "https://me:ghp_secret@example.org/x.git"}
    change(folder, "manifest.json", command=command, name="<img src=x>", packages=repository)
    page = Page(write_report(folder))
    for secret in ("hunter2", "abc123", "ghp_secret"):
        assert secret not in page.source
    assert not page.all("img")
    (script,) = (found["content"] for found in page.all("meta") if "http-equiv" in found)
    assert re.fullmatch(r"default-src 'none'; script-src 'sha256-[\w+/=]+'; style-src .*", script), "one script may run"
    assert "<script>alert(1)</script>" in page.text


def test_several_workloads_have_a_row_each(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    region = json.loads((folder / "summary.json").read_text())["by_region"]["eu-west-1"] | {"sent_tps": None}
    change(folder, "summary.json", by_workload={"put": region})
    assert "By workload" not in Page(write_report(folder)).text, "it would repeat the whole"
    change(folder, "summary.json", by_workload={"put": region, "get": region | {"completed_tps": 7.5}})
    text = Page(write_report(folder)).text
    assert "By workload" in text
    assert "get\N{EN DASH}7.5" in text


def test_saturated_and_invalid_runs_are_labelled(tmp_path: Path) -> None:
    saturated = Page(write_report(write_run(tmp_path / "saturated", load=120, capacity=90)))
    assert "valid, saturated" in saturated.text
    assert "completed less than the scheduled load" in saturated.text
    invalid = write_run(tmp_path / "invalid")
    change(invalid, "summary.json", status="invalid", reasons=["client a: its <clock> is off"])
    assert "Invalid: client a: its <clock> is off" in Page(write_report(invalid)).text


def test_failed_run_has_a_report_of_the_available_data(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "samples.parquet").unlink()
    summary = json.loads((folder / "summary.json").read_text())
    kept = {
        name: summary[name] for name in ("run_id", "protocol", "commit", "nodes", "clients", "requested_tps", "schema")
    }
    (folder / "summary.json").write_text(json.dumps(kept | {"status": "failed", "reasons": ["node-1 exited"]}))
    page = Page(write_report(folder))
    assert "stopped before anything was measured" in page.text
    assert "node-1 exited" in page.text
    assert len(page.all("svg")) == 1, "the map only"


def test_invalid_run_without_measurement_shows_unknown_and_never_zero(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    change(
        folder, "summary.json", status="invalid", reasons=["fewer than 2 samples"], completed_tps=0.0, latency_s=None
    )
    page = Page(write_report(folder))
    head = page.text.partition("Configuration")[0]
    assert "nothing valid was measured" in head
    assert "completed 0.0" not in head
    assert "no failed requests" not in head
    assert "errors\N{EN DASH}nothing was measured" in head


def test_failed_requests_are_in_the_quantiles_beside_those_of_successful_ones(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    latency = json.loads((folder / "summary.json").read_text())["latency_s"]
    hanging = {"estimate": 2.0, "lower": 2.0, "upper": None}
    change(folder, "summary.json", latency_s=latency | {"p99": hanging}, errors={"timeout": 27})
    head = Page(write_report(folder)).text.partition("Configuration")[0].replace("\N{NO-BREAK SPACE}", " ")
    assert "99th percentile more than 2 s; 27 requests failed" in head
    assert "> 2 smore than 2 s; successful only: 2" in head
    assert "errors2727 timeout" in head


def without_finite_buckets(one: Series) -> Series | None:
    finite = one.metric == "latency_s_bucket" and one.labels["le"] not in ("inf", "+Inf")
    return None if finite else one


def test_quantiles_without_buckets_are_unknown_with_the_reason(tmp_path: Path) -> None:
    page = Page(write_report(write_run(tmp_path / "run", change=without_finite_buckets)))
    head = page.text.partition("Configuration")[0]
    reason = '`latency_s_bucket` has no bucket but le="+Inf"'
    assert "99th percentile unknown" in head
    assert "p99 latency\N{EN DASH}client ap-northeast-1-0: " + reason in head
    assert (
        "p50 latency, p90 latency, p99 latency, p99.9 latency, maximum latency unknown: client ap-northeast-1-0: "
        + reason
        in page.text
    )
    assert 'id="distribution"' not in page.source


@pytest.mark.parametrize("value", [math.nan, math.inf, -1e300])
def test_mean_of_an_unusable_sum_is_unknown_with_the_reason(tmp_path: Path, value: float) -> None:
    def change(one: Series) -> Series:
        return replace(one, values=one.values * 0 + value) if one.metric == "latency_s_sum" else one

    head = Page(write_report(write_run(tmp_path / "run", change=change))).text.partition("Configuration")[0]
    assert "mean latency unknown, 99th percentile within" in head
    assert "mean latency\N{EN DASH}client ap-northeast-1-0: `latency_s_sum` is" in head


def test_errors_that_a_system_does_not_count_are_unknown(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    change(folder, "summary.json", errors=None)
    assert "errors\N{EN DASH}not counted" in Page(write_report(folder)).text


def test_successful_run_reports_no_failed_requests(page: Page) -> None:
    assert "errors0no failed requests" in page.text


def test_faults_are_marked_in_every_chart_over_time(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    fault = fault_record(8.1, 15.1, START)
    change(folder, "manifest.json", faults=[fault.model_dump(mode="json")])
    assert Page(write_report(folder)).text.count("crash:us-east-1-0") == 5, "and in the table of proofs"


def test_report_of_a_stored_run_has_its_numbers(tmp_path: Path) -> None:
    for path in RUN.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    page = Page(write_report(tmp_path))
    assert "completed 199.9 ± 0.3 tx/s of 200.0 tx/s scheduled by 7 clients for 20 s" in page.text
    assert page.text.count("Warning: ") == 2, "hosts of one machine are named together, and once"
    assert "Warning: ap-northeast-1-0 and 11 more on one machine: CPU 100% busy" in page.text
    assert "network between the regions is emulated" in page.text
