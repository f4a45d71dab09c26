"""Define the settings of a testbed and its benchmarks."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import (
    AfterValidator,
    Field,
    PrivateAttr,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from benchmark.inventory import Provider
from benchmark.settings.base import SettingsModel
from benchmark.settings.disk import Disk
from benchmark.settings.durations import Duration
from benchmark.settings.faults import Fault, FaultRequest, Recovery, place_in_phases
from benchmark.settings.network import Network
from benchmark.settings.phases import Phase, PhaseRequest, check_duration, total_duration
from benchmark.settings.validation import FieldPath, pattern

_ID = pattern(r"^[a-z][a-z0-9-]{0,30}$", "up to 31 lower-case letters, digits and dashes, starting with a letter")


_FOLDER = pattern(r"^[A-Za-z0-9._/-]+$", "letters, digits, '.', '_', '-' and '/'")


class RegionSpec(NamedTuple):
    """A region and its provider."""

    provider: Provider
    name: str

    def __str__(self) -> str:
        return f"{self.provider}:{self.name}"


class Repository(SettingsModel):
    """Where the system under test is built from."""

    url: str = Field(repr=False)
    """URL as git on the building host understands it: https, ssh, file or a path there. For a private repository,
    include the token, as in `https://${TOKEN}@github.com/…`; it is kept out of command lines, files and results."""
    commit: str = "main"
    """Branch, tag or hash; resolved to a hash before anything is built."""


class BuildSettings(SettingsModel):
    """How the system under test is built. Fields that are set replace those of the protocol. Without a command, the
    first of these files at the top of the repository selects one: `Cargo.toml` (`cargo build --release --locked`),
    `go.mod` (`go build ./...`), `Makefile` (`make`)."""

    command: str | None = None
    """Bash script that runs in the checkout, as the login of the building host. `$BUILD_CACHE` is a folder that is kept
    for later builds. The host's shell expands variables in it, not yours."""
    outputs: tuple[str, ...] | None = None
    """Files that the command creates, by name or by path in the checkout; nodes and clients find them on PATH. By
    default those of the protocol, else all executable files that the command creates."""
    packages: tuple[str, ...] | None = None
    """Debian packages that the command needs; the default commands have their own."""


def _region_name(name: str) -> str:
    """Return `name` if it can be part of names of hosts, files and folders; ValueError otherwise."""
    if not re.fullmatch(r"[^\W_][\w .-]*", name):
        raise ValueError(
            f"{name!r} is not a valid region name; use letters, digits, spaces, '.', '_' and '-', and "
            "start with a letter or digit"
        )
    return name


class Jump(SettingsModel):
    """A gateway: an SSH server that forwards your connections to machines which you cannot reach directly."""

    address: str
    """IP address or name at which you reach it."""
    port: int = Field(default=22, ge=1, le=65535)
    """Port of its SSH server."""
    user: str | None = None
    """Login there, which accepts the same key as the machines; that of the machine if not set."""
    host_key: str
    """Public SSH host key of the gateway; `ssh-keyscan -t ed25519 ADDRESS` prints it."""


def _expand_home(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError(f"{str(path)!r}: the user has no home folder here; write a whole path") from None


class Machine(SettingsModel):
    """A machine you already have (`cloud_provider: machines`)."""

    region: Annotated[str, AfterValidator(_region_name)]
    """Name of your choice that groups machines, such as a city."""
    address: str
    """IP address or name at which the other hosts reach it, and you unless `ssh_address` is set. In a testbed with
    cloud hosts it must be an IPv4 address, because their firewalls do not support names and the hosts have no IPv6."""
    port: int = Field(default=22, ge=1, le=65535)
    """Port at which you reach its SSH server."""
    ssh_address: str | None = None
    """Address at which you reach it, if it is another one, such as that of a router that forwards `port`."""
    jump: Jump | None = None
    """Gateway through which you reach it, if you cannot connect to it directly."""
    user: str = "root"
    """Login with passwordless sudo."""
    host_key: str | None = None
    """Public SSH host key. `ssh-keyscan -t ed25519 ADDRESS` prints it; compare it with the key on the machine."""


_SYSTEM_FOLDERS = frozenset(
    ["bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "run", "sbin", "sys", "usr"]
)
"""Nothing in these folders of hosts is a place for files of runs."""
_SHARED_FOLDERS = [[name] for name in ["home", "media", "mnt", "opt", "root", "srv", "tmp", "var"]]
"""Folders whose own subfolder `run` is not a run's; folders in them are possible."""


@dataclass(frozen=True)
class Origin:
    """The file from which settings were read. All are equal: settings are the same wherever they come from."""

    where: Callable[[FieldPath], str | None] = dataclass_field(default=lambda path: None, compare=False)
    """Returns `FILE, line L, column C` of a field; None where no file is known."""


class Settings(SettingsModel):
    """Settings of a testbed and its benchmarks."""

    _origin: Origin = PrivateAttr(default=Origin())

    testbed_id: str = Field(default="testbed", pattern=_ID)
    """Name of the testbed: lower-case letters, digits and dashes. Testbeds with different ids exist side by side."""
    cloud_provider: Provider = "local"
    """Provider of all regions that do not name one: aws, vultr, machines or local."""
    token_file: Path | None = None
    """File with the provider's credentials; by default `~/.vultr` (the token) or `~/.aws/credentials` (keys under
    `[default]`)."""
    ssh_private_key_file: Path | None = None
    """Private key of the operator; by default the testbed generates a key pair and keeps it in the stack's secrets."""
    ssh_public_key_file: Path | None = None
    """Public key of the operator; by default the path of the private key with `.pub` appended."""
    regions: tuple[str, ...] = ()
    """Regions by the provider's own names. `vultr:ewr` names another provider, so one testbed can span clouds. The
    local provider emulates the network between the regions of these names."""
    specs: str | dict[Provider, str] | None = None
    """Instance type (AWS) or plan (Vultr), or a mapping with one per provider."""
    instances: int = Field(default=4, ge=1, le=1000)
    """Hosts per region. The first host of the first region is the monitoring host."""
    machines: tuple[Machine, ...] = ()
    """Machines you already have; you need not repeat their regions in `regions`."""
    network: Network = Network()
    """The emulated network of the local provider."""
    disk: Disk = Disk()
    """The disk of each host of the local provider."""
    repository: Repository | None = None
    """Where the system under test is built from. A repository that the protocol does not use is an error."""
    build: BuildSettings | None = None
    """How the system under test is built, if not as its protocol says; `{}` builds any system from `repository`."""
    protocol: str = "etcd"
    """System under test: a name that `geobench run --help` lists, or a `FILE.yaml` that describes one."""
    node_parameters: Path | dict[str, object] | None = None
    """Parameters of the nodes, inline or a YAML file; the protocol defines which there are."""
    client_parameters: Path | dict[str, object] | None = None
    """Parameters of the load generators, inline or a YAML file; the protocol defines which there are."""
    benchmark_duration: Duration = timedelta(seconds=180)
    """Length of the measured window, without warm-up."""
    warm_up: Duration | None = None
    """Time under load before the measured window. By default it is detected, at least 15 s (MSER-5; see
    docs/numbers.md)."""
    load_shape: str = "constant"
    """How the load changes over the measured window: `constant`; `ramp`, from a tenth (or `ramp:SHARE`) to the full
    load; `steps:NUMBER`, upwards; or a CSV file with lines SECONDS,RATE, whose peak is the requested load."""
    dedicated_clients: int = Field(default=0, ge=0)
    """Number of hosts that only generate load; 0 runs a client on the host of each node."""
    phases: tuple[Phase, ...] = ()
    """Parts of the measured window with statistics of their own, as texts such as `attack 60s` or as fields. Together
    they last as long as benchmark_duration, which can be omitted."""
    faults: tuple[Fault, ...] = ()
    """Faults to inject in every run, as texts such as `crash:leader@60s` or as fields; see docs/faults.md."""
    recovery: Recovery = Recovery()
    """When a system counts as recovered from a fault."""
    monitoring: bool = True
    """Whether one host runs Prometheus (and Grafana) instead of a node. Nothing can be measured without it."""
    grafana_public: bool = False
    """Whether Grafana listens on the public address of the monitoring host, for operator_cidrs only and with a
    generated password, instead of behind an SSH tunnel."""
    scrape_interval: Duration = Field(default=timedelta(seconds=5), ge=timedelta(milliseconds=200))
    """Time between two samples of every metric."""
    log_processing: bool = True
    """Download node and client logs after each run."""
    nvme: bool = True
    """Use local NVMe disks if the instance type has them."""
    working_dir: str = Field(default="geobench", pattern=_FOLDER)
    """Folder on the hosts for artifacts, configuration, data and logs, relative to the home of the login. A run
    replaces its subfolder `run`, unless something else made that."""
    results_dir: Path = Path("results")
    """Folder on this machine for results, relative to the Pulumi project."""
    ssh_timeout: Duration = Field(default=timedelta(seconds=10), gt=timedelta(0))
    """Timeout for connecting to a host."""
    ssh_retries: int = Field(default=2, ge=0, le=20)
    """Retries of a connection that fails at once, such as a refused one. A host that does not answer within ssh_timeout
    is not tried again, and commands are never repeated."""
    health_check_timeout: Duration = Field(default=timedelta(seconds=60), gt=timedelta(0))
    """Timeout for all nodes to become ready after their start."""
    operator_cidrs: tuple[str, ...] = ()
    """Networks that may reach the hosts over SSH, such as `203.0.113.7/32`; required for clouds."""
    time_to_live: Duration = Field(default=timedelta(hours=12), ge=timedelta(minutes=10))
    """Time after which every cloud host shuts itself down, without the operator's machine."""
    excluded_zones: tuple[str, ...] = ()
    """AWS zones that get no new hosts, such as `us-east-1a`; existing hosts stay. A zone that had no capacity for the
    instance type gets none for an hour."""
    spot: bool = False
    """Request spot instances, which AWS can interrupt at any time."""
    disk_gb: int = Field(default=100, ge=8, le=16000)
    """Size of the root disk of AWS hosts in GB."""
    state: Literal["running", "stopped"] = "running"
    """`stopped` halts the hosts and keeps their disks."""

    @model_validator(mode="before")
    @classmethod
    def _as_long_as_its_phases(cls, values: object) -> object:
        """Make the measured window as long as its phases where its length is not set."""
        if isinstance(values, Mapping) and values.get("phases") and "benchmark_duration" not in values:
            with suppress(ValidationError):  # which is reported where it is
                phases = TypeAdapter(tuple[Phase, ...]).validate_python(values["phases"])
                return {**values, "benchmark_duration": total_duration(phases)}
        return values

    @field_validator("phases")
    @classmethod
    def _fill_the_window(cls, value: tuple[PhaseRequest, ...], info: ValidationInfo) -> tuple[PhaseRequest, ...]:
        if "benchmark_duration" in info.data:
            check_duration(value, info.data["benchmark_duration"], "benchmark_duration")
        return value

    @field_validator("faults")
    @classmethod
    def _in_known_phases(cls, value: tuple[FaultRequest, ...], info: ValidationInfo) -> tuple[FaultRequest, ...]:
        if "phases" in info.data:
            place_in_phases(value, info.data["phases"])
        return value

    @field_validator("working_dir", mode="before")
    @classmethod
    def _from_home(cls, value: object) -> object:
        """Accept `~/folder`, as the folder is relative to the home of the login anyway."""
        return value.removeprefix("~/") if isinstance(value, str) else value

    @field_validator("results_dir", "node_parameters", "client_parameters")
    @classmethod
    def _on_this_machine(cls, value: object) -> object:
        return _expand_home(value) if isinstance(value, Path) else value

    @field_validator("token_file", "ssh_private_key_file", "ssh_public_key_file")
    @classmethod
    def _has_home(cls, value: Path | None) -> Path | None:
        """Keep `~`, so that results do not contain the operator's home."""
        if value is not None:
            _expand_home(value)
        return value

    @field_validator("working_dir")
    @classmethod
    def _not_a_system_folder(cls, value: str) -> str:
        parts = [part for part in value.split("/") if part not in ("", ".")]
        if value.startswith("-") or ".." in parts:
            raise ValueError(f"{value!r} begins with a dash or contains `..`; write a plain folder")
        if value.startswith("/") and (not parts or parts[0] in _SYSTEM_FOLDERS or parts in _SHARED_FOLDERS):
            raise ValueError(f"{value!r} belongs to the system; write a folder of its own such as /srv/geobench")
        return value

    @field_validator("regions")
    @classmethod
    def _known_providers(cls, value: tuple[str, ...], known: ValidationInfo) -> tuple[str, ...]:
        if not value and known.data.get("cloud_provider", "machines") != "machines":
            raise ValueError("list at least one, such as `regions: [us-east-1]`")
        for text in value:
            prefix, colon, name = text.rpartition(":")
            if colon and (prefix not in ("aws", "vultr", "local") or not name):
                raise ValueError(f"{text!r}: write REGION, aws:REGION, vultr:REGION or local:REGION")
            _region_name(name)
        doubled = sorted({text for text in value if value.count(text) > 1})
        if doubled:
            raise ValueError(f"listed twice: {', '.join(doubled)}; set `instances` for more hosts per region")
        return value

    @field_validator("operator_cidrs")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """Normalize and deduplicate: clouds reject duplicate rules, and addresses without a prefix length."""
        try:
            return tuple(dict.fromkeys(str(ipaddress.ip_network(text)) for text in value))
        except ValueError as error:
            raise ValueError(f"{error}; write a network such as 203.0.113.7/32") from None

    @model_validator(mode="after")
    def _has_hosts(self) -> Settings:
        if self.cloud_provider == "machines" and not self.machines:
            raise ValueError("cloud_provider is machines, but `machines` is empty; list at least one")
        return self

    @model_validator(mode="after")
    def _has_addresses(self) -> Settings:
        """Reject machines that the firewalls of cloud hosts could not admit."""
        named = []
        for index, machine in enumerate(self.machines):
            try:
                version = ipaddress.ip_address(machine.address).version
            except ValueError:
                version = None  # a name
            if version != 4:
                named.append(f"machines.{index}.address {machine.address}")
        if named and any(spec.provider in ("aws", "vultr") for spec in self.region_specs):
            raise ValueError(
                f"found {', '.join(named)}, expected IPv4 addresses: cloud hosts have no others, and their "
                "firewalls do not support names; `getent ahostsv4 NAME` shows the address"
            )
        return self

    def read_from(self, origin: Origin) -> Settings:
        """Note where the fields come from, and return these settings."""
        self._origin = origin
        return self

    def located(self, message: str, *path: int | str) -> str:
        """Return `message` after the place of the field at `path` in its file, where that is known."""
        place = self._origin.where(path)
        return f"{place}: {message}" if place else message

    @property
    def region_specs(self) -> tuple[RegionSpec, ...]:
        """The listed regions with their providers, in order."""
        specs = []
        for text in self.regions:
            prefix, _, name = text.rpartition(":")
            specs.append(RegionSpec(prefix or self.cloud_provider, name))  # type: ignore[arg-type]
        return tuple(specs)
