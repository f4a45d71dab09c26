"""Arguments and outputs of regions of all providers, and the creation time of the testbed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource, ResourceProvider

from benchmark.inventory import EmulatedRoundTrip, Host, HostCapabilities, Role
from benchmark.settings import Settings
from stacks.keys import OperatorKey


@dataclass(frozen=True)
class Plan:
    """Arguments that all regions share."""

    settings: Settings
    operator: OperatorKey
    created_at: pulumi.Output[str]
    monitoring_host: str | None
    """Name of the host that runs Prometheus."""
    peers: int
    """Number of hosts in the whole testbed."""

    def role(self, name: str) -> Role:
        """Return the role of the host called `name`."""
        return "monitoring" if name == self.monitoring_host else "instance"


class Region(Protocol):
    """The hosts of one region."""

    @property
    def hosts(self) -> Sequence[pulumi.Output[Host]]:
        """The hosts as the inventory lists them, in the order of their numbers."""

    @property
    def hourly_cost_usd(self) -> pulumi.Input[float | None]:
        """Sum over the region's hosts; None if any price is unknown."""

    @property
    def grafana_password(self) -> pulumi.Output[str] | None:
        """Password of the first host's Grafana if that is public; a secret."""

    @property
    def capabilities(self) -> HostCapabilities:
        """How the region's hosts behave; each of them has the same in the inventory."""

    @property
    def round_trips(self) -> Mapping[str, EmulatedRoundTrip]:
        """Requested round trips from the region in an emulated network, by `FROM/TO`; empty in a real one."""

    def authorize_ingress(self, addresses: Mapping[str, pulumi.Input[str]]) -> None:
        """Allow inbound traffic from the testbed's hosts, given by name and address (empty for a stopped host)."""


class CreationProvider(ResourceProvider):
    """Reads the clock once, when the stack is created."""

    serialize_as_secret_always = False

    def create(self, _props: Mapping[str, object]) -> CreateResult:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return CreateResult(now, {"created_at": now})

    def diff(self, _id: str, _olds: Mapping[str, object], _news: Mapping[str, object]) -> DiffResult:
        return DiffResult(changes=False)


class Creation(Resource, module="geobench", name="Creation"):
    """The time a testbed was created: `created_at`, ISO 8601 in UTC, unchanged by later updates."""

    created_at: pulumi.Output[str]

    def __init__(self, name: str) -> None:
        super().__init__(CreationProvider(), name, {"created_at": None})
