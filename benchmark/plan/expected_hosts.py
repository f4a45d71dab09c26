"""The hosts that the testbed program creates for settings, as far as they are known before."""

from __future__ import annotations

from datetime import UTC, datetime

from benchmark.inventory import Host, Inventory, Provider, Ssh
from benchmark.settings import Settings


def expected_inventory(settings: Settings) -> Inventory:
    """Return the hosts of a testbed that does not exist yet: names, regions and roles, without addresses and prices."""
    hosts = [
        Host(
            name=f"{spec.name}-{index}",
            provider=spec.provider,
            region=spec.name,
            specs=_specs(settings, spec.provider),
            address="",
            host_key="",
        )
        for spec in settings.region_specs
        if spec.provider != "machines"
        for index in range(settings.instances)
    ]
    counts: dict[str, int] = {}
    for machine in settings.machines:
        index = counts[machine.region] = counts.get(machine.region, -1) + 1
        hosts.append(
            Host(
                name=f"{machine.region}-{index}",
                provider="machines",
                region=machine.region,
                specs="",
                address="",
                host_key="",
            )
        )
    if settings.monitoring:
        hosts[0] = hosts[0].model_copy(update={"role": "monitoring"})
    rented = any(host.provider in ("aws", "vultr") for host in hosts)
    return Inventory(
        testbed_id=settings.testbed_id,
        created_at=datetime.now(UTC),
        hourly_cost_usd=None if rented else 0.0,
        ssh=Ssh(user="root"),
        hosts=tuple(hosts),
    )


def _specs(settings: Settings, provider: Provider) -> str:
    if provider == "local":
        return "namespace"
    return settings.specs.get(provider, "") if isinstance(settings.specs, dict) else settings.specs or ""
