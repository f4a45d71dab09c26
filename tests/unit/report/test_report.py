from __future__ import annotations

import base64
import csv
import io
import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from factories.page import Page
from factories.result_factory import START, write_run, write_sweep
from paths import DATA

from benchmark.artifacts.install import Installed
from benchmark.artifacts.source import Origin
from benchmark.compare.comparison import find_sides
from benchmark.metrics.names import MetricNames
from benchmark.metrics.samples import Series, read_samples, write_samples
from benchmark.report import REPORT, reproduce, write_comparison, write_plots, write_report
from benchmark.report.run_data import read_record
from benchmark.results.run_folder import read_summary
from benchmark.settings import Repository, Settings

RUN = DATA / "run"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("dev") / "one")


@pytest.fixture(scope="module")
def page(run: Path) -> Page:
    return Page(write_report(run))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def compared(results: Path) -> Path:
    return write_sweep(results, {"a": {}, "b": {"slower": 1.3}}, loads=(30, 60), repeat=4)


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
    assert re.search(r"mean latency 1\d\d ms ± [\d.]+ ms, 99th percentile within", claim)
    assert "valid" in claim


def test_page_has_request_regions_and_commands_to_reproduce(page: Page) -> None:
    assert "etcd at 3.4.23-4" in page.text
    assert "python -m benchmark run --loads 60 --name 'two words'" in page.text
    assert "/somewhere" not in page.source
    assert "scrape_interval: 1s" in page.text
    for region in ("us-east-1", "eu-west-1", "ap-northeast-1"):
        assert region in page.text
    assert "91.0" in page.text  # a round trip as measured


@pytest.mark.parametrize("option", [["--commit", "main"], ["--commit=main"]])
def test_reproduction_builds_the_exact_commit(tmp_path: Path, option: list[str]) -> None:
    folder = write_run(tmp_path / "run")
    origin = Origin.of(Repository(url="https://me:hunter2@example.org/x", commit="main"))
    artifact = Installed("1f" * 20, {}, {}, origin).to_record().model_dump()
    change(folder, "manifest.json", artifact=artifact, command=["x", "run", *option, "--loads", "60"])
    record = read_record(folder)
    settings = Settings.model_validate(yaml.safe_load(reproduce.settings(record)))
    assert settings.repository == Repository(url="https://example.org/x", commit="1f" * 20)
    assert settings.regions == ("us-east-1", "eu-west-1", "ap-northeast-1")
    assert re.fullmatch(rf"python -m benchmark run --commit[ =]{'1f' * 20} --loads 60", reproduce.commands(record)[-1])


def test_supplied_binaries_have_no_repository(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    change(folder, "manifest.json", artifact=Installed("unknown", {}, {}).to_record().model_dump())
    assert "repository" not in reproduce.settings(read_record(folder))


def test_page_loads_no_other_file(page: Page) -> None:
    assert not page.all("script") + page.all("link") + page.all("img") + page.all("iframe")
    assert not re.search(r"@import|url\((?!#)", page.source)
    for tag, attributes in page.elements:
        assert "src" not in attributes, tag
        for name in ("href", "xlink:href"):
            assert not re.match(r"(https?:)?//", attributes.get(name, "")), attributes


def test_page_is_accessible_to_screen_readers(page: Page) -> None:
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("svg")) == 5
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
    assert not page.all("script") + page.all("img")
    assert "<script>alert(1)</script>" in page.text


def test_saturated_and_invalid_runs_are_labelled(tmp_path: Path) -> None:
    saturated = Page(write_report(write_run(tmp_path / "saturated", load=120, capacity=90)))
    assert "valid, saturated" in saturated.text
    assert "completed less than the scheduled load" in saturated.text
    invalid = write_run(tmp_path / "invalid")
    change(invalid, "summary.json", status="invalid", reasons=["client a: its <clock> is off"])
    assert "Invalid: client a: its <clock> is off" in Page(write_report(invalid)).text


def test_failed_run_has_a_report_of_what_is_known(tmp_path: Path) -> None:
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


def test_successful_run_reports_no_failed_requests(page: Page) -> None:
    assert "errors0no failed requests" in page.text


def test_faults_are_marked_in_every_chart_over_time(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    change(folder, "manifest.json", faults=[{"name": "crash us-east-1-0", "start": START + 8, "end": START + 15}])
    assert Page(write_report(folder)).text.count("crash us-east-1-0") == 3


def test_report_of_a_stored_run_has_its_numbers(tmp_path: Path) -> None:
    for path in RUN.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    page = Page(write_report(tmp_path))
    assert "completed 199.9 ± 0.3 tx/s of 200.0 tx/s scheduled by 7 clients for 20 s" in page.text
    assert page.text.count("Warning: ") == 2, "hosts of one machine are named together, and once"
    assert "Warning: ap-northeast-1-0 and 11 more on one machine: CPU 100% busy" in page.text
    assert "network between the regions is emulated" in page.text


def test_saved_plots_embed_their_fonts(run: Path, tmp_path: Path) -> None:
    written = write_plots(run, tmp_path / "plots")
    kinds = {path.suffix: path for path in written if path.stem == "latency"}
    assert set(kinds) == {".svg", ".pdf", ".csv"}
    pdf = kinds[".pdf"].read_bytes()
    assert pdf.startswith(b"%PDF")
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf, "publishers refuse bitmap fonts"
    assert "<text" not in kinds[".svg"].read_text(), "letters are outlines"
    assert {path.name for path in written} >= {"clients.csv", "host_usage.csv", "map.pdf", "distribution.svg"}
    before = kinds[".svg"].read_bytes(), pdf
    write_plots(run, tmp_path / "plots")
    assert (kinds[".svg"].read_bytes(), kinds[".pdf"].read_bytes()) == before


def test_sweep_lists_every_run_and_retry(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path, {"": {}})
    page = Page(write_report(sweep))
    assert "at 120 tx/s requested" in page.text
    assert "90.0 tx/s (" in page.text
    assert "3 saturated" in page.text
    assert "eu-west-1-0 <does> not answer" in page.text
    assert "75 %" in page.text, "three repeats reach no more"
    assert "us-east-1-0" in page.text, "who led: it can be why repeats differ"
    links = [a["href"] for a in page.all("a") if a["href"].endswith(REPORT)]
    assert len(links) == 9
    assert all((sweep / link).parent.is_dir() for link in links)
    assert {path.name for path in write_plots(sweep, tmp_path / "plots")} >= {"curve.pdf", "achieved.svg", "loads.csv"}


def test_comparison_has_the_difference_and_its_interval(compared: Path) -> None:
    page = Page(write_report(compared))
    assert "B differs from A" in page.text
    assert "mean latency +" in page.text
    # 30 % of the 0.15 s of the network, none of the 1/30 s of service.
    label = next(svg["aria-label"] for svg in page.all("svg") if svg["aria-label"].startswith("Differences"))
    assert re.search(r"mean latency \+2[45]\.\d %, significant", label)
    assert re.search(r"throughput [+-]0\.\d %, not significant", label)


def test_comparison_of_two_sweeps_links_to_the_runs_of_both(results: Path, compared: Path, tmp_path: Path) -> None:
    other = write_sweep(results, {"": {}}, loads=(30, 60), repeat=1)
    path = write_comparison(*find_sides(results, [compared.name, other.name]), tmp_path / "between.html")
    page = Page(path)
    assert "no difference shown" in page.text.lower()
    links = [a["href"] for a in page.all("a") if a["href"].endswith(REPORT)]
    assert len(links) == 18
    assert all((tmp_path / link).parent.is_dir() for link in links)


def test_metrics_of_nodes_are_used_where_nodes_count_transactions(tmp_path: Path) -> None:
    """Every node counts every transaction: the middle of them says how many there are, as the manifest tells."""
    folder = write_run(tmp_path / "run")
    renamed = [
        Series(one.metric.replace("latency_s", "commit_s"), one.labels | {"job": "node"}, one.times, one.values)
        for one in read_samples(folder / "samples.parquet")
        if one.labels["job"] == "client"
    ]
    write_samples(folder / "samples.parquet", renamed)
    assert read_record(folder).timeline is None
    change(folder, "manifest.json", metrics=asdict(MetricNames("commit_s", None, job="node", aggregation="median")))
    timeline = read_record(folder).timeline
    assert timeline is not None
    assert timeline.completed_tps.mean() == pytest.approx(20, rel=0.05)
    assert 'id="latency"' in write_report(folder).read_text()
