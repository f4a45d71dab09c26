"""Files of links and of round trips over time are read as they were written; mistakes in them are located."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmark.errors import SettingsError
from benchmark.settings import (
    Jitter,
    Link,
    Loss,
    Matrix,
    Network,
    RoundTrip,
    format_trace,
    parse_settings,
    read_matrix,
    read_trace,
)

HEADER = "time_s,from,to,rtt_ms\n"


def test_a_matrix_is_read_as_it_was_written(tmp_path: Path) -> None:
    there = Link(source="a b", destination="c", rtt_ms=70.25, jitter=Jitter(stdev_ms=0.5), loss=Loss(share=0.01))
    back = Link(source="c", destination="a b", delay_ms=30, rate_mbps=100)
    matrix = Matrix(
        testbed_id="t", measured_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), probes=9, links=(there, back)
    )
    (tmp_path / "m.yaml").write_text(matrix.to_yaml())
    assert read_matrix(tmp_path / "m.yaml") == matrix
    assert (there.one_way_ms, back.one_way_ms) == (35.125, 30)


def test_numbers_stand_for_normal_jitter_and_independent_loss(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("links: [{from: a, to: b, jitter: 2, loss: 0.1}]")
    (link,) = read_matrix(tmp_path / "m.yaml").links
    assert link.jitter == Jitter(stdev_ms=2.0, distribution="normal")
    assert link.loss == Loss(share=0.1, mean_burst=1.0)
    assert link.one_way_ms is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("links:\n- {from: a, to: b, delay_ms: 1, rtt_ms: 2}", "line 2, column 3: .*both delay_ms and rtt_ms"),
        ("links:\n- {from: a, to: b}\n- {from: a, to: b}", "line 2, .*from a to b is given twice"),
        ("links: [{from: a, to: b, rtt: 5}]", "unknown field 'links.0.rtt'; did you mean 'rtt_ms'"),
        ("links: [{from: a, to: b, loss: 1}]", "expected less than 1"),
        ("links: [{from: a, to: b, jitter: true}]", "jitter"),
        ("links: [{from: a, delay_ms: 5}]", "links.0.to is missing"),
    ],
)
def test_mistakes_in_a_matrix_are_located(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "m.yaml").write_text(text)
    with pytest.raises(SettingsError, match=f"m.yaml, .*{message}"):
        read_matrix(tmp_path / "m.yaml")


def test_a_trace_is_read_as_it_was_written(tmp_path: Path) -> None:
    rows = [RoundTrip(0.0, "a", "b", 10.0), RoundTrip(0.0, "b, c", "a", 11.5), RoundTrip(1.5, "a", "b", 12.125)]
    (tmp_path / "t.csv").write_text(format_trace(rows[:2]) + format_trace(rows[2:], header=False))
    assert read_trace(tmp_path / "t.csv") == {("a", "b"): [(0, 10), (1.5, 12.125)], ("b, c", "a"): [(0, 11.5)]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no rows"),
        (HEADER, "has no rows"),
        ("from,to\n", "line 1: expected the header time_s,from,to,rtt_ms"),
        (HEADER + "0,a,b,1\n0,a,b\n", "line 3: expected time_s,from,to,rtt_ms, found 3 columns"),
        (HEADER + "0,a,b,-1\n", "line 2: rtt_ms: expected a number from 0 to 60000, found '-1'"),
        (HEADER + "nan,a,b,1\n", "line 2: time_s: expected a number of at least 0, found 'nan'"),
        (HEADER + "2,a,b,1\n1,a,b,1\n", "line 3: time_s 1 is before that of the previous line"),
        (HEADER + "1,a," + "b" * 5000, "line 2: expected"),
        ("\udcff", "not a text file in UTF-8"),
    ],
)
def test_mistakes_in_a_trace_are_located(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(SettingsError, match=message):
        read_trace(tmp_path / "t.csv")
    with pytest.raises(SettingsError, match="cannot read"):
        read_trace(tmp_path / "missing.csv")


def test_the_network_of_settings_has_links_inline_or_in_a_file() -> None:
    def network(**fields: object) -> Network:
        return parse_settings({"regions": ["a", "b"], "network": fields}, "s.yaml").network

    link = {"from": "a", "to": "b", "delay_ms": 3, "loss": 0.1}
    assert network(links=[link]).links == (Link(source="a", destination="b", delay_ms=3, loss=Loss(share=0.1)),)
    assert (network(links="m.yaml").links, network(trace="t.csv").trace) == (Path("m.yaml"), Path("t.csv"))
    found = network(loss=0.1, jitter_ms={"stdev_ms": 2, "distribution": "pareto"})
    assert (found.loss, found.jitter_ms) == (Loss(share=0.1), Jitter(stdev_ms=2, distribution="pareto"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"links": [{"from": "a", "to": "b"}] * 2}, r"network.links: the link from a to b is given twice; keep one"),
        ({"links": [{"from": "a", "to": "b", "delay": 3}]}, "unknown field 'network.links.0.delay'; .* 'delay_ms'"),
        (
            {"links": [{"from": "a", "to": "b", "loss": 1.5}]},
            r"network.links.0.loss.*: expected less than 1, found 1.5",
        ),
        ({"links": 3}, r"network.links: expected a list or a path, found 3"),
        ({"loss": {"share": 0.8, "mean_burst": 2}}, "network.loss: found a mean_burst of 2 for a share of 0.8, .* 4"),
        ({"loss": "lots"}, "network.loss: expected "),
        ({"jitter_ms": -1}, "network.jitter_ms: expected a number from 0 to 60000, found -1"),
        (
            {"jitter_ms": {"stdev_ms": 1, "distribution": "uniform"}},
            "distribution: expected 'normal' or 'pareto', found",
        ),
    ],
)
def test_mistakes_in_the_network_are_located(fields: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=f"^s.yaml: .*{message}"):
        parse_settings({"regions": ["a", "b"], "network": fields}, "s.yaml")


def test_no_loss_and_no_jitter_are_the_default() -> None:
    """As earlier versions recorded them in manifests and journals."""
    assert Network.model_validate({"loss": 0.0, "jitter_ms": 0.0}) == Network()
    assert Network.model_validate({"loss": 0.1, "jitter_ms": 2}) != Network()
