"""Find what differs between two runs besides chance, from their manifests: the possible causes of a difference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import zip_longest

from benchmark.model import StrictModel
from benchmark.results.manifest import Manifest

# Fields of the settings that a run's own parameters repeat, and those that cannot change its numbers.
_IRRELEVANT = frozenset(
    {
        *("testbed_id", "protocol", "node_parameters", "client_parameters", "repository", "state"),
        *("benchmark_duration", "warm_up", "dedicated_clients", "load_shape", "faults", "results_dir", "working_dir"),
        *("operator_cidrs", "time_to_live", "health_check_timeout", "log_processing", "grafana_public", "token_file"),
        *("ssh_private_key_file", "ssh_public_key_file", "ssh_timeout", "ssh_retries"),
    }
)
# What follows from a difference and is not named beside it, by the beginning of the name.
_IMPLIED: Mapping[str, tuple[str, ...]] = {
    "protocol": ("commit", "package ", "binary ", "definition"),
    "commit": ("package ", "binary "),
    "definition": ("definition ",),
    "nodes": ("hosts of the nodes",),
    "clients": ("hosts of the clients",),
    **{f"network.{name}": ("emulated network",) for name in ("loss", "jitter_ms", "links", "trace")},
}
# Round-trip times must differ by more than both.
_RTT_SHARE, _RTT_MS = 0.05, 1.0
_LONGEST = 80
_ADDED = ("cpu_model", "os")
UNKNOWN = "unknown"
"""A fact that the host did not report."""


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
    for name in _ADDED:  # manifests of earlier versions do not have them
        if UNKNOWN in (first[name], second[name]):
            del first[name], second[name]
    if not all(any(host.provider == "local" for host in each.inventory.hosts) for each in (a, b)):
        # The setting is about local hosts only.
        first, second = (
            {name: fact for name, fact in each.items() if not name.startswith("disk.")} for each in (first, second)
        )
    differing = [name for name in dict.fromkeys([*first, *second]) if first.get(name) != second.get(name)]
    implied = tuple(start for name, starts in _IMPLIED.items() if name in differing for start in starts)
    found = []
    for name in differing:
        if not name.startswith(implied):
            lines = _differing_lines(first.get(name, "none"), second.get(name, "none"))
            found.append(Difference(name=name, a=lines[0], b=lines[1]))
    for pair, before in a.rtt_ms.items():
        after = b.rtt_ms.get(pair, before)
        if abs(after - before) > max(_RTT_MS, _RTT_SHARE * min(before, after)):
            found.append(Difference(name=f"round trip {pair}", a=f"{before:.1f} ms", b=f"{after:.1f} ms"))
    return found


def facts_of(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Yield everything that can change a run's numbers except round-trip times, by name."""
    yield "protocol", manifest.protocol
    yield "commit", manifest.commit
    definition = manifest.definition
    yield "definition", "described" if definition else "part of geobench"
    yield from _flat("definition", definition.content if definition else {})
    yield from _flat("package", manifest.packages)
    for architecture, variant in (manifest.artifact.variants if manifest.artifact else {}).items():
        for name, file in variant.files.items():
            yield f"binary {name} ({architecture})", f"sha256 {file.sha256[:16]}"
    placement = manifest.placement
    yield "nodes", str(len(placement.nodes))
    yield "hosts of the nodes", ", ".join(sorted(placement.nodes))
    yield "clients", str(len(placement.clients))
    yield "hosts of the clients", ", ".join(sorted(placement.clients))
    yield "probe workload (--verify)", "yes" if "probe" in placement.processes else "no"
    parameters = manifest.parameters
    yield "duration_s", str(parameters.duration_s)
    yield "warm_up_s", str(parameters.warm_up_s)
    yield "load_shape", parameters.load_shape
    yield "faults", ", ".join(map(str, manifest.faults)) or "none"
    yield from _flat("node_parameters", parameters.node_parameters, ".")
    yield from _flat("client_parameters", parameters.client_parameters, ".")
    yield from _flat("", {name: value for name, value in parameters.settings.items() if name not in _IRRELEVANT})
    requested = sorted(manifest.inventory.round_trips.items())
    yield (
        "emulated network",
        "\n".join(f"{pair} {wanted.impairments}" for pair, wanted in requested if wanted.impairments),
    )
    hosts = Counter(f"{host.provider} {host.region} {host.specs}" for host in manifest.inventory.hosts)
    yield "testbed", manifest.inventory.testbed_id
    yield "hosts", ", ".join(f"{count} {kind}" for kind, count in sorted(hosts.items()))
    for name in ("cpu_model", "cpus", "memory_mb", "os", "kernel"):
        yield name, ", ".join(sorted({str(getattr(facts, name)) or UNKNOWN for facts in manifest.hosts.values()}))
    yield from _flat("version of", manifest.versions)


def _differing_lines(a: str, b: str) -> tuple[str, str]:
    """Return two texts; of longer ones the first line that differs."""
    if "\n" not in a + b and len(a + b) <= 2 * _LONGEST:
        return a, b
    pairs = enumerate(zip_longest(a.splitlines(), b.splitlines(), fillvalue=""), 1)
    number, lines = next(((number, lines) for number, lines in pairs if lines[0] != lines[1]), (1, (a, b)))
    first, second = (line if len(line) <= _LONGEST else line[:_LONGEST] + "…" for line in lines)
    return f"line {number}: {first!r}", repr(second)


def _flat(prefix: str, value: Mapping[str, object], separator: str = " ") -> Iterator[tuple[str, str]]:
    """Yield every value of a nested mapping by its path."""
    for name, item in value.items():
        path = f"{prefix}{separator}{name}" if prefix else name
        if isinstance(item, Mapping):
            yield from _flat(path, item, ".")
        else:
            yield path, str(item)
