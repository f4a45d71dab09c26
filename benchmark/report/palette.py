"""Colours of reports by role, for light and dark mode; safe for colour-blind readers.

The series colours are those of Okabe and Ito ("Color universal design", 2008), darkened or lightened to a contrast of
at least 3:1 with their background (WCAG 2.2, 1.4.11); text has at least 4.5:1 (1.4.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Style = dict[str, Any]
"""Keyword arguments of matplotlib that set the look of a line or a text."""
SERIES = ("blue", "orange", "green", "purple", "sky", "brown")
DASHES: tuple[str | tuple[int, tuple[float, ...]], ...] = (
    "-", (0, (5, 2)), (0, (1.2, 1.4)), (0, (5, 1.5, 1.2, 1.5)), (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)),
)  # fmt: skip
"""Lines differ in dashes as well, so that they can be distinguished without colour."""


@dataclass(frozen=True)
class Colour:
    """The colour of one role; light colours are unique, so that a page can replace each by its role."""

    light: str
    dark: str


PALETTE = {
    "page": Colour("#ffffff", "#14171c"),
    "panel": Colour("#f6f7f9", "#1c2027"),
    "line": Colour("#d9dde3", "#343a45"),
    "ink": Colour("#1a1d21", "#e8eaed"),
    "muted": Colour("#59616c", "#a3abb8"),
    "land": Colour("#e4e7ec", "#2b313b"),
    "window": Colour("#eef3f9", "#1d2733"),
    "link": Colour("#0b5cad", "#7ab8f5"),
    "blue": Colour("#0072b2", "#56b4e9"),
    "orange": Colour("#d55e00", "#ff9a4d"),
    "green": Colour("#2f6b1e", "#6f9e1a"),
    "purple": Colour("#b0508f", "#e39cc8"),
    "sky": Colour("#2a8cc4", "#9bd4f5"),
    "brown": Colour("#8a6d00", "#e6c84a"),
    "good": Colour("#0a6b47", "#5fdcae"),
    "warning": Colour("#8a4b00", "#ffb961"),
    "bad": Colour("#b3261e", "#ff8d85"),
}


def css() -> str:
    """Return the colours as CSS variables: light, dark if the reader prefers it, and light on paper."""
    light = "".join(f"--{role}:{colour.light};" for role, colour in PALETTE.items())
    dark = "".join(f"--{role}:{colour.dark};" for role, colour in PALETTE.items())
    return f":root{{color-scheme:light dark;{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}"


def light(role: str) -> str:
    """Return the colour of `role` in light mode."""
    return PALETTE[role].light


def series_style(index: int) -> Style:
    """Return the colour and dashes of line number `index`; both repeat after six."""
    return {"color": light(SERIES[index % len(SERIES)]), "linestyle": DASHES[index % len(DASHES)]}
