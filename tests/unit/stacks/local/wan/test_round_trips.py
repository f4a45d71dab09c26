"""Round-trip times: measured, or derived from measured ones."""

from __future__ import annotations

import csv
import itertools
from importlib.resources import files

import pytest

from benchmark.settings import known_regions
from stacks.local.wan.round_trips import distance_km, round_trip_ms


def table() -> dict[tuple[str, str], dict[str, str]]:
    with (files("stacks.local.wan") / "region-rtt.csv").open(encoding="utf-8") as file:
        return {(row["from"], row["to"]): row for row in csv.DictReader(file)}


def distance(pair: tuple[str, str]) -> float:
    return distance_km(known_regions()[pair[0]], known_regions()[pair[1]])


def test_the_table_has_both_directions_of_every_pair_of_aws_regions() -> None:
    regions = [name for name, region in known_regions().items() if region.provider == "aws"]
    assert set(table()) == set(itertools.permutations(regions, 2))
    assert all(round_trip_ms(*pair) == float(row["rtt_ms"]) for pair, row in table().items())


@pytest.mark.parametrize(
    ("pair", "known_ms"),
    [(("eu-west-2", "eu-west-3"), 7.4), (("eu-central-1", "eu-west-3"), 8.2), (("us-east-1", "us-east-2"), 11.4)],
)
def test_pairs_with_known_round_trips_are_within_9_percent(pair: tuple[str, str], known_ms: float) -> None:
    assert round_trip_ms(*pair) == pytest.approx(known_ms, rel=0.09)
    assert round_trip_ms(*reversed(pair)) == pytest.approx(known_ms, rel=0.09)


def test_rows_are_the_measured_times_without_those_of_the_probe() -> None:
    largest = {"ping": 0.051, "cloudping-1d": 0.8, "cloudping-1y": 5.5}
    for pair, row in table().items():
        assert -0.051 <= float(row["measured_ms"]) - float(row["rtt_ms"]) <= largest[row["source"]], pair
        assert row["date"].startswith("20"), pair


def test_the_two_directions_differ_by_at_most_2_percent_except_for_one_pair() -> None:
    away = {frozenset(pair) for pair in table() if abs(round_trip_ms(*pair) / round_trip_ms(*pair[::-1]) - 1) > 0.02}
    assert away == {frozenset(("me-south-1", "us-west-2"))}


def test_pairs_in_cities_of_measured_regions_have_their_round_trip() -> None:
    assert round_trip_ms("lhr", "fra") == round_trip_ms("eu-west-2", "eu-central-1")
    assert round_trip_ms("nrt", "us-west-1") == round_trip_ms("ap-northeast-1", "us-west-1")


def test_an_unmeasured_pair_has_the_path_stretch_of_the_measured_regions_around_it() -> None:
    # WonderProxy's pings between servers in these cities: 7.7, 275 and 46 ms.
    assert round_trip_ms("ams", "fra") == pytest.approx(7.7, rel=0.1)
    assert round_trip_ms("ams", "mel") == pytest.approx(275, rel=0.1)
    assert round_trip_ms("yto", "dfw") == pytest.approx(46, rel=0.25)


def test_regions_in_one_city_and_hosts_in_one_region_are_close() -> None:
    assert round_trip_ms("eu-west-2", "lhr") == round_trip_ms("fra", "eu-central-1") == 1.6
    assert (round_trip_ms("us-east-1", "us-east-1"), round_trip_ms("ewr", "ewr")) == (0.6, 0.3)


def test_no_pair_is_faster_than_light_in_fibre() -> None:
    for pair in itertools.permutations(known_regions(), 2):
        assert 0.01 * distance(pair) < round_trip_ms(*pair) < 400, pair
