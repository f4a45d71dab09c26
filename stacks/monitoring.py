"""What the monitoring host is given: the configuration of Prometheus and of Grafana, as files and arguments.

The same for local hosts and clouds, from the Prometheus that Debian packages (2.42) up to the current one.
Nothing here listens beyond the loopback device: the operator comes through an SSH tunnel.
"""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from benchmark.host_layout import GRAFANA_PORT, PROMETHEUS_PORT, TARGETS_DIRECTORY

DASHBOARDS = Path(__file__).resolve().parent.parent / "assets" / "dashboards"
CONFIG_FILE = "/etc/prometheus/prometheus.yml"
STORAGE = "/var/lib/prometheus/metrics2"  # the folder Debian's package makes for its user
DATASOURCE_UID = "testbed-prometheus"

_GRAFANA = "/etc/grafana/provisioning"
_DASHBOARD_FOLDER = "/var/lib/grafana/dashboards"
_LONGEST_TIMEOUT = timedelta(seconds=10)


def monitoring_files(scrape_interval: timedelta) -> dict[str, str]:
    """Return the monitoring host's files: absolute path to content. None of them is secret."""
    files = {
        CONFIG_FILE: _yaml(_prometheus(scrape_interval)),
        # The folder has to exist before Prometheus starts, or it is looked at only once a refresh_interval.
        f"{TARGETS_DIRECTORY}/README": "Scrape targets of the current run, written by the runner.\n",
        f"{_GRAFANA}/datasources/testbed.yaml": _yaml(_datasources(scrape_interval)),
        f"{_GRAFANA}/dashboards/testbed.yaml": _yaml(_DASHBOARD_PROVIDER),
    }
    for path in sorted(DASHBOARDS.glob("*.json")):
        # Without its indentation a dashboard takes a third of the room; the user data of a cloud host is short.
        compact = json.dumps(json.loads(path.read_text(encoding="utf-8")), separators=(",", ":"))
        files[f"{_DASHBOARD_FOLDER}/{path.name}"] = compact + "\n"
    return files


def prometheus_arguments() -> list[str]:
    """Return the command line of Prometheus, without the program's name."""
    return [
        f"--config.file={CONFIG_FILE}",
        f"--storage.tsdb.path={STORAGE}",
        "--storage.tsdb.retention.time=30d",
        "--storage.tsdb.retention.size=10GB",
        f"--web.listen-address=127.0.0.1:{PROMETHEUS_PORT}",
        "--web.enable-admin-api",  # snapshots
        "--web.enable-lifecycle",  # POST /-/reload
    ]


def grafana_environment() -> dict[str, str]:
    """Return Grafana's settings as environment variables: loopback only, read without a login, no administrator.

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


def _prometheus(scrape_interval: timedelta) -> dict[str, Any]:
    return {
        "global": {
            "scrape_interval": _milliseconds(scrape_interval),
            # Prometheus refuses a timeout longer than the interval.
            "scrape_timeout": _milliseconds(min(scrape_interval, _LONGEST_TIMEOUT)),
        },
        "scrape_configs": [
            {
                "job_name": "testbed",  # the target files carry the job, host, region and role of each target
                "file_sd_configs": [{"files": [f"{TARGETS_DIRECTORY}/*.json"], "refresh_interval": "1m"}],
            }
        ],
    }


def _datasources(scrape_interval: timedelta) -> dict[str, Any]:
    return {
        "apiVersion": 1,
        "datasources": [
            {
                "name": "Prometheus",
                "type": "prometheus",
                "uid": DATASOURCE_UID,
                "access": "proxy",
                "url": f"http://127.0.0.1:{PROMETHEUS_PORT}",
                "isDefault": True,
                "editable": False,
                # $__rate_interval is at least four of these.
                "jsonData": {"httpMethod": "POST", "timeInterval": _milliseconds(scrape_interval)},
            }
        ],
    }


_DASHBOARD_PROVIDER: dict[str, Any] = {
    "apiVersion": 1,
    "providers": [
        {
            "name": "testbed",
            "type": "file",
            "allowUiUpdates": False,
            "disableDeletion": True,
            "options": {"path": _DASHBOARD_FOLDER},
        }
    ],
}


def _milliseconds(duration: timedelta) -> str:
    """Write a duration as both programs read it: a whole number with a unit."""
    return f"{round(duration.total_seconds() * 1000)}ms"


def _yaml(document: dict[str, Any]) -> str:
    return yaml.safe_dump(document, sort_keys=False)
