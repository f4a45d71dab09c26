"""Declare a testbed: the regions of every provider, and the inventory of their hosts.

A provider is a package with a module `region` that has a function `regions(plan, names)`; it returns a
`stacks.region.Region` for each name. Adding a provider takes such a package and a line in PROVIDERS.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from typing import NoReturn

import pulumi

from benchmark.errors import SettingsError
from benchmark.host_layout import GRAFANA_PORT
from benchmark.inventory import Host, Inventory, Provider, Ssh
from benchmark.settings import RegionSpec, Settings
from stacks import former_modules  # noqa: F401  # the states of earlier releases need it, and CreationProvider here
from stacks.cloud.region_args import total_cost
from stacks.keys import operator_key
from stacks.region import Creation, CreationProvider, Plan, Region  # noqa: F401

PROVIDERS: Mapping[Provider, str] = {
    "aws": "stacks.aws.region",
    "vultr": "stacks.vultr.region",
    "machines": "stacks.machines.region",
    "local": "stacks.local.region",
}
"""Modules of the providers, imported on first use: those of clouds take seconds."""


@dataclass(frozen=True)
class Testbed:
    """Outputs of the Pulumi program."""

    inventory: pulumi.Output[dict[str, object]]
    hourly_cost_usd: pulumi.Output[float | None]
    ssh_private_key: pulumi.Output[str] | None
    """A secret; None if the settings name a key."""
    grafana_url: pulumi.Output[str | None]
    """None if Grafana is reached through the tunnel only, or its host is stopped."""
    grafana_password: pulumi.Output[str] | None
    """A secret; None if Grafana is not public."""

    __test__ = False  # pytest would collect the name


def fail(error: Exception) -> NoReturn:
    """End the program with an error; Pulumi adds nothing to it after this exit code."""
    pulumi.log.error(str(error))
    sys.exit(32)


def set_up_process() -> None:
    """Let the program end without a traceback when Pulumi interrupts it, and collect garbage rarely."""
    # When a resource fails, Pulumi interrupts this program; a traceback would hide the reason of the failure.
    signal.signal(signal.SIGINT, lambda *_: os._exit(1))
    # The program makes many small objects and lives for seconds: by default, a third of its time is garbage collection.
    gc.set_threshold(200_000, 20, 100)


def create(settings: Settings) -> Testbed:
    """Declare all regions of the settings. Raises SettingsError, and InfrastructureError if a provider fails."""
    machines = [RegionSpec("machines", machine.region) for machine in settings.machines]  # need not be listed
    specs = list(dict.fromkeys([*settings.region_specs, *machines]))
    names = [spec.name for spec in specs]
    duplicates = sorted({name for name in names if names.count(name) > 1})
    if duplicates:
        raise SettingsError(
            f"regions: {', '.join(duplicates)} is listed for two providers, and hosts are named after their region; "
            "remove one"
        )
    plan = Plan(
        settings,
        operator_key(settings),
        Creation(settings.testbed_id).created_at,
        monitoring_host=f"{names[0]}-0" if settings.monitoring else None,
        peers=settings.instances * len(settings.regions) + len(settings.machines),
    )
    by_name: dict[str, Region] = {}
    for provider in dict.fromkeys(spec.provider for spec in specs):
        group = [spec.name for spec in specs if spec.provider == provider]
        declare: Callable[[Plan, Sequence[str]], Sequence[Region]] = import_module(PROVIDERS[provider]).regions
        by_name.update(zip(group, declare(plan, group), strict=True))
    regions = [by_name[name] for name in names]
    addresses = {
        f"{name}-{index}": host.apply(lambda found: found.address)
        for name, region in zip(names, regions, strict=True)
        for index, host in enumerate(region.hosts)
    }
    for region in regions:
        region.authorize_ingress(addresses)

    def inventory(created_at: str, cost: float | None, hosts: Sequence[Host]) -> dict[str, object]:
        created = datetime.fromisoformat(created_at)
        return Inventory(
            testbed_id=settings.testbed_id,
            created_at=created,
            expires_at=created + settings.time_to_live
            if any(region.capabilities.ephemeral for region in regions)
            else None,
            hourly_cost_usd=cost,
            ssh=Ssh(user="root", private_key_file=plan.operator.private_key_file),
            round_trips={pair: wanted for region in regions for pair, wanted in region.round_trips.items()},
            hosts=tuple(hosts),
        ).model_dump(mode="json")

    def grafana_url(host: Host) -> str | None:
        public = regions[0].grafana_password is not None
        return f"http://{host.endpoint(GRAFANA_PORT)}" if public and host.address else None

    hosts = [host for region in regions for host in region.hosts]
    cost = total_cost([region.hourly_cost_usd for region in regions])
    return Testbed(
        pulumi.Output.all(plan.created_at, cost, *hosts).apply(
            lambda values: inventory(values[0], values[1], values[2:])
        ),
        cost,
        plan.operator.private_key,
        hosts[0].apply(grafana_url),
        regions[0].grafana_password,
    )
