"""Parsing the resources that a preview would create."""

from __future__ import annotations

import pytest

from tools.performance.preview import CLOUDS, REGIONS, ROOT, resources


def test_summary_of_a_preview_is_parsed() -> None:
    assert resources("Resources:\n    + 477 to create\n") == 477
    with pytest.raises(ValueError, match="no `\\+ N to create`"):
        resources("error: preview failed")


@pytest.mark.parametrize("cloud", CLOUDS)
def test_the_example_settings_have_as_many_regions_as_sizes_are_divided_by(cloud: str) -> None:
    text = (ROOT / "assets" / f"settings.{cloud}.yaml").read_text(encoding="utf-8")
    assert f"instances: {100 // REGIONS} " in text
