"""The files of the live page: one document, its script and style, and uPlot."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby

from benchmark.report import uplot
from benchmark.report.palette import css

_STATIC = files("benchmark.web").joinpath("static")


@dataclass(frozen=True)
class Asset:
    """A file of the page."""

    content: bytes
    content_type: str


def assets() -> dict[str, Asset]:
    """Return the files of the page by name; the document has the empty name."""
    texts = {
        "": (_read("live.html").replace("LAND", land_path()), "text/html"),
        "live.css": (css() + _read("live.css"), "text/css"),
        "live.js": (_read("live.js"), "text/javascript"),
        "map.js": (_read("map.js"), "text/javascript"),
        "icon.svg": (_read("icon.svg"), "image/svg+xml"),
        "uplot.js": (uplot.script(), "text/javascript"),
        "uplot.css": (uplot.style(), "text/css"),
    }
    return {name: Asset(text.encode(), kind) for name, (text, kind) in texts.items()}


def land_path() -> str:
    """Return the outlines of the continents as an SVG path: degrees, south is positive."""
    with files("benchmark.report").joinpath("land.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    rings = (list(ring) for _, ring in groupby(rows, key=lambda row: row["ring"]))
    points = ([f"{row['longitude']} {-float(row['latitude']):g}" for row in ring] for ring in rings)
    return "".join(f"M{'L'.join(ring)}Z" for ring in points)


def _read(name: str) -> str:
    return _STATIC.joinpath(name).read_text(encoding="utf-8")
