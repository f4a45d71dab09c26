"""The bounds of the accuracy tool; integration/test_wan.py runs it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from paths import ROOT

from benchmark.settings import Network
from stacks.local.wan.links import links_for
from stacks.local.wan.network import WideAreaNetwork
from tools.accuracy import wan_accuracy
from tools.accuracy.wan_accuracy import REGIONS, Host, Pair

HERE, THERE = Host("us-east-1", "198.18.0.2", 1), Host("eu-west-1", "198.18.0.3", 2)


@pytest.mark.parametrize(
    ("configured", "median", "good"),
    [
        (0.6, 1.6, True),
        (0.6, 1.7, False),
        (100, 103, True),
        (100, 103.1, False),
        (100, 96.9, False),
        (50, float("inf"), False),
    ],
)
def test_pair_is_within_bounds_up_to_1_ms_and_2_percent(configured: float, median: float, good: bool) -> None:
    assert Pair(HERE, THERE, configured, median).good == good


def test_ten_regions_of_the_table_are_compared() -> None:
    links = links_for(REGIONS, Network())
    assert len(REGIONS) == 10
    assert len(links.directions) == 100


def test_processes_end_with_the_block_even_if_it_fails() -> None:
    with pytest.raises(KeyError), wan_accuracy.processes([["sleep", "60"]]) as (process,):
        raise KeyError
    assert process.returncode is not None


def test_pings_without_answers_are_out_of_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "64 bytes from 198.18.0.3: icmp_seq=1 ttl=64 time=70.1 ms\n"
    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 0, text, ""))
    links = links_for(["us-east-1", "eu-west-1"], Network())
    (one,) = wan_accuracy.measure_pairs(links, [HERE, THERE], pings=2)
    assert one == Pair(HERE, THERE, links.rtt(HERE.region, THERE.region), 70.1)
    (lost,) = wan_accuracy.measure_pairs(links, [HERE, THERE], pings=3)
    assert not lost.good


def test_a_pair_out_of_bounds_is_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["wan_accuracy.py", "--seconds", "0"])
    for good, code in ((True, 0), (False, 1)):
        monkeypatch.setattr(wan_accuracy, "accuracy", lambda options, good=good: good)
        with pytest.raises(SystemExit) as ended:
            wan_accuracy.main()
        assert ended.value.code == code


def test_quantiles_of_the_delay_are_bounds_of_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {'bucket{le="0.0001"}': 90.0, 'bucket{le="0.001"}': 99.0, 'bucket{le="+Inf"}': 100.0}
    monkeypatch.setattr(wan_accuracy, "samples", lambda network: {**found, "wan_lateness_seconds_count": 100.0})
    network = WideAreaNetwork("t")
    assert wan_accuracy.delay_ms(network, 0.5) == pytest.approx(0.1)
    assert wan_accuracy.delay_ms(network, 0.99) == pytest.approx(1.0)
    assert wan_accuracy.delay_ms(network, 1.0) == float("inf")


def test_script_help_lists_its_options() -> None:
    command = [sys.executable, "-m", "tools.accuracy.wan_accuracy", "--help"]
    text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "--hosts" in text
