"""Files of the monitoring host, checked as data and by the programs that read them."""

from __future__ import annotations

import json
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmark.host_layout import PROMETHEUS_CONFIG, TARGETS_DIRECTORY
from stacks.monitoring import (
    DASHBOARDS,
    DATASOURCE_UID,
    grafana_environment,
    monitoring_files,
    prometheus_arguments,
)

SECONDS_5 = timedelta(seconds=5)


def config(interval: timedelta) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(monitoring_files(interval)[PROMETHEUS_CONFIG])
    return document


@pytest.mark.parametrize(
    ("interval", "written", "timeout"),
    [
        (timedelta(milliseconds=200), "200ms", "200ms"),
        (timedelta(seconds=1.5), "1500ms", "1500ms"),
        (timedelta(seconds=5), "5000ms", "5000ms"),
        (timedelta(minutes=20), "1200000ms", "10000ms"),
    ],
)
def test_the_timeout_is_at_most_the_scrape_interval_and_both_are_whole_milliseconds(
    interval: timedelta, written: str, timeout: str
) -> None:
    assert config(interval)["global"] == {"scrape_interval": written, "scrape_timeout": timeout}


@pytest.mark.parametrize("interval", [timedelta(milliseconds=200), SECONDS_5, timedelta(minutes=20)])
def test_promtool_accepts_the_configuration(interval: timedelta, tmp_path: Path) -> None:
    (tmp_path / "hosts.json").write_text("[]")
    file = tmp_path / "prometheus.yml"
    file.write_text(monitoring_files(interval)[PROMETHEUS_CONFIG].replace(TARGETS_DIRECTORY, str(tmp_path)))
    checked = subprocess.run(["promtool", "check", "config", file], capture_output=True, text=True, timeout=30)
    assert checked.returncode == 0, checked.stderr
    assert "WARNING" not in checked.stdout


def test_one_job_reads_all_targets_from_the_agreed_folder() -> None:
    jobs = config(SECONDS_5)["scrape_configs"]
    assert [job["job_name"] for job in jobs] == ["testbed"]
    assert jobs[0]["file_sd_configs"][0]["files"] == [f"{TARGETS_DIRECTORY}/*.json"]
    assert "static_configs" not in jobs[0]


def test_samples_get_the_time_of_their_scrape_whatever_time_stamp_the_target_writes() -> None:
    (job,) = config(SECONDS_5)["scrape_configs"]
    assert job["honor_timestamps"] is False


def test_the_folder_of_the_targets_exists_before_prometheus_starts() -> None:
    inside = [path for path in monitoring_files(SECONDS_5) if path.startswith(f"{TARGETS_DIRECTORY}/")]
    assert inside
    assert not any(path.endswith(".json") for path in inside)


def test_paths_are_absolute_and_files_end_with_a_newline() -> None:
    for path, content in monitoring_files(SECONDS_5).items():
        assert path.startswith("/")
        assert content.endswith("\n")


def test_prometheus_listens_on_the_loopback_device_only() -> None:
    arguments = prometheus_arguments()
    assert [one for one in arguments if "listen" in one] == ["--web.listen-address=127.0.0.1:9090"]
    assert f"--config.file={PROMETHEUS_CONFIG}" in arguments
    assert {"--web.enable-admin-api", "--web.enable-lifecycle"} <= set(arguments)


def test_prometheus_limits_its_storage_by_time_and_size() -> None:
    kept = dict(one.split("=") for one in prometheus_arguments() if "retention" in one)
    assert set(kept) == {"--storage.tsdb.retention.time", "--storage.tsdb.retention.size"}


def test_grafana_reads_the_local_prometheus_under_a_fixed_uid() -> None:
    files = monitoring_files(timedelta(seconds=2))
    (source,) = yaml.safe_load(files["/etc/grafana/provisioning/datasources/testbed.yaml"])["datasources"]
    assert source["uid"] == DATASOURCE_UID
    assert source["url"] == "http://127.0.0.1:9090"
    assert source["isDefault"] is True
    assert source["jsonData"]["timeInterval"] == "2000ms"


def test_every_dashboard_is_in_the_folder_that_grafana_reads() -> None:
    files = monitoring_files(SECONDS_5)
    (provider,) = yaml.safe_load(files["/etc/grafana/provisioning/dashboards/testbed.yaml"])["providers"]
    folder = provider["options"]["path"]
    found = {path.removeprefix(f"{folder}/"): text for path, text in files.items() if path.startswith(f"{folder}/")}
    committed = {path.name: json.loads(path.read_text()) for path in DASHBOARDS.glob("*.json")}
    assert set(committed) >= {"run.json", "hosts.json"}
    assert {name: json.loads(text) for name, text in found.items()} == committed


def test_grafana_listens_on_the_loopback_device_and_has_no_password() -> None:
    environment = grafana_environment()
    assert environment["GF_SERVER_HTTP_ADDR"] == "127.0.0.1"
    assert environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert not any("PASSWORD" in name for name in environment)
    assert environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] in monitoring_files(SECONDS_5)
