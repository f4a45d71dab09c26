"""Zones in which AWS had no capacity lately: new hosts go to other zones.

Only the failure of a creation shows it, and Pulumi ends the program then; so a hook records the zone, and the next
`pulumi up` reads the record. https://www.pulumi.com/docs/iac/concepts/resources/options/hooks/
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pulumi
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.settings import monitor_supports_feature

RECORD = Path(".state/zones-without-capacity.json")
"""In the project's folder, where Pulumi runs the program: instance type and zone to the time of the failure."""
MEMORY = timedelta(hours=1)
SHORTAGES = ("InsufficientInstanceCapacity", "InsufficientReservedInstanceCapacity", "no Spot capacity available")


def zones_without_capacity(instance_type: str) -> frozenset[str]:
    """Return the zones that had no capacity for the type within the last hour."""
    limit = datetime.now(UTC) - MEMORY
    recent = (key.partition(" ") for key, time in _read().items() if datetime.fromisoformat(time) > limit)
    return frozenset(zone for kind, _, zone in recent if kind == instance_type)


def record_shortage(instance_type: str, zone: str) -> None:
    """Remember that `zone` has no capacity for the type now."""
    limit = datetime.now(UTC) - MEMORY
    kept = {key: time for key, time in _read().items() if datetime.fromisoformat(time) > limit}
    RECORD.parent.mkdir(mode=0o700, exist_ok=True)
    RECORD.write_text(json.dumps({**kept, f"{instance_type} {zone}": datetime.now(UTC).isoformat()}), encoding="utf-8")


def shortage_hook(region: str, instance_type: str, zones: Mapping[str, str]) -> pulumi.ResourceHookBinding | None:
    """Return the hook that records shortages and says what to do; None if the engine is too old for it.

    `zones` are those that were requested, by the name of the host.
    """
    if not monitor_supports_feature(resource_pb2.RESOURCE_MONITOR_FEATURE_ERROR_HOOKS):
        return None

    def failed(args: pulumi.ErrorHookArgs) -> bool:
        zone = zones.get(args.name)
        if zone and any(text in args.errors[0] for text in SHORTAGES):
            record_shortage(instance_type, zone)
            pulumi.log.warn(
                f"{args.name}: {zone} has no capacity for {instance_type}; run `pulumi up` again, which puts new hosts "
                f"into other zones for an hour, or set `excluded_zones: [{zone}]`"
            )
        return False  # the same request again would fail again

    return pulumi.ResourceHookBinding(on_error=[pulumi.ErrorHook(f"{region}-shortage", failed)])


def _read() -> dict[str, str]:
    try:
        found = json.loads(RECORD.read_text(encoding="utf-8"))
        return {key: time for key, time in found.items() if datetime.fromisoformat(time).tzinfo}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
