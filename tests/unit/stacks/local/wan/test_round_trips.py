"""Round-trip times: measured, derived, or from the settings, and which settings are rejected."""

from __future__ import annotations

import csv
import itertools
from importlib.resources import files

import pytest

from benchmark.errors import SettingsError
from benchmark.settings import Network, known_regions
from stacks.local.wan.round_trips import Links, distance_km, links_for, round_trip_ms


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
    # WonderProxy's pings between servers in these cities: 7.7, 273 and 46 ms.
    assert round_trip_ms("ams", "fra") == pytest.approx(7.7, rel=0.1)
    assert round_trip_ms("ams", "mel") == pytest.approx(273, rel=0.1)
    assert round_trip_ms("yto", "dfw") == pytest.approx(46, rel=0.25)


def test_regions_in_one_city_and_hosts_in_one_region_are_close() -> None:
    assert round_trip_ms("eu-west-2", "lhr") == round_trip_ms("fra", "eu-central-1") == 1.6
    assert (round_trip_ms("us-east-1", "us-east-1"), round_trip_ms("ewr", "ewr")) == (0.6, 0.3)


def test_no_pair_is_faster_than_light_in_fibre() -> None:
    for pair in itertools.permutations(known_regions(), 2):
        assert 0.01 * distance(pair) < round_trip_ms(*pair) < 400, pair


def test_links_contain_every_pair_once_and_each_region_with_itself() -> None:
    links = links_for(["us-east-1", "eu-west-1"], Network())
    assert set(links.rtt_ms) == {"us-east-1/us-east-1", "eu-west-1/us-east-1", "eu-west-1/eu-west-1"}
    assert links.rtt("us-east-1", "us-east-1") == 0.6
    assert links.rtt("us-east-1", "eu-west-1") == links.rtt("eu-west-1", "us-east-1") == 65.8


def test_settings_override_the_table_in_either_order() -> None:
    network = Network(rtt_ms={"us-east-1/eu-west-1": 12.5, "eu-west-1/eu-west-1": 0})
    links = links_for(["eu-west-1", "us-east-1"], network)
    assert links.rtt("eu-west-1", "us-east-1") == 12.5
    assert links.rtt("eu-west-1", "eu-west-1") == 0
    assert links.rtt("us-east-1", "us-east-1") == 0.6


def test_custom_names_work_with_a_complete_matrix() -> None:
    links = links_for(["lab", "ship"], Network(rtt_ms={"ship/lab": 600}))
    assert links.rtt("lab", "ship") == 600
    assert links.rtt("ship", "ship") == 0.6


def test_impairments_are_taken_from_the_settings() -> None:
    links = links_for(["ewr"], Network(loss=0.01, jitter_ms=2, bandwidth_mbps=100, internet=False))
    assert (links.loss, links.jitter_ms, links.bandwidth_mbps, links.internet) == (0.01, 2, 100, False)


def test_links_round_trip_through_json_and_equal_links_have_equal_json() -> None:
    links = links_for(["us-east-1", "ewr"], Network(loss=0.01))
    again = links_for(["ewr", "us-east-1"], Network(loss=0.01))
    assert Links.from_json(links.to_json()) == links
    assert links.to_json() == again.to_json()


def test_an_unknown_region_gets_near_matches_and_the_setting_for_custom_names() -> None:
    expected = r"unknown region 'eu-wset-1'; did you mean .*eu-west-1.*network: \{rtt_ms: \{eu-wset-1/us-east-1"
    with pytest.raises(SettingsError, match=expected):
        links_for(["us-east-1", "eu-wset-1"], Network())


def test_a_mistyped_override_is_rejected() -> None:
    with pytest.raises(SettingsError, match=r"'us-esat-1' is not among `regions`; did you mean us-east-1"):
        links_for(["us-east-1", "eu-west-1"], Network(rtt_ms={"us-esat-1/eu-west-1": 70}))


def test_an_override_may_name_a_known_region_outside_the_testbed() -> None:
    links = links_for(["us-east-1"], Network(rtt_ms={"us-east-1/eu-west-1": 70}))
    assert set(links.rtt_ms) == {"us-east-1/us-east-1"}


def test_two_times_for_one_pair_are_rejected() -> None:
    with pytest.raises(SettingsError, match="found 70 ms and 80 ms for eu-west-1/us-east-1"):
        links_for(["us-east-1", "eu-west-1"], Network(rtt_ms={"us-east-1/eu-west-1": 70, "eu-west-1/us-east-1": 80}))
