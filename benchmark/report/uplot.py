"""uPlot, the library that draws interactive charts in browsers: https://github.com/leeoniya/uPlot (MIT).

The files in `templates/vendor/` are those of the npm package, unchanged. To update, replace them from `npm pack
uplot@VERSION`, then change `VERSION` and `SHA256`, which a test compares.
"""

from __future__ import annotations

from importlib.resources import files

VERSION = "1.6.32"
_FOLDER = files("benchmark.report").joinpath("templates", "vendor")
SHA256 = {
    "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    "uPlot.LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
}
"""Checksums of the vendored files; `uPlot.LICENSE` is the package's `LICENSE`."""


def script() -> str:
    """Return the script, which defines the global `uPlot`."""
    return _FOLDER.joinpath("uPlot.iife.min.js").read_text(encoding="utf-8")


def style() -> str:
    """Return the style sheet."""
    return _FOLDER.joinpath("uPlot.min.css").read_text(encoding="utf-8")


def licence() -> str:
    """Return the licence, which has to accompany every copy of the script."""
    return _FOLDER.joinpath("uPlot.LICENSE").read_text(encoding="utf-8")
