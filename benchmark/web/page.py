"""The files of the live page and of the index of results: a document, scripts and styles, and uPlot."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from html import escape
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
    """Return the files of the live page by name; the document has the empty name."""
    document = _read("live.html").replace("LAND", land_path())
    return _common(document) | {name: Asset(_read(name).encode(), "text/javascript") for name in ("live.js", "map.js")}


def index_assets() -> dict[str, Asset]:
    """Return the files of the index of results by name; the document has the empty name."""
    more = {"index.css": "text/css", "index.js": "text/javascript"}
    return _common(_read("index.html")) | {name: Asset(_read(name).encode(), kind) for name, kind in more.items()}


def error_page(message: str, root: str) -> str:
    """Return the page that says why there is no report; `root` is the path of the index."""
    return _read("error.html").replace("ROOT", escape(root)).replace("MESSAGE", escape(message))


def _common(document: str) -> dict[str, Asset]:
    texts = {
        "": (document, "text/html"),
        "live.css": (css() + _read("live.css"), "text/css"),
        "elements.js": (_read("elements.js"), "text/javascript"),
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
