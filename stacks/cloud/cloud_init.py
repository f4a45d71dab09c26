"""The first boot of a cloud host as cloud-init user data, the same for every cloud.

cloud-init creates the login, installs the host's key and unpacks an archive of files; then `bootstrap.sh` runs once and
does the rest. It leaves an interface for the runner, used through sudo:

- `/var/lib/geobench/state`: `booting`, `ready` or `failed: REASON`; `/var/lib/geobench/warnings`: lesser problems.
- `geobench-peers < LINES` allows inbound traffic from the testbed's hosts, one address per line; until then only SSH
  from the operators is allowed. Lines `operator NETWORK` replace the operators. Each call replaces the former peers
  and survives a reboot.
- `geobench-expiry` prints when the host terminates, `geobench-expiry EPOCH` changes it.
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
from importlib.resources import files

import yaml

from benchmark.errors import SettingsError
from benchmark.host_layout import BOOTSTRAP_COMMAND, BOOTSTRAP_PARAMETERS, GRAFANA_PORT, STATE_DIRECTORY
from benchmark.inventory import Provider
from benchmark.settings import Settings
from stacks.monitoring import grafana_environment, monitoring_files, prometheus_arguments

LOGIN = "ubuntu"
"""The operator's login on every cloud host."""
USER_DATA_LIMIT = 16384
"""Bytes of user data that EC2 accepts, before base64."""

SCRIPT = files("stacks.cloud") / "bootstrap.sh"
# https://grafana.com/docs/grafana/latest/setup-grafana/installation/debian/
GRAFANA_REPOSITORY = "https://apt.grafana.com"
GRAFANA_KEY_URL = f"{GRAFANA_REPOSITORY}/gpg-full.key"  # includes retired keys
GRAFANA_KEY = "B53AE77BADB630A683046005963FA27710458545"

COMMAND = f"/usr/local/sbin/{BOOTSTRAP_COMMAND}"
ARCHIVE = f"{STATE_DIRECTORY}/files.tar"

_FOLDER = "/etc/geobench"


@dataclass(frozen=True)
class Bootstrap:
    """Inputs of the first boot of one host."""

    hostname: str
    provider: Provider
    authorized_key: str
    """The operator's public key."""
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
    """Whether the testbed's Grafana is public."""

    @classmethod
    def from_settings(
        cls,
        settings: Settings,
        hostname: str,
        provider: Provider,
        authorized_key: str,
        host_public_key: str,
        host_private_key: str,
        *,
        monitoring: bool,
    ) -> Bootstrap:
        """Fill in the fields that the settings determine."""
        return cls(
            hostname=hostname,
            provider=provider,
            authorized_key=authorized_key,
            host_public_key=host_public_key,
            host_private_key=host_private_key,
            operator_cidrs=settings.operator_cidrs,
            time_to_live=settings.time_to_live,
            nvme=settings.nvme,
            working_dir=settings.working_dir,
            monitoring=monitoring,
            scrape_interval=settings.scrape_interval,
            grafana_public=settings.grafana_public,
        )


_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
"""The emitter in C, where there is one: the other takes a third of the program's time."""


def user_data(host: Bootstrap) -> str:
    """Return the host's cloud-config, at most 16384 bytes; SettingsError if the settings make it longer.

    It contains the host's private key, so treat it as a secret.
    """
    document = {
        "hostname": host.hostname,
        "manage_etc_hosts": "localhost",  # sudo resolves the name
        "ssh_deletekeys": True,
        "ssh_keys": {"ed25519_private": host.host_private_key, "ed25519_public": host.host_public_key},
        "ssh_pwauth": False,
        "disable_root": True,
        "package_upgrade": False,  # Vultr's vendor data requests one: minutes without firewall and expiry
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
    text = "#cloud-config\n" + yaml.dump(document, Dumper=_DUMPER, sort_keys=False)
    if len(text.encode()) > USER_DATA_LIMIT:
        raise SettingsError(
            f"operator_cidrs: the user data of {host.hostname} takes {len(text.encode())} bytes, clouds accept "
            f"{USER_DATA_LIMIT}; name fewer networks"
        )
    return text


def firewall(operator_cidrs: tuple[str, ...], *, grafana: bool = False) -> str:
    """Return the nftables rules of a host: SSH from the operators, everything from peers, nothing else.

    The sets of peers are empty. `grafana` also allows the operators to reach Grafana's port.
    """
    networks = [ipaddress.ip_network(text) for text in operator_cidrs]

    def elements(version: int) -> str:
        found = [str(network) for network in networks if network.version == version]
        return f" elements = {{ {', '.join(found)} }};" if found else ""

    ports = f"{{ 22, {GRAFANA_PORT} }}" if grafana else "22"
    return _RULES.format(operators4=elements(4), operators6=elements(6), ports=ports)


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
  # The metadata service serves this host's user data, which contains the host's private key.
  chain output {{
    type filter hook output priority filter; policy accept;
    ip daddr 169.254.169.254 tcp dport 80 meta skuid != 0 reject
  }}
}}
"""


def _files(host: Bootstrap) -> dict[str, tuple[str, int]]:
    """Return every file of the host: path to content and mode."""
    public_grafana = host.monitoring and host.grafana_public
    parameters = {
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
    found = {
        COMMAND: (SCRIPT.read_text(encoding="utf-8"), 0o755),
        BOOTSTRAP_PARAMETERS: (_environment(parameters), 0o644),
        f"{_FOLDER}/firewall.nft": (firewall(host.operator_cidrs, grafana=public_grafana), 0o644),
    }
    if host.monitoring:
        # With a login: the well-known admin/admin behind the tunnel, a generated password where Grafana is public.
        grafana = grafana_environment() | {
            "GF_AUTH_DISABLE_LOGIN_FORM": "false",
            "GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION": "false",
            "GF_SECURITY_ADMIN_PASSWORD": grafana_password(host.host_private_key) if public_grafana else "admin",
        }
        if public_grafana:
            grafana |= {"GF_SERVER_HTTP_ADDR": "0.0.0.0", "GF_AUTH_ANONYMOUS_ENABLED": "false"}
        arguments = _environment({"ARGS": " ".join(prometheus_arguments())})
        found[f"{_FOLDER}/prometheus.env"] = (arguments, 0o644)
        found[f"{_FOLDER}/grafana.env"] = (_environment(grafana), 0o600)
        found |= {path: (text, 0o644) for path, text in monitoring_files(host.scrape_interval).items()}
    return found


def _environment(variables: Mapping[str, str]) -> str:
    """Write variables so that both a shell and systemd can read them."""
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items())


def _archive(contents: Mapping[str, tuple[str, int]]) -> str:
    """Pack files as tar, gzip and base64; equal files give equal text."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path, (content, mode) in contents.items():
            entry = tarfile.TarInfo(path.removeprefix("/"))
            entry.size, entry.mode = len(content.encode()), mode
            archive.addfile(entry, io.BytesIO(content.encode()))
    return base64.b64encode(gzip.compress(packed.getvalue(), 9, mtime=0)).decode()
