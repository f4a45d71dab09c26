"""Map of a run: its regions on an equirectangular grid, joined by great circles with round-trip times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from benchmark.measure.histogram import Array
from benchmark.report.chart import Chart
from benchmark.report.palette import light
from benchmark.report.run_data import Record
from benchmark.settings import known_regions

_LABELLED_ARCS = 6
"""With more pairs, labels would cover the map; the table lists the times."""
_NORTH, _SOUTH = 78.0, -56.0
_LABEL = {"boxstyle": "round,pad=0.15", "facecolor": light("page"), "edgecolor": "none", "alpha": 0.85}
Place = tuple[float, float]
"""Longitude and latitude in degrees."""
Places = Mapping[str, Place]


def world_chart(record: Record) -> Chart | None:
    """Return the map; None if the location of any region of the nodes and clients is unknown."""
    used = {*record.manifest.placement.nodes, *record.manifest.placement.clients}
    counts = Counter(host.region for host in record.manifest.inventory.hosts if host.name in used)
    places = known_regions()
    if not counts or not counts.keys() <= places.keys():
        return None
    known = {region: (places[region].longitude, places[region].latitude) for region in counts}
    trips = record.manifest.round_trips

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.set(xlim=(-180, 180), ylim=(_SOUTH, _NORTH), aspect="equal", xticks=range(-180, 181, 30))
        axes.set_yticks(range(-30, 61, 30))
        axes.tick_params(length=0, labelleft=False, labelbottom=False)
        for spine in axes.spines.values():
            spine.set_visible(False)
        shores = Path.make_compound_path(*(Path(ring, closed=True) for ring in land()))
        axes.add_patch(PathPatch(shores, facecolor=light("land"), edgecolor=light("land"), linewidth=0.4))
        pairs = {(min(pair), max(pair)) for pair in trips if set(pair) <= known.keys() and pair[0] != pair[1]}
        for a, b in sorted(pairs):
            arc = great_circle(known[a], known[b])
            axes.plot(arc[:, 0], arc[:, 1], color=light("blue"), linewidth=1)
            if len(pairs) <= _LABELLED_ARCS:
                x, y = arc[np.isfinite(arc[:, 0])][len(arc) // 2].tolist()
                both = [trips[pair] for pair in ((a, b), (b, a)) if pair in trips]
                axes.text(x, y, f"{np.mean(both):.0f} ms", fontsize=7, ha="center", va="center", bbox=_LABEL)
        for place in known.values():
            axes.plot(*place, "o", markersize=5.5, color=light("orange"), markeredgecolor=light("page"))
        for region, (x, y, align) in name_places(known, counts).items():
            axes.text(x, y, region, fontsize=7.5, ha=align, va="center")

    return Chart(
        name="map",
        title="Regions",
        caption="Regions of the nodes and clients; great circles with the mean of the round-trip times measured in "
        "both directions before the run. Land: Natural Earth.",
        alt="World map: " + "; ".join(f"{count} hosts in {region}" for region, count in counts.items()) + ".",
        columns=("region", "longitude", "latitude", "hosts"),
        rows=[(region, *known[region], counts[region]) for region in known],
        draw=draw,
        height=2.75,
    )


def great_circle(a: Place, b: Place, points: int = 48) -> Array:
    """Return the shortest path from `a` to `b`: shape (points, 2).

    A row of NaN marks where it crosses the date line, so that no line is drawn across the whole map.
    """
    angles = np.radians(np.array([a, b]))
    ends = np.stack(
        [np.cos(angles[:, 1]) * np.cos(angles[:, 0]), np.cos(angles[:, 1]) * np.sin(angles[:, 0]), np.sin(angles[:, 1])]
    )
    omega = float(np.arccos(np.clip(ends[:, 0] @ ends[:, 1], -1.0, 1.0)))
    if omega < 1e-9:
        return np.array([a, b], dtype=np.float64)
    t = np.linspace(0, 1, points)
    x, y, z = (np.outer(ends[:, 0], np.sin((1 - t) * omega)) + np.outer(ends[:, 1], np.sin(t * omega))) / np.sin(omega)
    way = np.stack([np.degrees(np.arctan2(y, x)), np.degrees(np.arcsin(np.clip(z, -1, 1)))], axis=1)
    jumps = np.flatnonzero(np.abs(np.diff(way[:, 0])) > 180) + 1
    return np.asarray(np.insert(way, jumps, np.nan, axis=0), dtype=np.float64)


def name_places(places: Places, counts: Mapping[str, int]) -> dict[str, tuple[float, float, str]]:
    """Return position and alignment of each region's name: beside its dot, where it covers no other name."""
    taken: list[tuple[float, float, float, float]] = [(x - 2, y - 2, x + 2, y + 2) for x, y in places.values()]
    chosen = {}
    for region in sorted(places, key=lambda name: -counts[name]):
        longitude, latitude = places[region]
        width, height = 3.3 * len(region), 7.0
        options = [(dx, dy) for dy in (0.0, 6.5, -6.5, 13.0, -13.0) for dx in (3.5, -3.5)]
        for dx, dy in options:
            left = longitude + dx if dx > 0 else longitude + dx - width
            box = (left, latitude + dy - height / 2, left + width, latitude + dy + height / 2)
            free = all(
                box[0] >= other[2] or other[0] >= box[2] or box[1] >= other[3] or other[1] >= box[3] for other in taken
            )
            if left >= -180 and left + width <= 180 and free:
                break
        taken.append(box)
        chosen[region] = (longitude + dx, latitude + dy, "left" if dx > 0 else "right")
    return chosen


@cache
def land() -> list[Array]:
    """Return the outlines of the continents: each of shape (points, 2), longitude and latitude."""
    with files("benchmark.report").joinpath("land.csv").open(encoding="utf-8") as file:
        points = np.loadtxt(file, delimiter=",", skiprows=1)
    starts = np.flatnonzero(np.diff(points[:, 0])) + 1
    return [np.asarray(ring[:, 1:], dtype=np.float64) for ring in np.split(points, starts)]
