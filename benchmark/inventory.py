"""The inventory: the hosts of a testbed and how to reach them.

The Pulumi program exports it as the stack output `inventory`; the runner reads it from there or from a file. The two
programs exchange nothing else. It is versioned and contains no secrets.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
)

from benchmark.errors import UsageError

SCHEMA_VERSION: Literal[1] = 1

Provider = Literal["aws", "vultr", "machines", "local"]
Role = Literal["instance", "monitoring"]
HostState = Literal["running", "stopped", "booting", "unknown"]


TOLERANCE_MS, TOLERANCE = 1.0, 0.02
"""How far an emulated round trip may be from the requested one: so many ms, and this share of it."""
_FIRST, _LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_MOST_CHARACTERS = 50_000_000


def _matching(pattern: str, words: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"found {text[:80]!r}, expected {words}")
        return text

    return AfterValidator(check)


# An inventory file can come from somebody else: its texts become paths, arguments of ssh, and lines on the terminal.
Text = Annotated[str, _matching(r"[^\x00-\x1f\x7f-\x9f]*", "a text without control characters")]
Id = Annotated[str, _matching(r"[a-z][a-z0-9-]{0,30}", "up to 31 lower-case letters, digits and dashes")]
Name = Annotated[
    str,
    _matching(r"[^\W_][\w .-]{0,200}", "letters, digits, spaces, '.', '_' and '-', beginning with a letter or digit"),
]
Address = Annotated[str, _matching(r"([A-Za-z0-9:][A-Za-z0-9:.%_-]{0,253})?", "an IP address or host name")]
Login = Annotated[str, _matching(r"\w[\w.@\\-]{0,100}\$?", "the name of a user")]
Milliseconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Port = Annotated[int, Field(ge=1, le=65535)]
Time = Annotated[AwareDatetime, Field(ge=_FIRST, le=_LAST)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class HostHelp(_Model):
    """What error messages advise about an unusable host; the defaults are for hosts that Pulumi creates."""

    unreachable: str = "`pulumi refresh` checks whether hosts still exist, `pulumi up` recreates missing ones"
    login_rejected: str = (
        "The host keeps the key that it was created with: restore that key in ssh_private_key_file and run "
        "`pulumi up`, or recreate the hosts with `pulumi destroy` and `pulumi up`"
    )
    """Follows a message with the key and the user."""
    host_key_changed: str = "the host was rebuilt, run `pulumi refresh` and `pulumi up` to read its new key"
    """Follows `If`."""


class HostCapabilities(_Model):
    """How the hosts of a provider behave, so that the runner does not depend on provider names."""

    ephemeral: bool = False
    """Whether the host provisions itself at its first boot and terminates automatically after its time to live."""
    user_owned: bool = False
    """Whether it existed before the testbed: the runner installs packages on it, Pulumi never recreates or stops it."""
    boot_timeout_s: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    """How long to wait for a new host to accept logins."""
    stop_keeps_cost: bool = False
    """Whether a stopped host is billed like a running one."""
    through: str | None = None
    """Address of the operator's machine in the emulated network of the host, without which the host is out of reach."""
    help: HostHelp = HostHelp()


def derive_capabilities(provider: Provider, specs: str) -> HostCapabilities:
    """Derive the capabilities of a host from an inventory of an earlier release, which does not contain them."""
    if provider in ("aws", "vultr"):
        metal = ".metal" in specs or specs.startswith("vbm-")
        return HostCapabilities(
            ephemeral=True, boot_timeout_s=600.0 if metal else 60.0, stop_keeps_cost=provider == "vultr"
        )
    use = "Set ssh_private_key_file to the matching key"
    if provider == "local":
        return HostCapabilities(help=HostHelp(login_rejected=f"{use}, or run `pulumi up` to install this one"))
    return HostCapabilities(
        user_owned=True,
        help=HostHelp(
            unreachable="Existing machines must be on and admit you at the address, port and user of the inventory",
            login_rejected=f"{use}, or add the public key there",
            host_key_changed="the machine was reinstalled, put its new key into the inventory",
        ),
    )


class Jump(_Model):
    """A gateway through which the operator reaches a host, with an SSH server that forwards ports."""

    address: Address
    ssh_port: Port = 22
    ssh_user: Login | None = None
    """User to log in as, if not that of the host."""
    host_key: Text
    """Public SSH host key of the gateway, pinned by the runner."""


class HostDisk(_Model):
    """What the settings said about the disk of a local host when it was created."""

    working_dir: Text
    durable: bool
    size: Annotated[int, Field(gt=0)]
    """In bytes."""
    bandwidth: Annotated[int, Field(gt=0)] | None = None
    """In bytes per second; null if unlimited."""


class Host(_Model):
    """One machine of the testbed."""

    name: Name
    """Unique within the testbed, such as `us-east-1-0`."""
    provider: Provider
    region: Name
    """The provider's name of the region."""
    specs: Text
    """Instance type or plan; `namespace` for hosts of the local provider."""
    address: Address
    """IP address that the other hosts use, and the operator unless `ssh_address` is set; empty while stopped."""
    ssh_address: Address | None = None
    """Address that the operator uses, if it is another one (existing machines)."""
    jump: Jump | None = None
    """The gateway through which the operator reaches the host, if there is one (existing machines)."""
    ssh_port: Port = 22
    """Port of its SSH server at the address that the operator uses."""
    ssh_user: Login | None = None
    """User to log in as, if not that of the testbed (existing machines)."""
    host_key: Text
    """Public SSH host key (`ssh-ed25519 AAAA…`), pinned by the runner."""
    role: Role = "instance"
    state: HostState = "running"
    cpus: Annotated[int, Field(ge=0)] | None = None
    """Number of processors; null if the provider does not report it."""
    memory_mb: Annotated[int, Field(ge=0)] | None = None
    disk: HostDisk | None = None
    """Null except for hosts of the local provider, and unknown in inventories of earlier versions."""
    capabilities: HostCapabilities = Field(
        default_factory=lambda known: derive_capabilities(known["provider"], known["specs"])
    )

    @property
    def login_address(self) -> str:
        """The address that the operator uses."""
        return self.ssh_address or self.address

    @property
    def login_endpoint(self) -> str:
        """`ADDRESS:PORT` of its SSH server for the operator."""
        return _endpoint(self.login_address, self.ssh_port)

    @property
    def peer_ssh_endpoint(self) -> str:
        """`ADDRESS:PORT` of its SSH server for the other hosts."""
        return self.endpoint(22 if self.ssh_address else self.ssh_port)

    def endpoint(self, port: int) -> str:
        """Return `ADDRESS:PORT` for other hosts and in URLs; an IPv6 address is put in brackets."""
        return _endpoint(self.address, port)


def _endpoint(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


class EmulatedRoundTrip(_Model):
    """Round trip that an emulated network was asked for between hosts of two regions."""

    rtt_ms: Milliseconds
    """In ms; the shortest one if it changes over time."""
    longest_ms: Milliseconds | None = None
    """Longest one of a trace; null if the round trip does not change."""
    jitter_ms: Milliseconds = 0.0
    """Standard deviation."""
    impairments: Text = ""
    """What was requested in this direction beside its delay, such as `loss 0.01`."""

    def allows(self, rtt_ms: float) -> bool:
        """Whether a measured round trip is this one, within 1 ms + 2 % and, with jitter, four standard deviations."""
        longest = self.rtt_ms if self.longest_ms is None else self.longest_ms
        margin = TOLERANCE_MS + 4 * self.jitter_ms
        low, high = self.rtt_ms * (1 - TOLERANCE), longest * (1 + TOLERANCE)
        return low - margin <= rtt_ms <= high + margin

    def __str__(self) -> str:
        range_ms = f"{self.rtt_ms:.2f}" if self.longest_ms is None else f"{self.rtt_ms:.2f} to {self.longest_ms:.2f}"
        return f"{range_ms} ms" + (f" with {self.jitter_ms:g} ms jitter" if self.jitter_ms else "")


class Ssh(_Model):
    """How the operator logs in to every host."""

    user: Login
    private_key_file: Text | None = None
    """Path on the operator's machine; null if the key is in the secret stack output `ssh_private_key`."""


class Inventory(_Model):
    """All hosts of one testbed."""

    version: Literal[1] = SCHEMA_VERSION
    testbed_id: Id
    created_at: Time
    expires_at: Time | None = None
    """When the hosts terminate automatically; null if they do not (local hosts, existing machines)."""
    hourly_cost_usd: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Total of all hosts; null if a price is unknown, 0 if nothing is billed."""
    ssh: Ssh
    round_trips: dict[Annotated[str, Field(max_length=410)], EmulatedRoundTrip] = {}
    """Requested round trips of an emulated network by `FROM/TO`, names of regions; empty on real networks."""
    hosts: tuple[Host, ...] = Field(min_length=1)

    @field_validator("hosts")
    @classmethod
    def _one_of_each_name(cls, hosts: tuple[Host, ...]) -> tuple[Host, ...]:
        names = [host.name for host in hosts]
        if doubled := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"several hosts are called {doubled[0]}")
        if sum(host.role == "monitoring" for host in hosts) > 1:
            raise ValueError("found several hosts with the role monitoring, expected one")
        return hosts

    @property
    def monitoring(self) -> Host | None:
        """The host that runs Prometheus, if the testbed has one."""
        return next((host for host in self.hosts if host.role == "monitoring"), None)

    @property
    def instances(self) -> tuple[Host, ...]:
        """The hosts available for nodes and clients, in the order of the inventory."""
        return tuple(host for host in self.hosts if host.role == "instance")

    @property
    def regions(self) -> tuple[str, ...]:
        """All regions, in the order of first appearance."""
        return tuple(dict.fromkeys(host.region for host in self.hosts))

    def host(self, name: str) -> Host:
        """Return the host called `name`; UsageError lists the existing ones."""
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
        parts = [str(part) if str(part).isprintable() else repr(part) for part in first["loc"]]
        raise UsageError(
            f"{source} is not an inventory of version {SCHEMA_VERSION}: {'.'.join(parts) or 'document'}: "
            f"{first['msg'].removeprefix('Value error, ')}. "
            "Write one with `pulumi stack output inventory --json`."
        ) from None


def read_inventory(path: Path) -> Inventory:
    """Read an inventory file; UsageError if it is missing or not an inventory."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_MOST_CHARACTERS + 1)
    except OSError as error:
        raise UsageError(f"cannot read the inventory {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"cannot read the inventory {path}: it is not a text file in UTF-8") from None
    if len(text) > _MOST_CHARACTERS:
        raise UsageError(f"cannot read the inventory {path}: it has more than {_MOST_CHARACTERS} characters")
    return parse_inventory(text, str(path))
