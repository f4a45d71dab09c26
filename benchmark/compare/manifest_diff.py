"""Find what differs between two runs besides chance, from their manifests: the possible causes of a difference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from benchmark.model import StrictModel
from benchmark.results.manifest import Manifest

# Fields of the settings that a run's own parameters repeat, and those that cannot change its numbers.
_IRRELEVANT = frozenset(
    {
        *("testbed_id", "protocol", "node_parameters", "client_parameters", "repository", "state"),
        *("benchmark_duration", "warm_up", "dedicated_clients", "load_shape", "results_dir", "working_dir"),
        *("operator_cidrs", "time_to_live", "health_check_timeout", "log_processing", "grafana_public", "token_file"),
        *("ssh_private_key_file", "ssh_public_key_file", "ssh_timeout", "ssh_retries"),
    }
)
# What follows from a difference and is not named beside it, by the beginning of the name.
_IMPLIED: Mapping[str, tuple[str, ...]] = {
    "protocol": ("commit", "package ", "binary "),
    "commit": ("package ", "binary "),
    "nodes": ("hosts of the nodes",),
    "clients": ("hosts of the clients",),
}
# Round-trip times must differ by more than both.
_RTT_SHARE, _RTT_MS = 0.05, 1.0


class Difference(StrictModel):
    """One thing that differs."""

    name: str
    a: str
    b: str

    def __str__(self) -> str:
        return f"{self.name}: {self.a} against {self.b}"


def differences(a: Manifest, b: Manifest) -> list[Difference]:
    """Return what differs between the manifests of two runs, the request first.

    Loads are not compared. What follows from another difference is left out: the hosts of nodes where their number
    differs, or the binaries of another commit.
    """
    first, second = dict(facts_of(a)), dict(facts_of(b))
    differing = [name for name in dict.fromkeys([*first, *second]) if first.get(name) != second.get(name)]
    implied = tuple(start for name, starts in _IMPLIED.items() if name in differing for start in starts)
    found = [
        Difference(name=name, a=first.get(name, "none"), b=second.get(name, "none"))
        for name in differing
        if not name.startswith(implied)
    ]
    for pair, before in a.rtt_ms.items():
        after = b.rtt_ms.get(pair, before)
        if abs(after - before) > max(_RTT_MS, _RTT_SHARE * min(before, after)):
            found.append(Difference(name=f"round trip {pair}", a=f"{before:.1f} ms", b=f"{after:.1f} ms"))
    return found


def facts_of(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Yield everything that can change a run's numbers except round-trip times, by name."""
    yield "protocol", manifest.protocol
    yield "commit", manifest.commit
    yield from _flat("package", manifest.packages)
    for architecture, variant in (manifest.artifact.variants if manifest.artifact else {}).items():
        for name, file in variant.files.items():
            yield f"binary {name} ({architecture})", f"sha256 {file.sha256[:16]}"
    placement = manifest.placement
    yield "nodes", str(len(placement.nodes))
    yield "hosts of the nodes", ", ".join(sorted(placement.nodes))
    yield "clients", str(len(placement.clients))
    yield "hosts of the clients", ", ".join(sorted(placement.clients))
    parameters = manifest.parameters
    yield "duration_s", str(parameters.duration_s)
    yield "warm_up_s", str(parameters.warm_up_s)
    yield "load_shape", parameters.load_shape
    yield from _flat("node_parameters", parameters.node_parameters, ".")
    yield from _flat("client_parameters", parameters.client_parameters, ".")
    yield from _flat("", {name: value for name, value in parameters.settings.items() if name not in _IRRELEVANT})
    hosts = Counter(f"{host.provider} {host.region} {host.specs}" for host in manifest.inventory.hosts)
    yield "testbed", manifest.inventory.testbed_id
    yield "hosts", ", ".join(f"{count} {kind}" for kind, count in sorted(hosts.items()))
    for name in ("kernel", "cpus", "memory_mb"):
        yield name, ", ".join(sorted({str(getattr(facts, name)) for facts in manifest.hosts.values()}))
    yield from _flat("version of", manifest.versions)


def _flat(prefix: str, value: Mapping[str, object], separator: str = " ") -> Iterator[tuple[str, str]]:
    """Yield every value of a nested mapping by its path."""
    for name, item in value.items():
        path = f"{prefix}{separator}{name}" if prefix else name
        if isinstance(item, Mapping):
            yield from _flat(path, item, ".")
        else:
            yield path, str(item)
