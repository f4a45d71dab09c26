"""Colours are legible in light and dark mode, also with the common kinds of colour blindness."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmark.report.palette import DASHES, PALETTE, SERIES, css, series_style

# Machado, Oliveira and Fernandes, "A physiologically-based model for simulation of color vision deficiency", IEEE
# TVCG 15(6), 2009: severity 1, on linear RGB.
BLIND = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(colour: str) -> NDArray[np.float64]:
    """Linear RGB of `#rrggbb` (IEC 61966-2-1)."""
    value = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def contrast(a: str, b: str) -> float:
    """Contrast ratio (WCAG 2.2)."""
    low, high = sorted(float(linear(colour) @ [0.2126, 0.7152, 0.0722]) for colour in (a, b))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("ground", ["page", "panel", "window"])
def test_text_and_lines_have_enough_contrast(mode: str, ground: str) -> None:
    behind = getattr(PALETTE[ground], mode)
    for role in ("ink", "muted", "link", "good", "warning", "bad"):
        assert contrast(getattr(PALETTE[role], mode), behind) >= 4.5, role
    for role in SERIES:
        assert contrast(getattr(PALETTE[role], mode), behind) >= 3.0, role


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("kind", BLIND)
def test_first_four_lines_differ_for_colour_blind_readers(mode: str, kind: str) -> None:
    seen = {name: np.array(BLIND[kind]) @ linear(getattr(PALETTE[name], mode)) for name in SERIES[:4]}
    for a, b in combinations(seen, 2):
        assert float(np.linalg.norm(np.cbrt(np.clip(seen[a], 0, 1)) - np.cbrt(np.clip(seen[b], 0, 1)))) > 0.1, (a, b)


def test_lines_differ_in_dashes_as_well() -> None:
    assert len(set(DASHES)) == len(SERIES)
    assert series_style(7) == series_style(1) != series_style(2)


def test_light_colours_are_unique() -> None:
    assert len({colour.light for colour in PALETTE.values()}) == len(PALETTE)
    assert all(f"--{role}:{colour.dark};" in css() for role, colour in PALETTE.items())
