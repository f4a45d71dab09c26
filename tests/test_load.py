"""The offered load is split without loss, and the generator's configuration says what was asked for."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from benchmark.inventory import Host
from benchmark.load import HttpRequest, LoadGenerator, generator, offsets, split

HOST = Host(name="a-0", provider="local", region="a", specs="namespace", address="198.18.0.2", host_key="ssh-ed25519 A")


@given(load=st.integers(1, 10**6), parts=st.integers(1, 300))
def test_parts_sum_exactly_and_differ_by_at_most_one(load: int, parts: int) -> None:
    shares = split(load, parts)
    assert len(shares) == parts
    assert sum(shares) == load
    assert max(shares) - min(shares) <= 1


def test_the_clients_of_a_run_interleave() -> None:
    assert offsets((2, 1, 1)) == (0.0, 0.25, 0.5)
    assert all(offset < 1 / 4 * 4 for offset in offsets((1, 1, 1, 1)))


def test_a_generator_is_configured_as_asked() -> None:
    request = HttpRequest("POST", "http://198.18.0.2:80/x", {"A": "b"}, "{{sequence}}")
    process = generator("client-0", HOST, "put", 17, 0.5, request, LoadGenerator(timeout="3s", max_connections=7))
    config = json.loads(process.files["config.json"])
    assert (config["rate"], config["offset_s"], config["timeout_s"], config["max_connections"]) == (17, 0.5, 3.0, 7)
    assert config["requests"] == {
        "method": "POST", "url": "http://198.18.0.2:80/x", "headers": {"A": "b"}, "body": "{{sequence}}"
    }  # fmt: skip
    assert process.job == "client"
    assert process.ready.startswith(f"http {process.metrics_port} ")
    assert "def " in process.files["load_generator.py"]


def test_generators_have_seeds_of_their_own() -> None:
    request = HttpRequest("GET", "http://198.18.0.2:80/")
    configs = [generator(f"client-{i}", HOST, "x", 1, 0, request, LoadGenerator()).files["config.json"] for i in (0, 1)]
    assert json.loads(configs[0])["seed"] != json.loads(configs[1])["seed"]
