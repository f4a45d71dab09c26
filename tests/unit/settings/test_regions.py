"""The table of known regions."""

from __future__ import annotations

from collections import Counter

from benchmark.settings import known_regions


def test_the_table_covers_both_clouds() -> None:
    assert Counter(region.provider for region in known_regions().values()) == {"aws": 21, "vultr": 32}


def test_a_region_has_the_coordinates_of_its_city() -> None:
    tokyo = known_regions()["ap-northeast-1"]
    assert (round(tokyo.latitude), round(tokyo.longitude)) == (36, 140)


def test_coordinates_are_on_the_globe() -> None:
    for name, region in known_regions().items():
        assert -90 < region.latitude < 90, name
        assert -180 < region.longitude <= 180, name
