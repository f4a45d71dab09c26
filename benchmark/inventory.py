"""The inventory: the hosts of a testbed and how to reach them.

The testbed program exports it as the stack output `inventory`; the runner reads it from there or from a file. It is the
only thing that the two programs exchange. It is versioned and holds no secret.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmark.errors import UsageError

SCHEMA_VERSION: Literal[1] = 1

Provider = Literal["aws", "vultr", "machines", "local"]
Role = Literal["instance", "monitoring"]
HostState = Literal["running", "stopped", "booting", "unknown"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Host(_Model):
    """One machine of the testbed."""

    name: str
    """Unique within the testbed, such as `us-east-1-0`."""
    provider: Provider
    region: str
    """The provider's own name of the region, without the provider."""
    specs: str
    """Instance type or plan; `namespace` for hosts of the local provider."""
    address: str
    """IP address that both the operator and the other hosts use; empty while stopped."""
    ssh_port: int = 22
    ssh_user: str | None = None
    """The login, where it is another than the testbed's (machines the user already has)."""
    host_key: str
    """Public SSH host key (`ssh-ed25519 AAAA…`), pinned by the runner."""
    role: Role = "instance"
    state: HostState = "running"
    cpus: int | None = None
    """Processors the host sees; null where the provider does not say."""
    memory_mb: int | None = None

    def endpoint(self, port: int) -> str:
        """Return `ADDRESS:PORT` for URLs and messages; an IPv6 address is put in brackets."""
        return f"[{self.address}]:{port}" if ":" in self.address else f"{self.address}:{port}"


class Ssh(_Model):
    """How the operator logs in to every host."""

    user: str
    private_key_file: str | None = None
    """Path on the operator's machine; null if the key is the secret stack output `ssh_private_key`."""


class Inventory(_Model):
    """All hosts of one testbed."""

    version: Literal[1] = SCHEMA_VERSION
    testbed_id: str
    created_at: datetime
    expires_at: datetime | None = None
    """When every host ends itself; null if nothing does (local hosts, machines the user owns)."""
    hourly_cost_usd: float | None = None
    """Sum over hosts; null if any price is unknown, 0 where nothing is charged."""
    ssh: Ssh
    hosts: tuple[Host, ...] = Field(min_length=1)

    @property
    def monitoring(self) -> Host | None:
        """The host that runs Prometheus, if the testbed has one."""
        return next((host for host in self.hosts if host.role == "monitoring"), None)

    @property
    def instances(self) -> tuple[Host, ...]:
        """The hosts that may carry nodes and clients, in the inventory's order."""
        return tuple(host for host in self.hosts if host.role == "instance")

    @property
    def regions(self) -> tuple[str, ...]:
        """Every region once, in the order of first appearance."""
        return tuple(dict.fromkeys(host.region for host in self.hosts))

    def host(self, name: str) -> Host:
        """Return the host called `name`; UsageError names the known ones."""
        for host in self.hosts:
            if host.name == name:
                return host
        known = ", ".join(host.name for host in self.hosts)
        raise UsageError(f"no host named {name!r} in testbed {self.testbed_id}; its hosts are: {known}")


def parse_inventory(text: str, source: str) -> Inventory:
    """Read an inventory from JSON; `source` names it in errors (UsageError)."""
    try:
        return Inventory.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "document"
        raise UsageError(
            f"{source} is not an inventory of version {SCHEMA_VERSION}: {field}: {first['msg']}. "
            "Write one with `pulumi stack output inventory --json`."
        ) from None


def read_inventory(path: Path) -> Inventory:
    """Read an inventory file; UsageError if it is missing or is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot read the inventory {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"cannot read the inventory {path}: it is not a text file in UTF-8") from None
    return parse_inventory(text, str(path))
