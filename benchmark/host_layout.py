"""Ports, paths and commands that exist on every host of a testbed."""

from __future__ import annotations

# Where the monitoring that the testbed provisions is found: on every host, and on the monitoring host.
NODE_EXPORTER_PORT = 9100
PROMETHEUS_PORT = 9090
GRAFANA_PORT = 3000
TARGETS_DIRECTORY = "/etc/prometheus/targets"
"""Folder on the monitoring host that Prometheus watches for `*.json` (file-based service discovery)."""
MARKS_FILE = "/var/lib/prometheus/node-exporter/marks.prom"
"""File on the monitoring host, for its node exporter's textfile collector, with the times that dashboards mark."""


FOLDER = "/var/lib/geobench"
"""Where a host keeps what its first start has come to (assets/bootstrap.sh)."""
PARAMETERS = "/etc/geobench/bootstrap.env"
"""What it was made with, as variables of a shell."""
PROMETHEUS_CONFIG = "/etc/prometheus/prometheus.yml"
LOCAL_DISKS = "/dev/disk/by-id/nvme-Amazon_EC2_NVMe_Instance_Storage_*"
NO_LOGIN = "System is booting up"
"""systemd's word to those who log in too early, by way of pam_nologin(8)."""
