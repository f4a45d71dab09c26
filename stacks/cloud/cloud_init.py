"""The first start of a cloud host, as cloud-init's user data: the same for every cloud.

cloud-init makes the login, installs the host's key and unpacks an archive of files; all else is
`bootstrap.sh`, which then runs once. What it leaves on the host for the runner, all through sudo:

- `/var/lib/geobench/state`: `booting`, `ready` or `failed: REASON`; `/var/lib/geobench/warnings`: what else went wrong.
- `geobench-peers < LINES` lets in the hosts of the testbed, one address a line; before, only SSH from the operators
  comes in. Lines `operator NETWORK` replace the operators. What is given replaces what was and survives a reboot.
- `geobench-expiry` prints when the host ends itself, `geobench-expiry EPOCH` moves that.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import io
import ipaddress
import shlex
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import yaml

from benchmark.errors import SettingsError
from benchmark.host_layout import GRAFANA_PORT
from benchmark.inventory import Provider
from benchmark.settings import Settings
from stacks.monitoring import grafana_environment, monitoring_files, prometheus_arguments

LOGIN = "ubuntu"
"""The operator's login on every cloud host."""
USER_DATA_LIMIT = 16384
"""Bytes of user data that EC2 accepts, before base64."""

SCRIPT = Path(__file__).with_name("bootstrap.sh")
# https://grafana.com/docs/grafana/latest/setup-grafana/installation/debian/
GRAFANA_REPOSITORY = "https://apt.grafana.com"
GRAFANA_KEY_URL = f"{GRAFANA_REPOSITORY}/gpg-full.key"  # with keys that were retired
GRAFANA_KEY = "B53AE77BADB630A683046005963FA27710458545"

COMMAND = "/usr/local/sbin/geobench-bootstrap"
ARCHIVE = "/var/lib/geobench/files.tar"

_FOLDER = "/etc/geobench"


@dataclass(frozen=True)
class Bootstrap:
    """What one host is told at its first start."""

    hostname: str
    provider: Provider
    authorized_key: str
    host_public_key: str
    host_private_key: str = field(repr=False)
    operator_cidrs: tuple[str, ...]
    time_to_live: timedelta
    nvme: bool = True
    working_dir: str = "geobench"
    monitoring: bool = False
    """Whether this host runs Prometheus and Grafana."""
    scrape_interval: timedelta = timedelta(seconds=5)
    grafana_public: bool = False

    @classmethod
    def of(
        cls, settings: Settings, hostname: str, provider: Provider, keys: tuple[str, str, str], *, monitoring: bool
    ) -> Bootstrap:
        """Take from the settings all but the keys: the operator's public, the host's public and its private one."""
        return cls(
            hostname=hostname,
            provider=provider,
            authorized_key=keys[0],
            host_public_key=keys[1],
            host_private_key=keys[2],
            operator_cidrs=settings.operator_cidrs,
            time_to_live=settings.time_to_live,
            nvme=settings.nvme,
            working_dir=settings.working_dir,
            monitoring=monitoring,
            scrape_interval=settings.scrape_interval,
            grafana_public=settings.grafana_public,
        )


def user_data(host: Bootstrap) -> str:
    """Return the host's cloud-config, at most 16384 bytes; SettingsError if the settings make it longer.

    It holds the host's private key: treat it as a secret.
    """
    document = {
        "hostname": host.hostname,
        "manage_etc_hosts": "localhost",  # sudo looks the name up
        "ssh_deletekeys": True,
        "ssh_keys": {"ed25519_private": host.host_private_key, "ed25519_public": host.host_public_key},
        "ssh_pwauth": False,
        "disable_root": True,
        "package_upgrade": False,  # Vultr's vendor data asks for one, for minutes before the firewall and the life time
        "users": [
            {
                "name": LOGIN,
                "shell": "/bin/bash",
                "lock_passwd": True,
                "sudo": "ALL=(ALL) NOPASSWD:ALL",
                "ssh_authorized_keys": [host.authorized_key],
            }
        ],
        "write_files": [
            {"path": ARCHIVE, "permissions": "0600", "encoding": "gz+b64", "content": _archive(_files(host))}
        ],
        "runcmd": [["tar", "--extract", "--no-same-owner", f"--file={ARCHIVE}", "--directory=/"], [COMMAND]],
    }
    text = "#cloud-config\n" + yaml.safe_dump(document, sort_keys=False)
    if len(text.encode()) > USER_DATA_LIMIT:
        raise SettingsError(
            f"the first-start script of {host.hostname} takes {len(text.encode())} bytes, clouds accept "
            f"{USER_DATA_LIMIT}; name fewer operator_cidrs"
        )
    return text


def firewall(operator_cidrs: tuple[str, ...], *, grafana: bool = False) -> str:
    """Return the nftables rules of a host: SSH from the operators, everything from peers, nothing else.

    The sets of peers are empty. `grafana` also lets the operators reach Grafana's port.
    """
    networks = [ipaddress.ip_network(text) for text in operator_cidrs]
    ports = f"{{ 22, {GRAFANA_PORT} }}" if grafana else "22"
    return _RULES.format(
        operators4=_elements([str(network) for network in networks if network.version == 4]),
        operators6=_elements([str(network) for network in networks if network.version == 6]),
        ports=ports,
    )


def grafana_password(host_private_key: str) -> str:
    """Derive the password of a public Grafana from the host's private key: 20 letters and digits, about 100 bits."""
    digest = hmac.new(host_private_key.encode(), b"geobench grafana admin", hashlib.sha256).digest()
    return base64.b32encode(digest).decode().lower()[:20]


_RULES = """\
table inet geobench
delete table inet geobench
table inet geobench {{
  set operators4 {{ type ipv4_addr; flags interval; auto-merge;{operators4} }}
  set operators6 {{ type ipv6_addr; flags interval; auto-merge;{operators6} }}
  set peers4 {{ type ipv4_addr; }}
  set peers6 {{ type ipv6_addr; }}
  chain input {{
    type filter hook input priority filter; policy drop;
    iif lo accept
    ct state established,related accept
    ct state invalid drop
    ip saddr @peers4 accept
    ip6 saddr @peers6 accept
    ip saddr @operators4 tcp dport {ports} accept
    ip6 saddr @operators6 tcp dport {ports} accept
    ip saddr @operators4 icmp type echo-request accept
    ip6 saddr @operators6 icmpv6 type echo-request accept
    icmpv6 type {{ nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert }} accept
    udp sport {{ 67, 547 }} udp dport {{ 68, 546 }} accept
  }}
  # The metadata service shows this host's user data, and with it the host's private key.
  chain output {{
    type filter hook output priority filter; policy accept;
    ip daddr 169.254.169.254 tcp dport 80 meta skuid != 0 reject
  }}
}}
"""


def _elements(networks: list[str]) -> str:
    return f" elements = {{ {', '.join(networks)} }};" if networks else ""


def _files(host: Bootstrap) -> dict[str, tuple[str, int]]:
    """Every file of the host: path to content and mode."""
    files = {
        COMMAND: (SCRIPT.read_text(encoding="utf-8"), 0o755),
        f"{_FOLDER}/bootstrap.env": (_environment(_parameters(host)), 0o644),
        f"{_FOLDER}/firewall.nft": (firewall(host.operator_cidrs, grafana=_public_grafana(host)), 0o644),
    }
    if host.monitoring:
        arguments = _environment({"ARGS": " ".join(prometheus_arguments())})
        files[f"{_FOLDER}/prometheus.env"] = (arguments, 0o644)
        files[f"{_FOLDER}/grafana.env"] = (_environment(_grafana(host)), 0o600)
        files |= {path: (text, 0o644) for path, text in monitoring_files(host.scrape_interval).items()}
    return files


def _public_grafana(host: Bootstrap) -> bool:
    return host.monitoring and host.grafana_public


def _parameters(host: Bootstrap) -> dict[str, str]:
    return {
        "PROVIDER": host.provider,
        "LOGIN": LOGIN,
        "WORKING_DIR": host.working_dir,
        "TIME_TO_LIVE": str(round(host.time_to_live.total_seconds())),
        "NVME": "yes" if host.nvme else "no",
        "MONITORING": "yes" if host.monitoring else "no",
        "GRAFANA_REPOSITORY": GRAFANA_REPOSITORY,
        "GRAFANA_KEY_URL": GRAFANA_KEY_URL,
        "GRAFANA_KEY": GRAFANA_KEY,
    }


def _grafana(host: Bootstrap) -> dict[str, str]:
    """Grafana with a login: the known admin/admin behind the tunnel, a password of its own in public."""
    login = {
        "GF_AUTH_DISABLE_LOGIN_FORM": "false",
        "GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION": "false",
        "GF_SECURITY_ADMIN_PASSWORD": grafana_password(host.host_private_key) if host.grafana_public else "admin",
    }
    if host.grafana_public:
        login |= {"GF_SERVER_HTTP_ADDR": "0.0.0.0", "GF_AUTH_ANONYMOUS_ENABLED": "false"}
    return grafana_environment() | login


def _environment(variables: Mapping[str, str]) -> str:
    """Write variables so that both a shell and systemd read them."""
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items())


def _archive(files: Mapping[str, tuple[str, int]]) -> str:
    """Pack files as tar, gzip and base64; the same files give the same text."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path, (content, mode) in files.items():
            entry = tarfile.TarInfo(path.removeprefix("/"))
            entry.size, entry.mode = len(content.encode()), mode
            archive.addfile(entry, io.BytesIO(content.encode()))
    return base64.b64encode(gzip.compress(packed.getvalue(), 9, mtime=0)).decode()
