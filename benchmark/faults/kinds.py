"""The kinds of faults and their parameters, one class per kind."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, ValidationError

from benchmark.errors import UsageError
from benchmark.settings import explain_errors, parse_share
from benchmark.settings.sizes import Bandwidth as BytesPerSecond
from benchmark.settings.sizes import Size


class Kind(BaseModel):
    """A kind of fault; the fields are its parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: ClassVar[str]
    stops_processes: ClassVar[bool] = False
    """Whether processes of its nodes stop, so that no other such fault can affect them at the same time."""
    drops_packets: ClassVar[bool] = False
    """Whether it drops packets between hosts, so that no other such fault can affect a link at the same time."""
    instant: ClassVar[bool] = False
    """Whether it is healed as soon as it was in force; its end equals its start."""
    takes: ClassVar[str] = ""
    """What of its hosts it takes, which no other fault can take at the same time; empty if nothing."""
    needs_root: ClassVar[bool] = False
    """Whether its hosts need root or sudo, apart from faults of packets, which always do."""

    @property
    def patience_s(self) -> float:
        """Time that its proof may take besides what all may."""
        return 0.0


class Crash(Kind):
    """SIGKILL of the process group. The process starts again with its data at the end of the fault, if it has one."""

    name = "crash"
    stops_processes = True


class Pause(Kind):
    """SIGSTOP of the process group, SIGCONT at the end."""

    name = "pause"
    stops_processes = True


class Restart(Kind):
    """SIGTERM of the process group, then a new start with its data. With an end, one node after another."""

    name = "restart"
    stops_processes = True
    instant = True


class Partition(Kind):
    """All packets between the hosts of the target and those of the other nodes are dropped."""

    name = "partition"
    drops_packets = True
    one_way: Literal["in", "out"] | None = None
    """Drop only the packets to the target (`in`) or from it (`out`)."""


class Loss(Kind):
    """A share of the packets between the hosts of the target and those of the other nodes is dropped at random."""

    name = "loss"
    drops_packets = True
    share: Annotated[float, BeforeValidator(parse_share), Field(gt=0, le=1)]
    """Share of the packets lost in each direction: `30%` or 0.3."""


class HostKind(Kind):
    """A fault of the hosts of the target."""

    mechanism: ClassVar[str]
    """What injects it on the host (benchmark/host_scripts/inject)."""

    def order(self) -> dict[str, JsonValue]:
        """Return the parameters of the mechanism, in bytes, bytes per second and shares."""
        return dict(self.model_dump(mode="json"))


class DiskFull(HostKind):
    """The file system of the node's data is filled; what was taken is freed at the end."""

    name = "disk_full"
    takes = "space of the disk"
    mechanism = "fill"
    leave: Annotated[Size, Field(ge=0)] = 0
    """How much remains free: `100MB`; by default nothing."""

    def order(self) -> dict[str, JsonValue]:
        """Return the parameters in bytes."""
        return {"leave": self.leave}


class DiskSlow(HostKind):
    """Reads and writes of the disk of the node's data are limited to a bandwidth."""

    name = "disk_slow"
    takes = "disk"
    needs_root = True
    mechanism = "throttle"
    bandwidth: Annotated[BytesPerSecond, Field(ge=64_000)]
    """Most that is read, and most that is written: `1MB/s`."""

    def order(self) -> dict[str, JsonValue]:
        """Return the parameters in bytes per second."""
        return {"bandwidth": self.bandwidth}


class DiskStall(HostKind):
    """Nothing is read from the disk of the node's data, and nothing written, until the end."""

    name = "disk_stall"
    takes = "disk"
    needs_root = True
    mechanism = "throttle"

    def order(self) -> dict[str, JsonValue]:
        """Return the parameters in bytes per second."""
        return {"bandwidth": 0}


class Cpu(HostKind):
    """Other processes take a share of the processors that the node may use."""

    name = "cpu"
    takes = "processors"
    mechanism = "burn"
    share: Annotated[float, BeforeValidator(parse_share), Field(gt=0, le=0.95)]
    """Share of each processor that is taken: `80%` or 0.8."""


class Memory(HostKind):
    """Another process takes a share of the memory that is available when the fault begins."""

    name = "memory"
    takes = "memory"
    mechanism = "hold"
    share: Annotated[float, BeforeValidator(parse_share), Field(gt=0, le=0.95)]
    """Share of the available memory that is taken: `50%` or 0.5."""

    @property
    def patience_s(self) -> float:
        """The kernel has to provide the memory."""
        return 30.0


class HostDown(Kind):
    """All processes of the host stop, and all packets between it and the other hosts are dropped."""

    name = "host_down"
    stops_processes = True
    drops_packets = True


KINDS: Mapping[str, type[Kind]] = {
    kind.name: kind
    for kind in (Crash, Pause, Restart, Partition, Loss, HostDown, DiskFull, DiskSlow, DiskStall, Cpu, Memory)
}


def make_kind(name: str, parameters: Mapping[str, object]) -> Kind:
    """Return the kind called `name` with its parameters; UsageError if it does not exist or does not accept them."""
    if (kind := KINDS.get(name)) is None:
        near = difflib.get_close_matches(name, KINDS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(KINDS)}"
        raise UsageError(f"unknown kind of fault {name!r}; {hint}")
    try:
        return kind.model_validate(parameters)
    except ValidationError as error:
        messages = "; ".join(each.message for each in explain_errors(error, kind, "parameter"))
        raise UsageError(f"fault {name}: {messages}") from None
