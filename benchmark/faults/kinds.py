"""The kinds of faults and their parameters, one class per kind."""

from __future__ import annotations

import difflib
import re
from abc import abstractmethod
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, PlainSerializer, ValidationError

from benchmark.errors import UsageError
from benchmark.settings import explain_errors, format_duration, parse_duration, parse_share
from benchmark.settings.sizes import Bandwidth as BytesPerSecond
from benchmark.settings.sizes import Size

_AS_TEXT = (BeforeValidator(parse_duration), PlainSerializer(format_duration, return_type=str))
_Added = Annotated[timedelta, Field(ge=timedelta(milliseconds=1), le=timedelta(seconds=2)), *_AS_TEXT]
_RATES = {"bit": 1.0, "kbit": 1e3, "Mbit": 1e6, "Gbit": 1e9}
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*(k|M|G)?bit(?:/s)?")


def _read_rate(value: object) -> object:
    """Read `10Mbit` as bits per second."""
    if isinstance(value, str) and (found := _RATE.fullmatch(value.strip())):
        return float(found[1]) * _RATES[f"{found[2] or ''}bit"]
    raise ValueError(f"found {value!r}; write a rate such as 10Mbit or 500kbit")


def _format_rate(value: float) -> str:
    unit = next(unit for unit in ("Gbit", "Mbit", "kbit", "bit") if value >= _RATES[unit] or unit == "bit")
    return f"{value / _RATES[unit]:g}{unit}"


class Kind(BaseModel):
    """A kind of fault; the fields are its parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: ClassVar[str]
    stops_processes: ClassVar[bool] = False
    """Whether processes of its nodes stop, so that no other such fault can affect them at the same time."""
    changes: ClassVar[str] = ""
    """What it changes of links between hosts: `reach` if no packet passes, else the property; empty if nothing."""
    instant: ClassVar[bool] = False
    """Whether it is healed as soon as it was in force; its end equals its start."""
    ends_processes: ClassVar[bool] = False
    """Whether processes of its nodes may end of it; these start again with their data at its end."""
    held_proof_s: ClassVar[float] = 0.0
    """How long before its end the proof begins that it is still in force."""
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


class LinkKind(Kind):
    """A fault of the links between the hosts of the target and those of the other nodes."""

    one_way: Literal["in", "out"] | None = None
    """Affect only the packets to the target (`in`) or from it (`out`)."""


class Partition(LinkKind):
    """All packets between the hosts of the target and those of the other nodes are dropped."""

    name = "partition"
    changes = "reach"
    bridge: Annotated[str, BeforeValidator(str)] | None = None
    """Nodes that still reach both sides: a number, chosen at random, or regions, hosts or nodes joined by `+`."""
    leader_of: Literal["majority", "minority"] | None = None
    """The side that has the leader."""


class Loss(LinkKind):
    """A share of the packets between the hosts of the target and those of the other nodes is dropped at random."""

    name = "loss"
    changes = "loss"
    share: Annotated[float, BeforeValidator(parse_share), Field(gt=0, le=1)]
    """Share of the packets lost in each direction: `30%` or 0.3."""


class Impairment(LinkKind):
    """A fault of links that lets packets pass, but later, at a limited rate or not always."""

    held_proof_s = 1.0
    held_by_receiver: ClassVar[bool] = False
    """Whether the receiving hosts hold the packets, not the hosts of the target."""

    @abstractmethod
    def parameters(self) -> dict[str, float]:
        """Return the parameters of the mechanism, in s and bits per second."""


class Delay(Impairment):
    """Packets between the hosts of the target and those of the other nodes arrive later."""

    name = "delay"
    changes = "delay"
    held_by_receiver = True
    delay: _Added
    """Time added in each direction, so twice that in a round trip: `100ms`; from 1 ms to 2 s."""

    def parameters(self) -> dict[str, float]:
        """Return the delay."""
        return {"delay_s": self.delay.total_seconds()}


class Jitter(Impairment):
    """Packets between the hosts of the target and those of the other nodes arrive later by a random time."""

    name = "jitter"
    changes = "jitter"
    held_by_receiver = True
    jitter: _Added
    """Longest time added in each direction: each link draws a time between 0 and this one, as often; `20ms`."""

    def parameters(self) -> dict[str, float]:
        """Return the longest time added."""
        return {"jitter_s": self.jitter.total_seconds()}

    @property
    def patience_s(self) -> float:
        """Round trips have to differ."""
        return 20 * self.jitter.total_seconds() + 5.0


class Bandwidth(Impairment):
    """The packets between a host of the target and those of the other nodes share a limited rate."""

    name = "bandwidth"
    changes = "rate"
    rate: Annotated[float, BeforeValidator(_read_rate), PlainSerializer(_format_rate), Field(ge=1e4, le=1e11)]
    """Bits per second in each direction of each host: `10Mbit`, `500kbit`; a buffer holds 0.1 s of it."""

    def parameters(self) -> dict[str, float]:
        """Return the rate."""
        return {"rate_bps": self.rate}


class Flap(Impairment):
    """The links between the hosts of the target and those of the other nodes go down and up."""

    name = "flap"
    changes = "flap"
    period: Annotated[timedelta, Field(ge=timedelta(milliseconds=20), le=timedelta(minutes=1)), *_AS_TEXT]
    """Time from going down until going down again, such as `2s`."""
    share: Annotated[float, BeforeValidator(parse_share), Field(ge=0.01, le=0.99)] = 0.5
    """Share of each period in which the links are down: `30%` or 0.3."""

    def parameters(self) -> dict[str, float]:
        """Return the period and the share."""
        return {"period_s": self.period.total_seconds(), "down": self.share}

    @property
    def patience_s(self) -> float:
        """The links have to go down and up."""
        return 2 * self.period.total_seconds()


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
    ends_processes = True
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
    changes = "reach"


KINDS: Mapping[str, type[Kind]] = {
    kind.name: kind
    for kind in (
        *(Crash, Pause, Restart, HostDown, Partition, Loss, Delay, Jitter, Bandwidth, Flap),
        *(DiskFull, DiskSlow, DiskStall, Cpu, Memory),
    )
}


_REJECTED = {
    "clock": "a clock that is set for one program cannot be proved: hosts share the kernel's clock or have it "
    "synchronized, Go and static programs never load libfaketime, and others do not report the time that they read"
}


def make_kind(name: str, parameters: Mapping[str, object]) -> Kind:
    """Return the kind called `name` with its parameters; UsageError if it does not exist or does not accept them."""
    if reason := _REJECTED.get(name):
        raise UsageError(f"fault {name}: {reason}")
    if (kind := KINDS.get(name)) is None:
        near = difflib.get_close_matches(name, KINDS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(KINDS)}"
        raise UsageError(f"unknown kind of fault {name!r}; {hint}")
    try:
        return kind.model_validate(parameters)
    except ValidationError as error:
        messages = "; ".join(each.message for each in explain_errors(error, kind, "parameter"))
        raise UsageError(f"fault {name}: {messages}") from None
