"""Services of a local host as configuration and commands: SSH server, firewall, exporter, Prometheus, Grafana."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path, PurePosixPath

from benchmark.host_layout import MARKS_FILE, NODE_EXPORTER_PORT
from benchmark.inventory import Role
from stacks.monitoring import grafana_environment, prometheus_arguments

TEXTFILES = str(PurePosixPath(MARKS_FILE).parent)
"""Folder of the `*.prom` files that the node exporter publishes."""
WAN_METRICS = "/run/wan"
"""Folder of the emulated network's metrics on the monitoring host."""

_EXCLUDED = "^(devpts|proc|sysfs|tmpfs)$"  # the exporter's default also excludes overlays
_COLLECTORS = ("cpu", "meminfo", "netdev", "diskstats", "loadavg", "filesystem", "textfile")

SSHD_CONFIG = """\
AddressFamily inet
HostKey /etc/ssh/ssh_host_ed25519_key
AuthorizedKeysFile /etc/ssh/authorized_keys
AllowUsers root
PermitRootLogin prohibit-password
AuthenticationMethods publickey
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PrintMotd no
PidFile /run/sshd.pid
MaxStartups 1000
MaxSessions 1000
ClientAliveInterval 15
ClientAliveCountMax 4
Subsystem sftp internal-sftp
"""


def firewall(operator: str, subnet: str) -> str:
    """Return nftables rules: SSH and ICMP from the operator, everything between hosts, replies from elsewhere.

    They track no connections, which would cost time on every packet of a benchmark.
    """
    return f"""\
table inet geobench {{
    chain input {{
        type filter hook input priority filter; policy accept;
        iif "lo" accept
        ip saddr {operator} tcp dport 22 accept
        ip saddr {operator} ip protocol icmp accept
        ip saddr {operator} drop
        ip saddr {subnet} accept
        icmp type echo-request drop
        tcp flags & (syn | ack) == syn drop
        udp sport != {{ 53, 123 }} drop
    }}
}}
"""


def services(role: Role, grafana: bool) -> str:
    """Return the shell commands that start the exporter, and Prometheus (with Grafana) on the monitoring host."""
    exporter = [
        "prometheus-node-exporter", f"--web.listen-address=:{NODE_EXPORTER_PORT}", "--collector.disable-defaults",
        *(f"--collector.{name}" for name in _COLLECTORS),
        f"--collector.textfile.directory={TEXTFILES}", f"--collector.filesystem.fs-types-exclude={_EXCLUDED}",
        "--log.level=warn",
    ]  # fmt: skip
    # A host that is no longer the monitoring host stops publishing its metrics.
    link = f"{TEXTFILES}/wan.prom"
    lines = [f"rm -f {link} {MARKS_FILE}\n" if role == "instance" else f"ln -sf {WAN_METRICS}/wan.prom {link}\n"]
    lines.append(_background("node-exporter", exporter, {"GOMAXPROCS": "1", "GOGC": "50"}))
    if role == "monitoring":
        lines.append(_background("prometheus", ["prometheus", *prometheus_arguments()], {}))
        if grafana:
            server = ["grafana-server", "--homepath=/usr/share/grafana"]
            folders = {"GF_PATHS_PROVISIONING": "/etc/grafana/provisioning", "GF_PATHS_DATA": "/var/lib/grafana"}
            lines.append(_background("grafana", server, grafana_environment() | folders))
    return "".join(lines)


def _background(name: str, command: list[str], environment: Mapping[str, str]) -> str:
    """Return the shell command that runs `command` in the background, again whenever it ends, and logs its output."""
    assignments = [f"{key}={value}" for key, value in environment.items()]
    once = shlex.join(["env", *assignments, *command])
    return f"while :; do {once} || :; sleep 1; done >>/var/log/{name}.log 2>&1 &\n"


def resolver(configured: Path, upstream: Path) -> str:
    """Return a resolv.conf without name servers on the loopback device, which hosts cannot reach.

    If the machine's file (`configured`) names a local stub only, its servers are taken from `upstream`.
    """
    for path in (configured, upstream):
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        kept = [line for line in lines if not _is_loopback(line)]
        if any(line.startswith("nameserver") for line in kept):
            break
    return "".join(f"{line}\n" for line in kept)


def _is_loopback(line: str) -> bool:
    words = line.split()
    if len(words) < 2 or words[0] != "nameserver":
        return False
    try:
        return ip_address(words[1].partition("%")[0]).is_loopback
    except ValueError:
        return True
