"""Ports, paths and commands that exist on the hosts of every testbed.

The testbed program (`stacks/`) creates them, the runner uses them. Shell scripts that run on hosts repeat some of them;
`tests/unit/test_host_layout.py` checks that they agree.
"""

from __future__ import annotations

# Monitoring: the node exporter runs on every host, Prometheus and Grafana on the monitoring host.
NODE_EXPORTER_PORT = 9100
PROMETHEUS_PORT = 9090
GRAFANA_PORT = 3000
PROMETHEUS_CONFIG = "/etc/prometheus/prometheus.yml"
TARGETS_DIRECTORY = "/etc/prometheus/targets"
"""Folder that Prometheus watches for `*.json` (file-based service discovery)."""
MARKS_FILE = "/var/lib/prometheus/node-exporter/marks.prom"
"""File for the node exporter's textfile collector, with the times that dashboards mark."""
GRAFANA_DATASOURCES = "/etc/grafana/provisioning/datasources/testbed.yaml"

# Cloud hosts provision themselves at their first boot (stacks/cloud/bootstrap.sh).
STATE_DIRECTORY = "/var/lib/geobench"
"""Folder with the host's files `state`, `warnings` and `expires_at`."""
BOOTSTRAP_PARAMETERS = "/etc/geobench/bootstrap.env"
"""What the host was created with, as shell variables."""
BOOTSTRAP_LOG = "/var/log/cloud-init-output.log"
BOOTSTRAP_COMMAND = "geobench-bootstrap"
"""Provision the host; running it again continues where it failed."""
EXPIRY_COMMAND = "geobench-expiry"
"""Print when the host terminates, in Unix seconds; with an argument, move that."""
PEERS_COMMAND = "geobench-peers"
"""Read the addresses that may connect, a line each, from standard input: they replace the former ones."""
LOCAL_DISKS = "/dev/disk/by-id/nvme-Amazon_EC2_NVMe_Instance_Storage_*"
BOOTING_MESSAGE = "System is booting up"
"""Message that pam_nologin(8) prints at logins while the host boots."""

# Local hosts
DISK_FILE = "/etc/geobench/disk"
"""File with one line that describes the disk of `working_dir`; a host without it has VOLATILE_DISK."""
VOLATILE_DISK = "durable: false"
DISK_CONTROL = "/run/disk-control"
"""Folder of the socket `disk`, on which the host can have its disk limited (stacks/local/host/disk_control.py)."""
