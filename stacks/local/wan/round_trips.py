"""Round-trip times between cloud regions, and the resulting links of a testbed.

region-rtt.md describes the table, its source, its bias and the fit for unmeasured pairs.
"""

from __future__ import annotations

import csv
import difflib
import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files

from benchmark.errors import SettingsError
from benchmark.settings import KnownRegion, Network, known_regions

WITHIN_REGION_MS = 0.6
"""Round trip between two hosts of one region; an assumption, the table's own rows are mostly overhead."""
SAME_CITY_MS = 2.2
"""Round trip between two regions of one city: the smallest within-region time of the table."""
SAME_CITY_KM = 50.0
FIT_MS = 6.7
FIT_MS_PER_KM = 0.01528
EARTH_RADIUS_KM = 6371.0


@dataclass(frozen=True)
class Links:
    """Delay and impairments of packets between hosts; equal links have equal JSON."""

    rtt_ms: dict[str, float]
    """Round trip of every unordered pair of regions, `a/b` with a <= b, including pairs within a region."""
    loss: float = 0.0
    """Share of packets lost between regions."""
    jitter_ms: float = 0.0
    """Standard deviation of the one-way delay between regions."""
    bandwidth_mbps: float | None = None
    """Rate of each host's uplink in Mb/s; None if unlimited."""
    internet: bool = True
    """Whether hosts are connected to the internet through this machine."""

    def rtt(self, region: str, other: str) -> float:
        """Return the round trip between two of the testbed's regions in ms."""
        return self.rtt_ms[_pair(region, other)]

    def to_json(self) -> str:
        """Write the links as JSON with sorted keys."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Links:
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))


def links_for(regions: Sequence[str], network: Network) -> Links:
    """Return the links between `regions` (the providers' own names) under the settings' `network`.

    Settings take precedence over measured times, and those over the fit. SettingsError for contradicting settings and
    for unknown regions, with near matches.
    """
    given: dict[str, float] = {}
    for text, rtt in network.rtt_ms.items():
        region, other = text.split("/")
        for name in (region, other):
            if name not in regions and name not in known_regions():
                raise SettingsError(f"network.rtt_ms: {text}: {name!r} is not among `regions`{_near(name, regions)}")
        pair = _pair(region, other)
        if given.setdefault(pair, rtt) != rtt:
            raise SettingsError(f"network.rtt_ms: found {given[pair]:g} ms and {rtt:g} ms for {pair}; keep one of them")
    names = sorted(set(regions))
    rtt_ms = {}
    for position, region in enumerate(names):
        for other in names[position:]:
            pair = _pair(region, other)
            rtt_ms[pair] = given[pair] if pair in given else round_trip_ms(region, other)
    return Links(rtt_ms, network.loss, network.jitter_ms, network.bandwidth_mbps, network.internet)


def round_trip_ms(region: str, other: str) -> float:
    """Return the round trip between two regions in ms: measured, or fitted to their distance. Raises SettingsError."""
    if region == other:
        return WITHIN_REGION_MS
    measured = _measured().get(_pair(region, other))
    if measured is not None:
        return measured
    for name, peer in ((region, other), (other, region)):
        if name not in known_regions():
            raise SettingsError(
                f"regions: unknown region {name!r}{_near(name, list(known_regions()))}; for a custom name set "
                f"`network: {{rtt_ms: {{{name}/{peer}: MILLISECONDS}}}}`"
            )
    distance = distance_km(known_regions()[region], known_regions()[other])
    return SAME_CITY_MS if distance < SAME_CITY_KM else round(FIT_MS + FIT_MS_PER_KM * distance, 1)


def _pair(region: str, other: str) -> str:
    return "/".join(sorted((region, other)))


def _near(name: str, candidates: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, candidates, n=3)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def distance_km(place: KnownRegion, other: KnownRegion) -> float:
    """Return the great-circle distance of two regions, by the haversine formula."""
    latitude, other_latitude = math.radians(place.latitude), math.radians(other.latitude)
    half = math.sin((other_latitude - latitude) / 2) ** 2
    half += (
        math.cos(latitude)
        * math.cos(other_latitude)
        * math.sin(math.radians(other.longitude - place.longitude) / 2) ** 2
    )
    return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(half))


@functools.cache
def _measured() -> Mapping[str, float]:
    """Return the measured round trip in ms of each pair in the table."""
    with (files("stacks.local.wan") / "region-rtt.csv").open(encoding="utf-8") as file:
        return {_pair(row["region_a"], row["region_b"]): float(row["rtt_ms"]) for row in csv.DictReader(file)}
