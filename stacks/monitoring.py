"""Configuration of Prometheus and Grafana on the monitoring host, as files and arguments.

The same for local and cloud hosts, for Prometheus from Debian's 2.42 up to the current one. Both listen on the loopback
device only: the operator connects through an SSH tunnel.
"""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import yaml

from benchmark.host_layout import (
    GRAFANA_DATASOURCES,
    GRAFANA_PORT,
    PROMETHEUS_CONFIG,
    PROMETHEUS_PORT,
    TARGETS_DIRECTORY,
)

DASHBOARDS = Path(__file__).resolve().parents[1] / "assets" / "dashboards"
STORAGE = "/var/lib/prometheus/metrics2"  # the folder that Debian's package creates for its user
DATASOURCE_UID = "testbed-prometheus"

_GRAFANA = "/etc/grafana/provisioning"
_DASHBOARD_FOLDER = "/var/lib/grafana/dashboards"
_LONGEST_TIMEOUT = timedelta(seconds=10)


def monitoring_files(scrape_interval: timedelta) -> dict[str, str]:
    """Return the monitoring host's files: absolute path to content. None of them is secret."""
    interval = f"{round(scrape_interval.total_seconds() * 1000)}ms"
    timeout = f"{round(min(scrape_interval, _LONGEST_TIMEOUT).total_seconds() * 1000)}ms"
    prometheus = {
        # Prometheus rejects a timeout longer than the interval.
        "global": {"scrape_interval": interval, "scrape_timeout": timeout},
        "scrape_configs": [
            {
                # With time stamps of its own, a target's samples would lie outside the window, or be too old to keep.
                "honor_timestamps": False,
                "job_name": "testbed",  # the target files carry the job, host, region and role of each target
                "file_sd_configs": [{"files": [f"{TARGETS_DIRECTORY}/*.json"], "refresh_interval": "1m"}],
            }
        ],
    }
    datasource = {
        "name": "Prometheus",
        "type": "prometheus",
        "uid": DATASOURCE_UID,
        "access": "proxy",
        "url": f"http://127.0.0.1:{PROMETHEUS_PORT}",
        "isDefault": True,
        "editable": False,
        # $__rate_interval is at least four of these.
        "jsonData": {"httpMethod": "POST", "timeInterval": interval},
    }
    dashboards = {
        "name": "testbed",
        "type": "file",
        "allowUiUpdates": False,
        "disableDeletion": True,
        "options": {"path": _DASHBOARD_FOLDER},
    }
    files = {
        PROMETHEUS_CONFIG: _yaml(prometheus),
        # The folder must exist before Prometheus starts, or Prometheus reads it only once per refresh_interval.
        f"{TARGETS_DIRECTORY}/README": "Scrape targets of the current run, written by the runner.\n",
        GRAFANA_DATASOURCES: _yaml({"apiVersion": 1, "datasources": [datasource]}),
        f"{_GRAFANA}/dashboards/testbed.yaml": _yaml({"apiVersion": 1, "providers": [dashboards]}),
    }
    for path in sorted(DASHBOARDS.glob("*.json")):
        # A dashboard without indentation takes a third of the space; the user data of a cloud host is short.
        compact = json.dumps(json.loads(path.read_text(encoding="utf-8")), separators=(",", ":"))
        files[f"{_DASHBOARD_FOLDER}/{path.name}"] = compact + "\n"
    return files


def prometheus_arguments() -> list[str]:
    """Return the command line of Prometheus, without the program's name."""
    return [
        f"--config.file={PROMETHEUS_CONFIG}",
        f"--storage.tsdb.path={STORAGE}",
        "--storage.tsdb.retention.time=30d",
        "--storage.tsdb.retention.size=10GB",
        f"--web.listen-address=127.0.0.1:{PROMETHEUS_PORT}",
        "--web.enable-admin-api",  # snapshots
        "--web.enable-lifecycle",  # POST /-/reload
    ]


def grafana_environment() -> dict[str, str]:
    """Return Grafana's settings as environment variables: loopback only, readable without login, no administrator.

    https://grafana.com/docs/grafana/latest/setup-grafana/configure-grafana/
    """
    return {
        "GF_SERVER_HTTP_ADDR": "127.0.0.1",
        "GF_SERVER_HTTP_PORT": str(GRAFANA_PORT),
        "GF_AUTH_ANONYMOUS_ENABLED": "true",
        "GF_AUTH_ANONYMOUS_ORG_ROLE": "Viewer",
        "GF_AUTH_DISABLE_LOGIN_FORM": "true",
        "GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION": "true",
        "GF_ANALYTICS_REPORTING_ENABLED": "false",
        "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
        "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH": f"{_DASHBOARD_FOLDER}/run.json",
    }


def _yaml(document: object) -> str:
    return yaml.safe_dump(document, sort_keys=False)
