"""Links of a testbed: from the table, the settings, a matrix or a trace, and which settings are rejected."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import pytest

from benchmark.errors import InfrastructureError, SettingsError
from benchmark.inventory import EmulatedRoundTrip
from benchmark.settings import Network
from stacks.local.wan.emulator.impairments import read_traces
from stacks.local.wan.links import Direction, Links, links_for
from stacks.local.wan.trace import write_trace


def network(**fields: object) -> Network:
    return Network.model_validate(fields)


def test_links_contain_every_direction() -> None:
    links = links_for(["us-east-1", "eu-west-1"], Network())
    assert set(links.directions) == {
        *("us-east-1->us-east-1", "eu-west-1->us-east-1", "us-east-1->eu-west-1", "eu-west-1->eu-west-1")
    }
    assert links.rtt("us-east-1", "us-east-1") == 0.6
    assert links.rtt("us-east-1", "eu-west-1") == links.rtt("eu-west-1", "us-east-1") == pytest.approx(65.65)


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
    links = links_for(["ewr", "lax"], network(loss=0.01, jitter_ms=2, bandwidth_mbps=100, internet=False))
    assert (links.bandwidth_mbps, links.internet) == (100, False)
    between, within = links.directions["lax->ewr"], links.directions["lax->lax"]
    assert (between.loss, between.mean_burst, between.jitter_ms, between.distribution) == (0.01, 1, 2, "normal")
    assert within == Direction(0.15)


def test_links_round_trip_through_json_and_equal_links_have_equal_json() -> None:
    links = links_for(["us-east-1", "ewr"], network(loss=0.01))
    again = links_for(["ewr", "us-east-1"], network(loss=0.01))
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
    assert links.regions == ["us-east-1"]


def test_two_times_for_one_pair_are_rejected() -> None:
    with pytest.raises(SettingsError, match="found 70 ms and 80 ms for eu-west-1/us-east-1"):
        links_for(["us-east-1", "eu-west-1"], Network(rtt_ms={"us-east-1/eu-west-1": 70, "eu-west-1/us-east-1": 80}))


LINK = {
    "from": "a",
    "to": "b",
    "delay_ms": 30,
    "jitter": {"stdev_ms": 2, "distribution": "pareto", "reorder": True},
    "loss": {"share": 0.1, "mean_burst": 5},
    "rate_mbps": 50,
}
EXPECTED = Direction(30, 2, "pareto", True, 0.1, 5, 50)


def test_a_link_changes_one_direction() -> None:
    links = links_for(["a", "b"], network(rtt_ms={"a/b": 80}, loss={"share": 0.2, "mean_burst": 3}, links=[LINK]))
    assert links.directions["a->b"] == EXPECTED
    assert links.directions["b->a"] == Direction(40, loss=0.2, mean_burst=3)
    assert links.rtt("a", "b") == 70
    assert Links.from_json(links.to_json()) == links


def test_links_within_a_region_have_only_the_impairments_of_their_own() -> None:
    links = links_for(["a"], network(loss=0.5, jitter_ms=3, links=[{"from": "a", "to": "a", "loss": 0.1}]))
    assert links.directions["a->a"] == Direction(0.3, loss=0.1)


def test_custom_names_need_no_round_trips_where_links_have_both_delays() -> None:
    back = {"from": "b", "to": "a", "rtt_ms": 50}
    assert links_for(["a", "b"], network(links=[LINK, back])).rtt("a", "b") == 55
    with pytest.raises(SettingsError, match="unknown region 'b'"):
        links_for(["a", "b"], network(links=[LINK]))


def test_links_come_from_a_matrix_that_may_cover_more_regions(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text("links:\n- {from: a, to: b, delay_ms: 9}\n- {from: b, to: a, rtt_ms: 20}\n- {from: x, to: a}\n")
    assert links_for(["a", "b"], network(links=file)).rtt("a", "b") == 19
    with pytest.raises(SettingsError, match=r"links: .*m.yaml is about a, b, x, expected some of `regions`: y, z"):
        links_for(["y", "z"], network(rtt_ms={"y/z": 1}, links=file))


def test_a_mistyped_link_is_rejected() -> None:
    with pytest.raises(SettingsError, match=r"network.links.0: 'us-esat-1' is not among `regions`; did you mean us-e"):
        links_for(["us-east-1"], network(links=[{"from": "us-east-1", "to": "us-esat-1"}]))


def test_links_of_an_earlier_release_keep_their_delays() -> None:
    links = Links.from_json('{"rtt_ms": {"a/a": 1.0, "a/b": 20.0, "b/b": 1.0}, "loss": 0.0, "internet": true}')
    assert links.directions == {
        "a->a": Direction(0.5),
        "a->b": Direction(10),
        "b->a": Direction(10),
        "b->b": Direction(0.5),
    }


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    file = tmp_path / "trace.csv"
    file.write_text("time_s,from,to,rtt_ms\n0,a,b,40\n0,x,y,9\n0.5,b,c,20\n1,a,b,60\n1,b,a,70\n")
    return file


def test_a_trace_is_replayed_in_both_directions_and_repeats(trace: Path, tmp_path: Path) -> None:
    links = links_for(["a", "b", "c"], network(rtt_ms={"a/c": 7, "a/b": 500}, trace=trace))
    assert links.trace
    assert links.rtt("a", "c") == 7
    assert (links.directions["a->b"].delay_ms, links.directions["b->a"].delay_ms) == (20, 35)
    assert Links.from_json(links.to_json()) == links
    write_trace(links.trace, links.regions, tmp_path / "binary")
    found = read_traces(tmp_path / "binary")
    assert set(found) == {"a->b", "b->a", "b->c", "c->b"}
    series = found["a->b"]
    start = series._start
    # The last value holds as long as the time between the last two: the period is 1.5 s.
    delays = [series.at(start + seconds)[0] for seconds in (0, 0.99, 1, 1.49, 1.5, 2.5, 3)]
    assert delays == [0.020, 0.020, 0.030, 0.030, 0.020, 0.030, 0.020]
    assert found["c->b"].at(start) == (0.010, pytest.approx(start + 0.5))  # also before its time


def test_requested_round_trips_have_jitter_and_the_range_of_the_trace(trace: Path) -> None:
    links = links_for(["a", "b", "c"], network(rtt_ms={"a/c": 7, "a/b": 500, "b/c": 8}, jitter_ms=3))
    found = links.round_trips()
    assert len(found) == 9
    assert (
        found["a/c"]
        == found["c/a"]
        == EmulatedRoundTrip(rtt_ms=7, jitter_ms=math.hypot(3, 3), impairments="jitter_ms 3.0")
    )
    assert found["b/b"] == EmulatedRoundTrip(rtt_ms=0.6)
    found = links_for(["a", "b", "c"], network(rtt_ms={"a/c": 7, "a/b": 500}, trace=trace)).round_trips()
    content = f"trace sha256 {hashlib.sha256(trace.read_bytes()).hexdigest()[:16]}"
    assert found["a/b"] == EmulatedRoundTrip(rtt_ms=(40 + 70) / 2, longest_ms=(60 + 70) / 2, impairments=content)
    assert found["b/c"] == EmulatedRoundTrip(rtt_ms=20, longest_ms=20, impairments=content)
    assert found["a/c"] == EmulatedRoundTrip(rtt_ms=7)


def test_a_trace_goes_on_when_links_change(trace: Path, tmp_path: Path) -> None:
    links = links_for(["a", "b"], network(rtt_ms={"a/b": 1}, trace=trace))
    assert links.trace
    starts = []
    for _ in range(2):
        write_trace(links.trace, links.regions, tmp_path / "binary")
        starts.append(read_traces(tmp_path / "binary")["a->b"]._start)
    assert starts[0] == starts[1]
    trace.write_text(trace.read_text() + "2,a,b,5\n")
    with pytest.raises(InfrastructureError, match=r"trace.csv has changed since it was read; run `pulumi up` again"):
        write_trace(links.trace, links.regions, tmp_path / "binary")
    changed = links_for(["a", "b"], network(rtt_ms={"a/b": 1}, trace=trace))
    assert changed.to_json() != links.to_json()
    assert changed.trace
    write_trace(changed.trace, links.regions, tmp_path / "binary")
    assert read_traces(tmp_path / "binary")["a->b"]._start > starts[0]


def test_a_trace_of_other_regions_is_rejected(trace: Path) -> None:
    with pytest.raises(SettingsError, match=r"network.trace: .* is about a, b, c, x, y; expected some of `regions`: n"):
        links_for(["n", "o"], network(rtt_ms={"n/o": 1}, trace=trace))
