"""Round-trip times between cloud regions, and the links of a testbed that follow from them.

The table, its source, its bias and the fit for pairs that nobody measured: region-rtt.md.
"""

from __future__ import annotations

import csv
import difflib
import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmark.errors import SettingsError
from benchmark.settings import Network

ASSETS = Path(__file__).resolve().parents[3] / "assets"
MEASURED = Path(__file__).with_name("region-rtt.csv")

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
    """What the emulated network does to packets between hosts; equal links have equal JSON."""

    rtt_ms: dict[str, float]
    """Round trip of every unordered pair of regions, `a/b` with a <= b, within a region included."""
    loss: float = 0.0
    """Share of packets lost between regions."""
    jitter_ms: float = 0.0
    """Standard deviation of the one-way delay between regions."""
    bandwidth_mbps: float | None = None
    """Rate of each host's uplink in Mb/s; null if unlimited."""
    internet: bool = True
    """Whether hosts reach the internet through this machine."""

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
    """Find the links between `regions` (the providers' own names) under the settings' `network`.

    Settings win over measured times, those over the fit. SettingsError names a region without coordinates that
    the settings do not cover, with near matches.
    """
    given = _overrides(regions, network)
    names = sorted(set(regions))
    rtt_ms = {}
    for position, region in enumerate(names):
        for other in names[position:]:
            pair = _pair(region, other)
            rtt_ms[pair] = given[pair] if pair in given else round_trip_ms(region, other)
    return Links(rtt_ms, network.loss, network.jitter_ms, network.bandwidth_mbps, network.internet)


def round_trip_ms(region: str, other: str) -> float:
    """Return the round trip between two regions in ms: measured, or fitted to their distance; SettingsError."""
    if region == other:
        return WITHIN_REGION_MS
    measured = _measured().get(_pair(region, other))
    if measured is not None:
        return measured
    distance = _kilometres(_coordinates(region, other), _coordinates(other, region))
    return SAME_CITY_MS if distance < SAME_CITY_KM else round(FIT_MS + FIT_MS_PER_KM * distance, 1)


def _pair(region: str, other: str) -> str:
    return "/".join(sorted((region, other)))


def _overrides(regions: Sequence[str], network: Network) -> dict[str, float]:
    """Order the pairs of `network.rtt_ms`; SettingsError on a contradiction or a name that is no region."""
    given: dict[str, float] = {}
    for text, rtt in network.rtt_ms.items():
        region, other = text.split("/")
        for name in (region, other):
            if name not in regions and name not in _known():
                raise SettingsError(f"network.rtt_ms: {text}: {name!r} is not among `regions`{_near(name, regions)}")
        pair = _pair(region, other)
        if given.setdefault(pair, rtt) != rtt:
            raise SettingsError(f"network.rtt_ms: found {given[pair]:g} ms and {rtt:g} ms for {pair}; keep one of them")
    return given


def _coordinates(name: str, other: str) -> tuple[float, float]:
    found = _known().get(name)
    if found is None:
        raise SettingsError(
            f"regions: the round trip {name}/{other} is not known{_near(name, list(_known()))}; "
            f"a name of your own needs its times: `network: {{rtt_ms: {{{name}/{other}: MILLISECONDS}}}}`"
        )
    return found


def _near(name: str, candidates: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, candidates, n=3)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _kilometres(place: tuple[float, float], other: tuple[float, float]) -> float:
    """Great-circle distance of two (latitude, longitude) in degrees, by the haversine formula."""
    (latitude, longitude), (latitude2, longitude2) = ([math.radians(angle) for angle in at] for at in (place, other))
    half = math.sin((latitude2 - latitude) / 2) ** 2
    half += math.cos(latitude) * math.cos(latitude2) * math.sin((longitude2 - longitude) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(half))


@functools.cache
def _measured() -> Mapping[str, float]:
    with MEASURED.open(newline="", encoding="utf-8") as file:
        return {_pair(row["region_a"], row["region_b"]): float(row["rtt_ms"]) for row in csv.DictReader(file)}


@functools.cache
def _known() -> Mapping[str, tuple[float, float]]:
    """Latitude and longitude of every region of the table, AWS and Vultr."""
    with (ASSETS / "regions.csv").open(newline="", encoding="utf-8") as file:
        return {row["region"]: (float(row["latitude"]), float(row["longitude"])) for row in csv.DictReader(file)}
