"""Latency logs of a stored run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from factories.result_factory import END, REGIONS, START, use_latency_logs, write_run

from benchmark.errors import UsageError
from benchmark.results.latency_logs import stored_logs
from benchmark.results.manifest import read_manifest
from benchmark.results.run_folder import read_summary


def test_logs_are_those_of_the_clients_and_have_what_the_summary_counts(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    summary, manifest = read_summary(folder), read_manifest(folder)
    assert summary
    assert stored_logs(folder, summary, manifest) == [], "the results come from samples"
    use_latency_logs(folder)
    summary, manifest = read_summary(folder), read_manifest(folder)
    assert summary
    logs = stored_logs(folder, summary, manifest)
    assert [(log.name, log.host, log.region) for log in logs] == [
        (f"{region}-0", f"{region}-0", region) for region in REGIONS
    ]
    for log in logs:
        inside = log.log.rows(round(START * 1000), round(END * 1000)).tagged(lambda tag: tag.workload == "put")
        assert inside.totals().sum() == summary.by_client[log.name].completed
    (folder / "latencies" / "client-1.hlog").unlink()
    with pytest.raises(UsageError, match=r"client-1.hlog"):
        stored_logs(folder, summary, manifest)
    shutil.rmtree(folder / "latencies")
    assert stored_logs(folder, summary, manifest) == [], "removed to save space: charts then come from samples"
