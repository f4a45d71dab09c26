"""The vendored uPlot is the published one, with its licence."""

from __future__ import annotations

import hashlib

import pytest
from paths import ROOT

from benchmark.report import uplot

VENDOR = ROOT / "benchmark" / "report" / "templates" / "vendor"


@pytest.mark.parametrize("name", uplot.SHA256)
def test_vendored_file_is_unchanged(name: str) -> None:
    assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == uplot.SHA256[name]


def test_nothing_else_is_vendored() -> None:
    assert {path.name for path in VENDOR.iterdir()} == uplot.SHA256.keys()


def test_script_names_its_version_and_can_be_inlined() -> None:
    assert f"uPlot (v{uplot.VERSION})" in uplot.script()[:100]
    assert "</script" not in uplot.script()
    assert ".uplot" in uplot.style()
    assert "MIT License" in uplot.licence()
