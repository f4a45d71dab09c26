"""Folders that tests read from."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""The checkout."""
DATA = ROOT / "tests" / "data"
"""Stored results."""
FAKES = ROOT / "tests" / "fakes"
