"""The table of round trips before and after a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from factories.result_factory import write_run

from benchmark.inventory import EmulatedRoundTrip
from benchmark.report import formatting
from benchmark.report.run_data import Record, read_record
from benchmark.report.tables import MOST_ROUND_TRIPS, network_table
from benchmark.results.manifest import RoundTripRecord

NETWORK = {
    "a/b": RoundTripRecord(before_ms=70.1, after_ms=70.2),
    "b/a": RoundTripRecord(before_ms=70.0, after_ms=90.0),
    "a/a": RoundTripRecord(before_ms=None, after_ms=0.61),
}
REQUESTED = {
    "a/b": EmulatedRoundTrip(rtt_ms=70),
    "b/a": EmulatedRoundTrip(rtt_ms=70),
    "a/a": EmulatedRoundTrip(rtt_ms=0.6),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("results") / "run")


def record(run: Path, network: dict[str, RoundTripRecord], requested: dict[str, EmulatedRoundTrip]) -> Record:
    found = read_record(run)
    inventory = found.manifest.inventory.model_copy(update={"round_trips": requested})
    return replace(found, manifest=found.manifest.model_copy(update={"network": network, "inventory": inventory}))


def test_emulated_round_trips_are_beside_the_requested_ones_and_deviations_are_marked(run: Path) -> None:
    table = network_table(record(run, NETWORK, REQUESTED))
    assert table
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["b", "a", "70.00 ms", "70.00", "90.00"],
        ["a", "b", "70.00 ms", "70.10", "70.20"],
        ["a", "a", "0.60 ms", formatting.NONE, "0.61"],
    ]
    assert [cell.mark for row in table.rows for cell in row if cell.mark] == ["bad"]
    assert table.csv().splitlines()[:2] == ["from,to,requested_ms,before_ms,after_ms", "b,a,70.0,70.0,90.0"]


def test_real_networks_have_what_was_measured_and_the_largest_changes_come_first(run: Path) -> None:
    many = {f"a/r{index}": RoundTripRecord(before_ms=10.0, after_ms=10.0 + index) for index in range(30)}
    table = network_table(record(run, many, {}))
    assert table
    assert table.columns == ("from", "to", "before", "after")
    assert [row[1].text for row in table.rows] == [f"r{index}" for index in range(29, 29 - MOST_ROUND_TRIPS, -1)]
    assert len(table.csv().splitlines()) == 31
    assert network_table(record(run, {}, {})) is None
