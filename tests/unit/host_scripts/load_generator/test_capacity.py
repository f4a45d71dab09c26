"""The number of processes that a load requires."""

from __future__ import annotations

import os

import pytest

from benchmark.host_scripts.load_generator import capacity
from benchmark.host_scripts.load_generator.config import Config
from benchmark.host_scripts.load_generator.fields import ConfigError

PUT = {"url": "http://127.0.0.1:9/", "body": '{"key":"{{key:1000:base64}}","value":"{{value:128:base64}}"}'}


@pytest.mark.parametrize(
    ("fields", "processes"),
    [
        ({"rate": 900}, 1),  # without a measurement
        ({"rate": 9_000}, 1),
        ({"rate": 11_000}, 2),
        ({"profile": [[0, 100], [5, 0, 39_000], [9, 100]]}, 4),
        ({"rate": 1_000_000}, 8),
        ({"rate": 1_000_000, "max_connections": 3}, 3),
        ({"rate": 1, "processes": 5}, 5),
    ],
)
def test_one_process_for_each_cpu_that_the_peak_of_the_load_requires(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, object], processes: int
) -> None:
    monkeypatch.setattr(capacity, "_cpu_per_request", lambda _: 1e-4 / 2)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8))
    assert capacity.required_processes(Config({"requests": PUT, **fields})) == processes


def test_cost_of_a_request_is_measured() -> None:
    assert 5e-6 < capacity._cpu_per_request(Config({"rate": 1, "requests": PUT})) < 5e-3


def test_large_requests_can_be_measured() -> None:
    request = {"url": "http://127.0.0.1:9/", "body": "{{value:1000000}}"}
    assert capacity._cpu_per_request(Config({"rate": 1, "requests": request})) > 5e-5


def test_every_process_needs_a_connection() -> None:
    with pytest.raises(ConfigError, match="processes: found 3, more than max_connections"):
        Config({"rate": 1, "requests": PUT, "processes": 3, "max_connections": 2})
