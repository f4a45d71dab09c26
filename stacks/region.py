"""What every provider's regions are made from and offer, and the moment the testbed was created."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource, ResourceProvider

from benchmark.inventory import Role
from benchmark.settings import Settings
from stacks.keys import OperatorKey


@dataclass(frozen=True)
class Plan:
    """What the components of all regions share."""

    settings: Settings
    operator: OperatorKey
    created_at: pulumi.Output[str]
    monitoring_host: str | None
    """Name of the host that runs Prometheus."""
    peers: int
    """Hosts of the whole testbed."""

    def role(self, name: str) -> Role:
        """The role of the host called `name`."""
        return "monitoring" if name == self.monitoring_host else "instance"


class Region(Protocol):
    """What the component of a region offers, whatever its provider."""

    hosts: Sequence[pulumi.Output[dict[str, Any]]]
    """Fields of `benchmark.inventory.Host`, a mapping for each host."""
    hourly_cost_usd: pulumi.Input[float | None]
    """Sum over the region's hosts; None if a price is unknown."""
    grafana_password: pulumi.Output[str] | None
    """Of the first host, where it runs a Grafana that listens in public; a secret."""

    def admit(self, addresses: Mapping[str, pulumi.Input[str]]) -> None:
        """Let in the hosts with these names and addresses: all of the testbed, but for those without an address."""


class CreationProvider(ResourceProvider):
    """Takes the time once, when the stack is first created."""

    serialize_as_secret_always = False

    def create(self, _props: dict[str, Any]) -> CreateResult:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return CreateResult(now, {"created_at": now})

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        return DiffResult(changes=False)


class Creation(Resource, module="geobench", name="Creation"):
    """The moment a testbed was created: `created_at`, ISO 8601 in UTC, the same in every later update."""

    created_at: pulumi.Output[str]

    def __init__(self, name: str) -> None:
        super().__init__(CreationProvider(), name, {"created_at": None})
