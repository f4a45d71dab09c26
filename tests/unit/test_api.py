"""Data frames have the same numbers as the files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from factories.faults import fault_record, use_fault
from factories.result_factory import (
    START,
    breakdown,
    failed,
    store_run,
    store_sweep,
    summary,
    use_latency_logs,
    use_metrics,
    write_run,
)

from benchmark import api
from benchmark.errors import UsageError
from benchmark.metrics.names import MetricNames


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    store_run(tmp_path, summary("20260101T000000Z-one", 100))
    return tmp_path


def test_loads_the_samples_of_a_run(stored: Path) -> None:
    run = api.run("latest", stored)
    counts = run.samples("latency_s_count")
    assert set(counts["host"]) == {"a-1", "b-0"}
    assert str(counts["time"].dtype).endswith("UTC]")
    assert len(run.samples()) > len(counts) > 100
    assert run.samples("no_such_metric").empty


def test_a_timeline_has_the_rates_of_all_clients_and_of_each_region(stored: Path) -> None:
    run = api.run("latest", stored)
    whole = run.timeline()
    assert whole["completed_tps"].to_numpy() == pytest.approx(np.full(len(whole), 200.0), rel=0.02)
    assert len(whole) == pytest.approx(50, abs=2)
    regions = run.timeline(by="region")
    assert set(regions["region"]) == {"us-east-1", "b"}
    assert regions.groupby("region")["completed_tps"].mean().to_numpy() == pytest.approx([100, 100], rel=0.02)
    assert (whole["end"] - whole["start"]).dt.total_seconds().to_numpy() == pytest.approx(np.ones(len(whole)), rel=0.1)


def test_timeline_of_latency_logs_shows_a_tenth_of_a_second(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "t" / "20260101T000000Z-one")
    use_latency_logs(folder, load=300, stall=(20.2, 0.3))
    run = api.run("latest", tmp_path)
    fine = run.timeline(step_s=0.1)
    assert len(fine) == 300
    stalled = fine[fine["completed_tps"] == 0]
    assert stalled["since_s"].to_numpy() == pytest.approx([20.2, 20.3, 20.4])
    assert fine["max_s"].max() == pytest.approx(run.summary.latency_s.quantiles["max"].upper)
    regions = run.timeline(by="region")
    assert len(regions) == 3 * 30
    assert regions["completed_tps"].mean() == pytest.approx(100, rel=0.02)
    assert run.workloads().loc[0, "workload"] == "put"
    with pytest.raises(UsageError, match=r"step_s: found 0.05, expected at least 0.1"):
        run.timeline(step_s=0.05)


def test_samples_are_no_finer_than_scrapes(stored: Path) -> None:
    with pytest.raises(UsageError, match=r"step_s: found 0.1, expected at least 1"):
        api.run("latest", stored).timeline(step_s=0.1)


def test_the_manifest_names_the_metrics_of_an_unknown_system(stored: Path) -> None:
    use_metrics(stored / "t" / "20260101T000000Z-one", MetricNames("commit_s", squared=None, job="node"))
    run = api.run("latest", stored)
    assert run.timeline()["completed_tps"].mean() == pytest.approx(200, rel=0.02)
    regions = run.timeline(by="region")
    assert regions.groupby("region")["mean_s"].mean().to_numpy() == pytest.approx([0.12, 0.12], rel=0.02)


def test_frames_of_a_run_equal_its_summary(stored: Path) -> None:
    run = api.run("20260101", stored)
    regions, clients = run.regions(), run.clients()
    assert list(regions["region"]) == list(run.summary.by_region)
    assert clients.loc[0, "completed_tps"] == run.summary.by_client["a-1"].completed_tps
    assert clients.loc[0, "p99_lower_s"] <= clients.loc[0, "p99_s"] <= clients.loc[0, "p99_upper_s"]
    assert run.rtt().loc["a", "b"] == 70.0
    assert run.hosts().empty


def test_breakdown_has_a_row_for_each_part_value_and_region(tmp_path: Path) -> None:
    parts = breakdown()
    store_run(tmp_path, summary("20260101T000000Z-one").model_copy(update={"breakdown": parts}))
    found = api.run("latest", tmp_path).breakdown().set_index(["part", "value", "region"])
    row = found.loc["stages", "order", "eu-west-1"]
    stats = parts[0].by_region["eu-west-1"]["order"]
    assert stats.latency_s is not None
    assert (row["count"], row["mean_s"]) == (stats.count, stats.latency_s.mean)
    assert np.isnan(found.loc["commit type", "direct-skip", "us-east-1"]["mean_s"])
    assert "locks" not in found.index.get_level_values("part")


def test_a_fault_has_a_row_with_what_was_before_during_and_after(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "t" / "20260101T000000Z-one")
    use_latency_logs(folder, load=300, stall=(10.05, 1.3))
    use_fault(folder, fault_record(10.0, None, START))
    (row,) = api.run("latest", tmp_path).faults().to_dict("records")
    assert (row["kind"], row["target"]) == ("crash", "us-east-1-0")
    assert row["outage_s"] == pytest.approx(1.3, abs=0.1)
    assert row["before_completed_tps"] == pytest.approx(300, rel=0.02)
    assert row["during_p99_s"] > row["before_p99_s"]
    assert row["during_errors"] == 0
    assert "after_p99_s" not in row
    regions = api.run("latest", tmp_path).fault_regions().set_index("region")
    assert regions.loc["us-east-1", "outage_s"] == pytest.approx(1.3, abs=0.15)


def test_phases_have_a_row_each(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "t" / "20260101T000000Z-one")
    use_latency_logs(folder, load=300, phases=[("ok", 10.0), ("ok", 20.0)])
    first, second = api.run("latest", tmp_path).phases().to_dict("records")
    assert (first["phase"], first["start_s"], first["end_s"]) == ("ok", 0.0, 10.0)
    assert (second["phase"], second["start_s"], second["end_s"]) == ("ok 2", 10.0, 30.0)
    assert first["completed"] + second["completed"] == pytest.approx(9000, rel=0.02)


def test_lists_all_runs_as_rows(stored: Path) -> None:
    store_run(stored, failed("20260102T000000Z-two", 200))
    found = api.runs(stored)
    assert list(found["status"]) == ["ok", "failed"]
    assert found.loc[0, "p99_s"] == pytest.approx(0.12)
    assert pd.isna(found.loc[1, "p99_s"])
    assert isinstance(found.loc[0, "start"], pd.Timestamp)


def test_lists_the_attempts_and_medians_of_a_sweep(tmp_path: Path) -> None:
    runs = [("", summary(f"r{index}", load)) for index, load in enumerate((100, 100, 200))] + [("", failed("bad", 200))]
    store_sweep(tmp_path, runs)
    found = api.sweep("latest", tmp_path)
    assert list(found["counts"]) == [True, True, True, False]
    assert list(found["failure"])[-1] == "system"
    medians = api.repeats("latest", tmp_path).set_index(["requested_tps", "metric"])
    assert medians.loc[(100.0, "completed_tps"), "estimate"] == 100
    assert medians.loc[(100.0, "completed_tps"), "runs"] == 2
    assert medians.loc[(200.0, "completed_tps"), "confidence"] == 0


def test_compares_as_the_command_does(tmp_path: Path) -> None:
    store_sweep(tmp_path, [("a", summary("a1", 100)), ("b", summary("b1", 100))])
    found = api.compare("latest", results_dir=tmp_path)
    assert found.verdict.startswith("not significant; ")


def test_an_unmeasured_run_has_no_timeline(tmp_path: Path) -> None:
    store_run(tmp_path, failed("20260102T000000Z-two"))
    with pytest.raises(UsageError, match="was not measured: node-0 ended"):
        api.run("latest", tmp_path).timeline()


def test_only_frames_need_pandas(stored: Path) -> None:
    script = (
        "import sys\n"
        "class Without:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name.partition('.')[0] == 'pandas': raise ImportError(name)\n"
        "sys.meta_path.insert(0, Without())\n"
        "from benchmark import api, errors\n"
        f"run = api.run('latest', {str(stored)!r})\n"
        "assert run.summary.status == 'ok' and run.series\n"
        "try: run.clients()\n"
        "except errors.UsageError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "data frames need pandas: `pip install pandas`\n"
