"""The links of a testbed's emulated network, resolved from the settings for each direction between two regions."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Literal

from benchmark.errors import SettingsError
from benchmark.inventory import EmulatedRoundTrip
from benchmark.settings import Link, Network, known_regions, read_matrix
from stacks.local.wan.round_trips import near_names, round_trip_ms
from stacks.local.wan.trace import TraceFile, find_trace


@dataclass(frozen=True)
class Direction:
    """Delay and impairments of packets from one region to another, or within one."""

    delay_ms: float
    jitter_ms: float = 0.0
    """Standard deviation of the delay."""
    distribution: Literal["normal", "pareto"] = "normal"
    reorder: bool = False
    """Whether jitter may change the order of packets."""
    loss: float = 0.0
    """Share of packets lost."""
    mean_burst: float = 1.0
    """Mean number of packets lost in a row; 1 for independent losses."""
    rate_mbps: float | None = None
    """Rate of each sending host in Mb/s; None if unlimited."""

    def compact(self) -> dict[str, object]:
        """Return the fields without impairments that the direction does not have."""
        plain = asdict(Direction(self.delay_ms))
        return {key: value for key, value in asdict(self).items() if key == "delay_ms" or value != plain[key]}


@dataclass(frozen=True)
class Links:
    """Delay and impairments of packets between hosts; equal links have equal JSON."""

    directions: dict[str, Direction]
    """Every direction, `from->to`, including those within a region."""
    bandwidth_mbps: float | None = None
    """Rate of each host's uplink in Mb/s; None if unlimited."""
    internet: bool = True
    """Whether hosts are connected to the internet through this machine."""
    trace: TraceFile | None = None
    """Its delays replace those of its directions over time."""

    @property
    def regions(self) -> list[str]:
        """The regions that have links."""
        return sorted({name.partition("->")[0] for name in self.directions})

    def rtt(self, region: str, other: str) -> float:
        """Return the round trip between two of the testbed's regions in ms, without jitter and trace."""
        return self.directions[f"{region}->{other}"].delay_ms + self.directions[f"{other}->{region}"].delay_ms

    def round_trips(self) -> dict[str, EmulatedRoundTrip]:
        """Return the round trip of every pair of regions by `FROM/TO`, with jitter and the range of the trace."""
        values = find_trace(Path(self.trace.path), self.regions)[1] if self.trace else {}
        ranges = {
            f"{source}->{target}": (min(rtt_ms for _, rtt_ms in series) / 2, max(rtt_ms for _, rtt_ms in series) / 2)
            for (source, target), series in values.items()
        }
        found = {}
        for source, target in product(self.regions, repeat=2):
            both = (f"{source}->{target}", f"{target}->{source}")
            low, high = (
                sum(ranges.get(name, 2 * [self.directions[name].delay_ms])[end] for name in both) for end in (0, 1)
            )
            found[f"{source}/{target}"] = EmulatedRoundTrip(
                rtt_ms=low,
                longest_ms=high if any(name in ranges for name in both) else None,
                jitter_ms=math.hypot(*(self.directions[name].jitter_ms for name in both)),
                impairments=" ".join(
                    [f"{key} {value}" for key, value in self.directions[both[0]].compact().items() if key != "delay_ms"]
                    + ([f"trace sha256 {self.trace.sha256[:16]}"] if self.trace and both[0] in ranges else [])
                ),
            )
        return found

    def to_json(self) -> str:
        """Write the links as JSON with sorted keys, without impairments that a direction does not have."""
        directions = {name: each.compact() for name, each in self.directions.items()}
        return json.dumps({**asdict(self), "directions": directions}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Links:
        """Read what `to_json` wrote, and the delays of what earlier releases wrote."""
        fields = json.loads(text)
        if "rtt_ms" in fields:
            halves = {tuple(pair.split("/")): Direction(rtt / 2) for pair, rtt in fields["rtt_ms"].items()}
            ordered = halves | {(second, first): each for (first, second), each in halves.items()}
            return cls({f"{source}->{target}": each for (source, target), each in ordered.items()})
        directions = {name: Direction(**each) for name, each in fields.pop("directions").items()}
        trace = fields.pop("trace")
        return cls(directions, **fields, trace=trace and TraceFile(**trace))


def links_for(regions: Sequence[str], network: Network) -> Links:
    """Return the links between `regions` (the providers' own names) under the settings' `network`.

    A trace takes precedence over `links`, those over `rtt_ms`, and that over the table. SettingsError for contradicting
    settings, damaged files and unknown regions, with near matches.
    """
    names = sorted(set(regions))
    given = _round_trips(names, network.rtt_ms)
    listed = {(link.source, link.destination): link for link in _listed(names, network.links)}
    file, trace = find_trace(network.trace, names) if network.trace else (None, {})
    directions = {}
    for source, target in product(names, repeat=2):
        link = listed.get((source, target)) or Link(source=source, destination=target)
        delay_ms = link.one_way_ms
        if (source, target) in trace:
            delay_ms = trace[source, target][0][1] / 2
        if delay_ms is None:
            pair = "/".join(sorted((source, target)))
            delay_ms = (given[pair] if pair in given else round_trip_ms(source, target)) / 2
        direction = Direction(delay_ms, rate_mbps=link.rate_mbps)
        between = source != target
        if jitter := link.jitter or (network.jitter_ms if between else None):
            direction = replace(
                direction, jitter_ms=jitter.stdev_ms, distribution=jitter.distribution, reorder=jitter.reorder
            )
        if loss := link.loss or (network.loss if between else None):
            direction = replace(direction, loss=loss.share, mean_burst=loss.mean_burst)
        directions[f"{source}->{target}"] = direction
    return Links(directions, network.bandwidth_mbps, network.internet, file)


def _regions_of(pairs: Iterable[tuple[str, str]]) -> str:
    return ", ".join(sorted({name for pair in pairs for name in pair}))


def _round_trips(names: Sequence[str], rtt_ms: Mapping[str, float]) -> dict[str, float]:
    """Return the round trips of `network.rtt_ms` by `a/b` with a <= b."""
    given: dict[str, float] = {}
    for text, rtt in rtt_ms.items():
        _check_names(f"network.rtt_ms: {text}", names, text.split("/"))
        pair = "/".join(sorted(text.split("/")))
        if given.setdefault(pair, rtt) != rtt:
            raise SettingsError(f"network.rtt_ms: found {given[pair]:g} ms and {rtt:g} ms for {pair}; keep one of them")
    return given


def _listed(names: Sequence[str], links: Path | Sequence[Link]) -> Sequence[Link]:
    """Return the links of `network.links`, or of the matrix that it names, which may have regions of other testbeds."""
    if not isinstance(links, Path):
        for index, link in enumerate(links):
            _check_names(f"network.links.{index}", names, (link.source, link.destination))
        return links
    found = read_matrix(links.expanduser()).links
    if found and not any({link.source, link.destination} <= set(names) for link in found):
        about = _regions_of((link.source, link.destination) for link in found)
        raise SettingsError(f"network.links: {links} is about {about}, expected some of `regions`: {', '.join(names)}")
    return found


def _check_names(where: str, names: Sequence[str], found: Iterable[str]) -> None:
    for name in found:
        if name not in names and name not in known_regions():
            raise SettingsError(f"{where}: {name!r} is not among `regions`{near_names(name, names)}")
