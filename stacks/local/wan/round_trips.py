"""Round-trip times between cloud regions.

region-rtt.md describes the table, its sources and errors, and how unmeasured pairs are derived.
"""

from __future__ import annotations

import csv
import difflib
import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from importlib.resources import files

from benchmark.errors import SettingsError
from benchmark.settings import KnownRegion, known_regions

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


def round_trip_ms(region: str, other: str) -> float:
    """Return the round trip in ms as measured from `region`, or derived from measured ones. Raises SettingsError."""
    if region == other:
        known = known_regions().get(region)
        return WITHIN_SITE_MS if known and known.provider == "vultr" else WITHIN_REGION_MS
    for name, peer in ((region, other), (other, region)):
        if name not in known_regions():
            raise SettingsError(
                f"regions: unknown region {name!r}{near_names(name, list(known_regions()))}; for a custom name set "
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


def near_names(name: str, candidates: Sequence[str]) -> str:
    """Return a hint at the candidates that resemble `name`, such as `; did you mean us-east-1?`; empty without any."""
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
