"""What differs between two runs besides chance, from their manifests: what a comparison can be put down to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

# Fields of the settings that a run's own parameters repeat, and those that cannot change its numbers.
_NO_MATTER = frozenset(
    {
        *("testbed_id", "protocol", "node_parameters", "client_parameters", "repository", "state"),
        *("benchmark_duration", "warm_up", "dedicated_clients", "profile", "results_dir", "working_dir"),
        *("operator_cidrs", "time_to_live", "health_check_timeout", "log_processing", "grafana_public", "token_file"),
        *("ssh_private_key_file", "ssh_public_key_file", "ssh_timeout", "ssh_retries"),
    }
)
_RTT_SHARE, _RTT_MS = 0.05, 1.0
"""Round-trip times that differ by more than both are told."""


class Difference(BaseModel):
    """One thing that differs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    a: str
    b: str

    def __str__(self) -> str:
        return f"{self.name}: {self.a} against {self.b}"


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Difference]:
    """Return what differs between the manifests of two runs, what was asked for first.

    Loads are not compared, nor what follows from something else that is named: the hosts of nodes where their number
    differs, the files of another commit.
    """
    first, second = dict(_facts(a)), dict(_facts(b))
    found = [
        Difference(name=name, a=first.get(name, "none"), b=second.get(name, "none"))
        for name in dict.fromkeys([*first, *second])
        if first.get(name) != second.get(name)
    ]
    names = {each.name for each in found}
    if "protocol" in names:
        found = [each for each in found if not each.name.startswith(("commit", "package", "artifact"))]
    if "commit" in names:
        found = [each for each in found if not each.name.startswith(("package", "artifact"))]
    if "nodes" in names:
        found = [each for each in found if each.name != "hosts of the nodes"]
    if "clients" in names:
        found = [each for each in found if each.name != "hosts of the clients"]
    return found + _round_trips(a, b)


def _facts(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield everything that can change a run's numbers, by name."""
    placement = manifest.get("placement", {})
    yield "protocol", str(manifest.get("protocol"))
    yield "commit", str(manifest.get("commit"))
    yield from _flat("package", manifest.get("packages") or {})
    yield from _flat("artifact", {"sha256": (manifest.get("artifact") or {}).get("sha256", "none")})
    yield "nodes", str(len(placement.get("nodes", [])))
    yield "hosts of the nodes", ", ".join(sorted(placement.get("nodes", [])))
    yield "clients", str(len(placement.get("clients", [])))
    yield "hosts of the clients", ", ".join(sorted(placement.get("clients", [])))
    parameters = dict(manifest.get("parameters", {}))
    settings: dict[str, Any] = parameters.pop("settings", None) or {}
    for name in ("load_tps", "offered_tps", "shares_tps"):
        parameters.pop(name, None)
    yield from _flat("", parameters)
    yield from _flat("", {name: value for name, value in settings.items() if name not in _NO_MATTER})
    yield from _testbed(manifest)
    yield from _flat("version of", manifest.get("versions", {}))


def _testbed(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    inventory = manifest.get("inventory", {})
    hosts = inventory.get("hosts", [])
    kinds = Counter(f"{host.get('provider')} {host.get('region')} {host.get('specs')}" for host in hosts)
    yield "testbed", str(inventory.get("testbed_id"))
    yield "hosts", ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    facts = manifest.get("hosts", {}).values()
    for name in ("kernel", "cpus", "memory_mb"):
        yield name, ", ".join(sorted({str(fact.get(name)) for fact in facts}))


def _flat(prefix: str, value: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, item in value.items():
        path = f"{prefix} {name}".strip()
        if isinstance(item, Mapping):
            yield from ((f"{path}.{inner}", text) for inner, text in _flat("", item))
        else:
            yield path, str(item)


def _round_trips(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Difference]:
    before, after = a.get("rtt_ms", {}), b.get("rtt_ms", {})
    return [
        Difference(name=f"round trip {pair}", a=f"{before[pair]:.1f} ms", b=f"{after[pair]:.1f} ms")
        for pair in before
        if pair in after and abs(after[pair] - before[pair]) > max(_RTT_MS, _RTT_SHARE * min(before[pair], after[pair]))
    ]
