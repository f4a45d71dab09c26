"""Inventories for tests: regions and how many hosts each has."""

from __future__ import annotations

from datetime import UTC, datetime

from benchmark.inventory import Host, Inventory, Ssh


def inventory(monitoring: bool = True, stopped: frozenset[str] = frozenset(), **regions: int) -> Inventory:
    """Return an inventory such as `inventory(a=2, b=1)`: hosts a-0, a-1, b-0; the first one is the monitoring host."""
    names = [(region, f"{region}-{index}") for region, count in regions.items() for index in range(count)]
    hosts = tuple(
        Host(
            name=name,
            provider="local",
            region=region,
            specs="namespace",
            address=f"198.18.0.{number + 2}",
            host_key="ssh-ed25519 AAAA",
            role="monitoring" if monitoring and number == 0 else "instance",
            state="stopped" if name in stopped else "running",
        )
        for number, (region, name) in enumerate(names)
    )
    return Inventory(testbed_id="t", created_at=datetime(2026, 1, 1, tzinfo=UTC), ssh=Ssh(user="root"), hosts=hosts)


def of_provider(host: Host, provider: str, **fields: object) -> Host:
    """Return `host` as one of another provider, with the capabilities of that provider's hosts."""
    return Host.model_validate(host.model_dump(exclude={"capabilities"}) | {"provider": provider, **fields})
