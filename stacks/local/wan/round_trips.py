"""Round-trip times between cloud regions, and the resulting links of a testbed.

region-rtt.md describes the table, its sources and errors, and how unmeasured pairs are derived.
"""

from __future__ import annotations

import csv
import difflib
import functools
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files

from benchmark.errors import SettingsError
from benchmark.settings import KnownRegion, Network, known_regions

WITHIN_REGION_MS = 0.6
"""Round trip between two hosts of one region, which AWS spreads over zones."""
WITHIN_SITE_MS = 0.3
"""Round trip between two hosts of one Vultr region, which is a single site."""
SAME_CITY_MS = 1.6
"""Round trip between two providers' regions in one city."""
SAME_CITY_KM = 50.0
NEAREST = 3
"""Measured regions around each end of an unmeasured pair that its path stretch is taken from."""
NEARNESS_KM = 100.0
"""Distance beyond which measured regions count less."""
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
    """Return the round trip in ms as measured from `region`, or derived from measured ones. Raises SettingsError."""
    if region == other:
        known = known_regions().get(region)
        return WITHIN_SITE_MS if known and known.provider == "vultr" else WITHIN_REGION_MS
    for name, peer in ((region, other), (other, region)):
        if name not in known_regions():
            raise SettingsError(
                f"regions: unknown region {name!r}{_near(name, list(known_regions()))}; for a custom name set "
                f"`network: {{rtt_ms: {{{name}/{peer}: MILLISECONDS}}}}`"
            )
    if distance_km(known_regions()[region], known_regions()[other]) < SAME_CITY_KM:
        return SAME_CITY_MS
    near, far = _measured_near(region), _measured_near(other)
    if near[0][1] < SAME_CITY_KM and far[0][1] < SAME_CITY_KM:
        return _measured()[near[0][0], far[0][0]]
    return round(_stretch(near, far) * distance_km(known_regions()[region], known_regions()[other]), 1)


def _stretch(near: Sequence[tuple[str, float]], far: Sequence[tuple[str, float]]) -> float:
    """Return the round trip in ms per km between measured regions around two places; nearer ones weigh more."""
    total = weights = 0.0
    for (source, source_km), (target, target_km) in itertools.product(near, far):
        if source != target:
            weight = (source_km + target_km + NEARNESS_KM) ** -2
            km = distance_km(known_regions()[source], known_regions()[target])
            total += weight * (_measured()[source, target] + _measured()[target, source]) / 2 / km
            weights += weight
    return total / weights


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
def _measured_near(region: str) -> Sequence[tuple[str, float]]:
    """Return the measured regions nearest to `region`, with their distance in km, nearest first."""
    place = known_regions()[region]
    measured = {name: distance_km(known_regions()[name], place) for name, _ in _measured()}
    return sorted(measured.items(), key=lambda item: item[1])[:NEAREST]


@functools.cache
def _measured() -> Mapping[tuple[str, str], float]:
    """Return the round trip in ms of each pair in the table, (from, to)."""
    with (files("stacks.local.wan") / "region-rtt.csv").open(encoding="utf-8") as file:
        return {(row["from"], row["to"]): float(row["rtt_ms"]) for row in csv.DictReader(file)}
