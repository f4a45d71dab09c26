"""Round-trip times: measured, fitted, or from the settings, and which settings are rejected."""

from __future__ import annotations

import csv
import itertools
from importlib.resources import files

import pytest

from benchmark.errors import SettingsError
from benchmark.settings import Network, known_regions
from stacks.local.wan.round_trips import Links, links_for, round_trip_ms


def test_measured_pairs_are_found_in_either_order() -> None:
    assert round_trip_ms("af-south-1", "ap-east-1") == 350.3
    assert round_trip_ms("ap-east-1", "af-south-1") == 350.3


def test_every_row_of_the_table_is_used() -> None:
    with (files("stacks.local.wan") / "region-rtt.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["region_a"] != row["region_b"]]
    assert len(rows) == 210
    assert all(round_trip_ms(row["region_a"], row["region_b"]) == float(row["rtt_ms"]) for row in rows)


def test_an_unmeasured_pair_follows_the_fit() -> None:
    # Amsterdam to Sydney is 16 650 km on a great circle: 6.7 + 0.01528 * 16650 = 261.1 ms
    assert round_trip_ms("ams", "syd") == pytest.approx(261.1, abs=0.3)
    assert round_trip_ms("us-east-1", "syd") == pytest.approx(6.7 + 0.01528 * 15700, abs=2)


def test_regions_in_one_city_are_closer_than_the_fit() -> None:
    assert round_trip_ms("eu-west-2", "lhr") == 2.2
    assert round_trip_ms("fra", "eu-central-1") == 2.2


def test_no_pair_is_faster_than_light_in_glass() -> None:
    times = [round_trip_ms(*pair) for pair in itertools.combinations(known_regions(), 2)]
    assert min(times) == 2.2
    assert max(times) < 450


def test_links_contain_every_pair_once_and_each_region_with_itself() -> None:
    links = links_for(["us-east-1", "eu-west-1"], Network())
    assert set(links.rtt_ms) == {"us-east-1/us-east-1", "eu-west-1/us-east-1", "eu-west-1/eu-west-1"}
    assert links.rtt("us-east-1", "us-east-1") == 0.6
    assert links.rtt("us-east-1", "eu-west-1") == links.rtt("eu-west-1", "us-east-1") == 69.7


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
