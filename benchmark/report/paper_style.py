"""The sizes of figures that publishers ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class PaperStyle:
    """The look of figures at one venue; a figure is included at its own size, so its text keeps the size set here."""

    width_in: float
    """Width of a column, inches."""
    font_pt: float
    """Size of all text but notes within a chart, TeX and PDF points."""
    note_pt: float
    """Size of notes within a chart."""
    family: str
    """A typeface that matplotlib contains, so that figures are the same on every machine."""
    height: float = 0.78
    """Height of a chart as a share of that in a page."""
    tallest_in: float = 9.0
    """Greatest height of a chart with one row of legend, inches."""


STYLES: Mapping[str, PaperStyle] = {
    # acmart.cls, format sigconf: \columnwidth is 241.14749pt.
    "acm": PaperStyle(241.14749 / 72.27, 8.0, 7.0, "STIXGeneral"),
    # usenix-2020-09.sty: text of 7 in, columns 0.33 in apart.
    "usenix": PaperStyle((7.0 - 0.33) / 2, 8.0, 7.0, "STIXGeneral"),
    # IEEE Author Center, "Size requirements for graphics": one column is 3.5 in. Conference templates: labels of 8 pt.
    "ieee": PaperStyle(3.5, 8.0, 7.0, "STIXGeneral"),
    # Beamer with aspectratio=169: paper of 160 mm by 90 mm, text of 140 mm.
    "slides": PaperStyle(140 / 25.4, 10.0, 9.0, "DejaVu Sans", tallest_in=66 / 25.4),
    # Both columns of acmart and USENIX.
    "page": PaperStyle(7.0, 8.5, 7.5, "DejaVu Sans", height=1.0),
}
