"""The stacks of hosts: one component per region, by provider, and the inventory of all of them.

A provider is a module of this package with a function `regions(plan, names)`: the components of the regions `names`,
in their order. It is imported only if a region of that provider is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from typing import Any, Protocol

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource, ResourceProvider

from benchmark.errors import SettingsError
from benchmark.inventory import Inventory, Provider, Role, Ssh
from benchmark.settings import Settings
from stacks.keys import OperatorKey, operator_key

_MODULES: Mapping[Provider, str] = {
    "local": "stacks.local",
    "aws": "stacks.aws",
    "vultr": "stacks.vultr",
    "machines": "stacks.machines",
}


@dataclass(frozen=True)
class Plan:
    """What the components of all regions share."""

    settings: Settings
    operator: OperatorKey
    monitoring_host: str | None
    """Name of the host that runs Prometheus."""

    def role(self, name: str) -> Role:
        """The role of the host called `name`."""
        return "monitoring" if name == self.monitoring_host else "instance"


class Region(Protocol):
    """What the component of a region offers, whatever its provider."""

    hosts: Sequence[pulumi.Output[dict[str, Any]]]
    """Fields of `benchmark.inventory.Host`, a mapping for each host."""
    hourly_cost_usd: float | None
    """Sum over the region's hosts; None if a price is unknown."""


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


@dataclass(frozen=True)
class Testbed:
    """What the program exports; `ssh_private_key` is None where the user brought a key of his own."""

    inventory: pulumi.Output[dict[str, Any]]
    hourly_cost_usd: float | None
    ssh_private_key: pulumi.Output[str] | None

    __test__ = False  # pytest would collect the name


def create(settings: Settings) -> Testbed:
    """Declare the regions that the settings name, each by its provider. Raises SettingsError."""
    by_provider = _by_provider(settings)
    names = [name for group in by_provider.values() for name in group]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise SettingsError(
            f"regions: {', '.join(doubled)} of two providers; hosts are named after their region, so leave one out"
        )
    first = settings.region_specs[0].name if settings.region_specs else names[0]
    plan = Plan(settings, operator_key(settings), f"{first}-0" if settings.monitoring else None)
    found: dict[str, Region] = {}
    for provider, group in by_provider.items():
        found.update(zip(group, import_module(_MODULES[provider]).regions(plan, group), strict=True))
    # In the settings' order, not the providers'.
    ordered = [found[name] for name in dict.fromkeys([*(spec.name for spec in settings.region_specs), *names])]
    prices = [region.hourly_cost_usd for region in ordered]
    cost = None if None in prices else sum(price for price in prices if price is not None)
    expires = any(provider in ("aws", "vultr") for provider in by_provider)
    hosts = pulumi.Output.all(*(host for region in ordered for host in region.hosts))
    inventory = pulumi.Output.all(Creation(settings.testbed_id).created_at, hosts).apply(
        lambda values: _inventory(plan, cost, expires, created_at=values[0], hosts=values[1])
    )
    return Testbed(inventory, cost, plan.operator.private_key)


def _by_provider(settings: Settings) -> dict[Provider, list[str]]:
    groups: dict[Provider, list[str]] = {}
    for spec in settings.region_specs:
        groups.setdefault(spec.provider, []).append(spec.name)
    if settings.machines:
        groups.setdefault("machines", []).extend(dict.fromkeys(machine.region for machine in settings.machines))
    return groups


def _inventory(plan: Plan, cost: float | None, expires: bool, created_at: str, hosts: list[Any]) -> dict[str, Any]:
    created = datetime.fromisoformat(created_at)
    inventory = Inventory(
        testbed_id=plan.settings.testbed_id,
        created_at=created,
        expires_at=created + plan.settings.time_to_live if expires else None,
        hourly_cost_usd=cost,
        ssh=Ssh(user="root", private_key_file=plan.operator.private_key_file),
        hosts=hosts,  # type: ignore[arg-type]  # pydantic checks the mappings
    )
    return inventory.model_dump(mode="json")
