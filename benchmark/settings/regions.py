"""Look up the known regions of cloud providers and their coordinates."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from benchmark.inventory import Provider


class KnownRegion(NamedTuple):
    """A cloud region, with the coordinates of its city."""

    provider: Provider
    latitude: float
    """Decimal degrees, accurate to about 10 km."""
    longitude: float


@cache
def known_regions() -> Mapping[str, KnownRegion]:
    """Return every known region of AWS and Vultr by the name that its provider uses."""
    with (files("benchmark.settings") / "regions.csv").open(encoding="utf-8") as file:
        return {
            row["region"]: KnownRegion(row["provider"], float(row["latitude"]), float(row["longitude"]))  # type: ignore[arg-type]
            for row in csv.DictReader(file)
        }
