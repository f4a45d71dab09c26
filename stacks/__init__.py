"""The stacks of hosts: one component per region, by provider, and the inventory of all of them.

A provider's module is imported only if a region of it is asked for. That of a cloud has a component class for
`stacks.clouds.CloudRegionArgs`; the others have a function `regions(plan, names)` that returns their components.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from typing import Any, cast

import pulumi

from benchmark.errors import SettingsError
from benchmark.host_layout import GRAFANA_PORT
from benchmark.inventory import Inventory, Provider, Ssh
from benchmark.settings import RegionSpec, Settings
from stacks.cloud.region_args import CloudRegionArgs, cloud_region_args, testbed_tags, total_cost
from stacks.keys import operator_key
from stacks.region import Creation, Plan, Region

_CLOUDS: Mapping[Provider, str] = {"aws": "AwsRegion", "vultr": "VultrRegion"}


@dataclass(frozen=True)
class Testbed:
    """What the program exports; secrets are None where there are none."""

    inventory: pulumi.Output[dict[str, Any]]
    hourly_cost_usd: pulumi.Output[float | None]
    ssh_private_key: pulumi.Output[str] | None
    """None where the user brought a key of his own."""
    grafana_url: pulumi.Output[str | None]
    """None where Grafana is behind the tunnel only, or its host is stopped."""
    grafana_password: pulumi.Output[str] | None

    __test__ = False  # pytest would collect the name


def create(settings: Settings) -> Testbed:
    """Declare the regions that the settings name, each by its provider. Raises SettingsError."""
    specs = _region_specs(settings)
    names = [spec.name for spec in specs]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise SettingsError(
            f"regions: {', '.join(doubled)} of two providers; hosts are named after their region, so leave one out"
        )
    monitoring_host = f"{names[0]}-0" if settings.monitoring else None
    peers = settings.instances * len(settings.regions) + len(settings.machines)
    created_at = Creation(settings.testbed_id).created_at
    plan = Plan(settings, operator_key(settings), created_at, monitoring_host, peers)
    found: dict[str, Region] = {}
    for provider in dict.fromkeys(spec.provider for spec in specs):
        group = [spec.name for spec in specs if spec.provider == provider]
        found.update(zip(group, _regions(provider, plan, group), strict=True))
    regions = [found[name] for name in names]
    hosts = [host for region in regions for host in region.hosts]
    addresses = {f"{name}-{index}": host["address"] for name in names for index, host in enumerate(found[name].hosts)}
    for region in regions:
        region.admit(addresses)
    cost = total_cost([region.hourly_cost_usd for region in regions])
    expires = any(spec.provider in _CLOUDS for spec in specs)
    inventory = pulumi.Output.all(created_at, cost, *hosts).apply(
        lambda values: _inventory(plan, expires, created_at=values[0], cost=values[1], hosts=values[2:])
    )
    password = regions[0].grafana_password
    return Testbed(inventory, cost, plan.operator.private_key, _grafana_url(hosts[0], password), password)


def _grafana_url(host: pulumi.Output[dict[str, Any]], password: pulumi.Output[str] | None) -> pulumi.Output[str | None]:
    """The address of a Grafana that listens in public, user `admin`."""

    def url(fields: dict[str, Any]) -> str | None:
        return f"http://{fields['address']}:{GRAFANA_PORT}" if fields["address"] else None

    return host.apply(url) if password is not None else pulumi.Output.from_input(None)


def _regions(provider: Provider, plan: Plan, names: Sequence[str]) -> Sequence[Region]:
    module = import_module(f"stacks.{provider}.region")
    if provider not in _CLOUDS:
        return cast("Sequence[Region]", module.regions(plan, names))
    component: Callable[[str, CloudRegionArgs, pulumi.ResourceOptions], Region] = getattr(module, _CLOUDS[provider])
    shared = pulumi.ResourceOptions(providers=[module.provider(plan.settings)])
    expires_at = plan.created_at.apply(
        lambda text: (datetime.fromisoformat(text) + plan.settings.time_to_live).isoformat()
    )
    tags = testbed_tags(plan.settings, expires_at)
    key = plan.operator.public_key
    return [
        component(
            name,
            cloud_region_args(
                plan.settings,
                RegionSpec(provider, name),
                key,
                tags,
                peers=plan.peers,
                monitoring=plan.role(f"{name}-0") == "monitoring",
            ),
            shared,
        )
        for name in names
    ]


def _region_specs(settings: Settings) -> list[RegionSpec]:
    """All regions in the settings' order; those of machines, which need not be listed, come last."""
    of_machines = dict.fromkeys(RegionSpec("machines", machine.region) for machine in settings.machines)
    return list(dict.fromkeys([*settings.region_specs, *of_machines]))


def _inventory(plan: Plan, expires: bool, created_at: str, cost: float | None, hosts: list[Any]) -> dict[str, Any]:
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
