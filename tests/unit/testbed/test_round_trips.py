"""Round trips of this machine, measured by the real script, and what is concluded from them."""

from __future__ import annotations

import shlex
import socket
import subprocess
import sys

import pytest
from factories.hosts import inventory

from benchmark.errors import InfrastructureError
from benchmark.inventory import EmulatedRoundTrip
from benchmark.testbed.round_trips import RoundTrips, Sample, changes, commands, deviations, parse, script


def measure(*targets: str, probes: int = 3) -> RoundTrips:
    command = [sys.executable, "-I", "-S", "-", str(probes), "0.01", *targets]
    done = subprocess.run(command, input=script(), capture_output=True, text=True, timeout=30, check=True)
    return RoundTrips(parse("here", done.stdout, ["v4", "v6", "peer", "closed", "unknown"]))


def test_every_request_has_its_round_trip() -> None:
    found = measure("v4=127.0.0.1:1", "v6=[::1]:1")
    assert {pair: len(samples) for pair, samples in found.samples.items()} == {("here", "v4"): 3, ("here", "v6"): 3}
    assert all(0 < rtt_ms < 1000 for rtt_ms in found.shortest_ms().values())
    times = [sample.time_s for sample in found.samples["here", "v4"]]
    assert times == sorted(times)
    assert times[2] >= 0.02


def test_a_measurement_ends_when_nobody_reads_it() -> None:
    command = [sys.executable, "-I", "-S", "-", "100", "600", "v4=127.0.0.1:1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(script().encode())
        process.stdin.close()
        process.stdout.close()
        assert process.wait(timeout=60) == 1


def test_hosts_that_answer_no_echo_request_are_timed_by_tcp() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        blocked = script().replace("socket.SOCK_DGRAM, socket.SOCK_RAW", "-1, -2")  # as without the permission
        target = f"peer=127.0.0.1:{server.getsockname()[1]}"
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-", "2", "0", target, "closed=127.0.0.1:1", "unknown=no.invalid:22"],
            input=blocked, capture_output=True, text=True, timeout=30, check=True,
        )  # fmt: skip
    found = RoundTrips(parse("here", done.stdout, ["v4", "v6", "peer", "closed", "unknown"]))
    assert 0 < found.shortest_ms()["here", "peer"] < 1000
    assert [sample.rtt_ms for sample in found.samples["here", "closed"]] == [None, None]
    assert ("here", "unknown") not in found.samples
    assert set(found.shortest_ms()) == {("here", "peer")}


def test_the_first_host_of_each_region_measures_the_others_and_its_neighbour() -> None:
    found = {host: shlex.split(command)[4:] for host, command in commands(inventory(a=2, b=1).hosts, 5, 0.02).items()}
    a_0, a_1, b_0 = "198.18.0.2:22", "198.18.0.3:22", "198.18.0.4:22"
    assert found == {
        "a-0": ["-", "5", "0.02", f"a={a_1}", f"b={b_0}"],
        "b-0": ["-", "5", "0.02", f"a={a_0}"],
    }
    assert commands(inventory(a=1).hosts, 5, 0.02) == {}


@pytest.mark.parametrize(
    "text", ["bash: python3: command not found", '["a", 0.0, 0.0]', '["a", 0.0, 1e9]', "[1, 2, 3]", '["c", 0, 1.5]']
)
def test_other_output_is_an_error(text: str) -> None:
    with pytest.raises(InfrastructureError, match="could not read round trips"):
        parse("here", text, ["a", "b"])


@pytest.mark.parametrize(
    ("wanted", "rtt_ms", "allowed"),
    [
        (EmulatedRoundTrip(rtt_ms=100), 102.9, True),
        (EmulatedRoundTrip(rtt_ms=100), 103.1, False),
        (EmulatedRoundTrip(rtt_ms=100), 96.9, False),
        (EmulatedRoundTrip(rtt_ms=100, jitter_ms=1), 93.1, True),
        (EmulatedRoundTrip(rtt_ms=100, longest_ms=200), 205, True),
        (EmulatedRoundTrip(rtt_ms=100, longest_ms=200), 206, False),
    ],
)
def test_emulated_round_trips_may_differ_by_1_ms_and_2_percent(
    wanted: EmulatedRoundTrip, rtt_ms: float, allowed: bool
) -> None:
    assert wanted.allows(rtt_ms) is allowed


def test_deviations_name_both_times_and_hosts_without_an_answer() -> None:
    requested = {"a/b": EmulatedRoundTrip(rtt_ms=70), "b/a": EmulatedRoundTrip(rtt_ms=70)}
    found = deviations(requested, {("a", "b"): 75.0}, inventory(a=1, b=1).hosts)
    assert found == {
        ("a", "b"): "the round trip from a to b is 75.00 ms, requested 70.00 ms",
        ("b", "a"): "no answer from a to b, requested a round trip of 70.00 ms",
    }


def test_changes_are_reported_unless_the_network_was_asked_to_vary() -> None:
    before, after = {("a", "b"): 70.0, ("a", "c"): 5.0}, {("a", "b"): 80.0, ("a", "c"): 5.5}
    assert changes({}, before, after) == ["the round trip from a to b was 70.00 ms before the run and 80.00 ms after"]
    assert changes({"a/b": EmulatedRoundTrip(rtt_ms=70, jitter_ms=5)}, before, after) == []


def test_the_shortest_answer_counts() -> None:
    samples = [Sample(0, 12.0), Sample(1, None), Sample(2, 11.0)]
    found = RoundTrips({("a", "b"): samples, ("a", "a"): [Sample(0, 0.5)], ("b", "a"): [Sample(0, None)]})
    assert found.shortest_ms() == {("a", "b"): 11.0, ("a", "a"): 0.5}
    assert found.between_regions() == {("a", "b"): 11.0}
