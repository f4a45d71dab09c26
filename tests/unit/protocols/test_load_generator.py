"""The load is split exactly, and each load generator is configured for its share."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from factories.hosts import inventory
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from benchmark.host_scripts import build_archive
from benchmark.host_scripts.load_generator.schedule import Schedule
from benchmark.plan.load_shape import rate_segments
from benchmark.protocols.load_generator import HttpRequest, LoadGenerator, generators, nearest, split
from benchmark.protocols.process import Plan, RateSegments

GET = HttpRequest("GET", "http://198.18.0.2:80/")


@given(load=st.integers(1, 10**6), parts=st.integers(1, 300))
def test_parts_sum_exactly_and_differ_by_at_most_one(load: int, parts: int) -> None:
    shares = split(load, parts)
    assert len(shares) == parts
    assert sum(shares) == load
    assert max(shares) - min(shares) <= 1


@given(load=st.integers(1, 10**6), parts=st.integers(1, 300), step=st.integers(1, 50))
def test_parts_are_multiples_of_the_step_with_the_nearest_possible_sum(load: int, parts: int, step: int) -> None:
    shares = split(load, parts, step)
    assert {share % step for share in shares} == {0}
    assert max(shares) - min(shares) <= step
    assert abs(sum(shares) - load) <= step / 2 or sum(shares) == step


def test_nearest_is_on_the_host_or_in_the_region_or_in_the_nearest_region() -> None:
    hosts = inventory(a=3, b=1, c=1, d=1).hosts
    nodes = (hosts[1], hosts[3], hosts[4])
    rtt_ms = {("d", "a"): 90.0, ("d", "b"): 20.0, ("d", "c"): 20.9}
    assert nearest(hosts[3], nodes, 7, rtt_ms) == hosts[3]
    assert nearest(hosts[2], nodes, 7, rtt_ms) == hosts[1]
    assert [nearest(hosts[5], nodes, index, rtt_ms).region for index in range(3)] == ["b", "c", "b"]
    assert [nearest(hosts[5], nodes, index).region for index in range(3)] == ["a", "b", "c"]


def plan(*shares: int, segments: RateSegments = ()) -> Plan:
    hosts = inventory(a=len(shares)).hosts
    return Plan(hosts, hosts, sum(shares), shares, rate_segments=segments)


def configs(plan: Plan, request: HttpRequest = GET, parameters: LoadGenerator = LoadGenerator()) -> list[Any]:  # noqa: B008 (frozen)
    made = generators(plan, "put", [request] * len(plan.clients), parameters)
    return [json.loads(process.files["config.json"]) for process in made]


def test_clients_of_a_run_interleave() -> None:
    assert [(each["rate"], each["offset_s"]) for each in configs(plan(2, 1, 1))] == [(2, 0), (1, 0.25), (1, 0.5)]


def test_generator_is_configured_as_requested() -> None:
    request = HttpRequest("POST", "http://198.18.0.2:80/x", {"A": "b"}, "{{sequence}}")
    parameters = LoadGenerator(timeout=timedelta(seconds=3), max_connections=7, processes=2)
    (config,) = configs(plan(17), request, parameters)
    assert (config["rate"], config["timeout_s"], config["max_connections"]) == (17, 3.0, 7)
    assert (config["processes"], configs(plan(17))[0]["processes"]) == (2, 0)
    assert config["requests"] == {
        "method": "POST", "url": "http://198.18.0.2:80/x", "headers": {"A": "b"}, "body": "{{sequence}}"
    }  # fmt: skip
    (process,) = generators(plan(17), "put", [request], parameters)
    assert (process.job, process.name, process.host.name) == ("client", "client-0", "a-0")
    assert process.ready.startswith(f"http {process.metrics_port} ")
    assert process.files["load_generator.pyz"] == build_archive("load_generator")
    assert "load_generator.pyz" in process.argv
    assert process.latency_log == config["latency_log"]


def test_every_process_needs_a_connection() -> None:
    with pytest.raises(ValidationError, match="at most as many `processes` as `max_connections`"):
        LoadGenerator(processes=3, max_connections=2)


def test_several_requests_of_a_client_have_their_workloads_and_weights() -> None:
    requests = (HttpRequest("GET", GET.url, workload="get", weight=3), HttpRequest("PUT", GET.url, workload="put"))
    config = json.loads(generators(plan(17), "other", [requests], LoadGenerator())[0].files["config.json"])
    assert "workload" not in config
    assert [(each["workload"], each["weight"], each["method"]) for each in config["requests"]] == [
        ("get", 3, "GET"), ("put", 1, "PUT")
    ]  # fmt: skip
    (one,) = generators(plan(17), "other", [requests[:1]], LoadGenerator())
    assert json.loads(one.files["config.json"])["workload"] == "get"


def test_each_generator_has_its_own_seed() -> None:
    assert len({each["seed"] for each in configs(plan(1, 1, 1))}) == 3


@pytest.mark.parametrize("text", ["ramp", "ramp:0", "steps:3"])
def test_load_shape_is_split_exactly_and_requests_interleave(text: str) -> None:
    shares = (4, 3, 3)
    pieces = rate_segments(text, warm_up_s=2, duration_s=6)
    made = configs(plan(*shares, segments=pieces))
    for number, (start, low, high) in enumerate(pieces):
        assert [each["profile"][number][0] for each in made] == [start] * 3
        assert sum(each["profile"][number][1] for each in made) == pytest.approx(10 * low)
        assert sum(each["profile"][number][2] for each in made) == pytest.approx(10 * high)
    schedules = [Schedule([tuple(piece) for piece in each["profile"]], each["offset_s"]) for each in made]
    whole = Schedule([(start, 10 * low, 10 * high) for start, low, high in pieces], 0.0)
    expected = [whole.due(n) for n in range(60)]
    due = sorted(schedule.due(n) for schedule in schedules for n in range(60))[:60]
    # Unequal shares cannot interleave perfectly; at any time each client is less than one request off.
    assert all(sum(one <= at for one in due) - sum(one <= at for one in expected) <= 3 for at in expected)


def test_clients_with_equal_shares_interleave_exactly_under_a_load_shape() -> None:
    pieces = rate_segments("ramp", warm_up_s=2, duration_s=6)
    schedules = [
        Schedule([tuple(piece) for piece in each["profile"]], each["offset_s"])
        for each in configs(plan(5, 5, segments=pieces))
    ]
    whole = Schedule([(start, 10 * low, 10 * high) for start, low, high in pieces], 0.0)
    due = sorted(schedule.due(n) for schedule in schedules for n in range(30))
    assert due == pytest.approx([whole.due(n) for n in range(60)])
