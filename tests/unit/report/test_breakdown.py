"""Charts and table of the latency breakdown: what is stacked adds up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from factories.result_factory import PARTS, STAGES_S, breakdown, store_breakdown, write_run
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from benchmark.measure.breakdown import MeasuredPart, PartStats
from benchmark.report.breakdown import breakdown_charts, breakdown_table
from benchmark.report.chart import Chart
from benchmark.report.run_data import Record, read_record

FEW = PartStats(count=100.0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("results") / "run")


def record(run: Path, parts: Sequence[MeasuredPart]) -> Record:
    store_breakdown(run, parts)
    return read_record(run)


def charts(run: Path, parts: Sequence[MeasuredPart]) -> dict[str, Chart]:
    return {chart.name: chart for chart in breakdown_charts(record(run, parts))}


def test_stages_are_stacked_and_add_up(run: Path) -> None:
    stages = charts(run, breakdown())["breakdown_stages"]
    found = {(region, name): mean for region, name, mean in stages.rows if isinstance(mean, float)}
    assert found["eu-west-1", "order"] == pytest.approx(2 * STAGES_S["order"], rel=0.05)
    figure = Figure()
    stages.draw(figure)
    (axes,) = figure.axes
    for region, label in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True):
        bars = [bar for bar in axes.patches if abs(bar.get_y() + bar.get_height() / 2 - region) < 0.01]
        ends = [bar.get_x() + bar.get_width() for bar in bars]
        assert [bar.get_x() for bar in bars] == pytest.approx([0.0, *ends[:-1]])
        whole = sum(mean for (name, _), mean in found.items() if name == label.get_text())
        assert ends[-1] == pytest.approx(whole * 1000)
    assert "so the means add up: to 130" in stages.caption
    assert "The rest was spent elsewhere." in stages.caption


@pytest.mark.parametrize(
    ("stages", "reason"),
    [
        ({"queue": 0.1, "order": 0.2}, "more than the mean latency of 150\N{NO-BREAK SPACE}ms, so they overlap"),
        ({"order": 0.1}, "there are fewer than two stages"),
    ],
)
def test_stages_that_do_not_add_up_are_not_stacked(run: Path, stages: dict[str, float], reason: str) -> None:
    found = charts(run, breakdown(stages))
    assert "breakdown_stages" not in found
    assert reason in found["breakdown"].caption
    assert {row[1] for row in found["breakdown"].rows} >= {"stages", "fsync"}, "they are drawn side by side"


def test_stages_of_other_transactions_are_not_stacked(run: Path) -> None:
    stages, *others = breakdown()
    order = stages.values["order"]
    changed = stages.model_copy(update={"values": stages.values | {"order": order.model_copy(update={"count": 90.0})}})
    found = charts(run, [changed, *others])
    assert "order 90 times, so they are not of the same transactions" in found["breakdown"].caption
    lost = order.model_copy(update={"latency_s": None})
    changed = stages.model_copy(update={"values": stages.values | {"order": lost}})
    assert "the mean of a stage is unknown" in charts(run, [changed, *others])["breakdown"].caption


def test_other_parts_stand_side_by_side_and_shares_are_of_events(run: Path) -> None:
    found = charts(run, breakdown())
    assert list(found) == ["breakdown_stages", "breakdown", "breakdown_shares_3"]
    assert "so they do not add up" in found["breakdown"].caption
    assert {row[2] for row in found["breakdown"].rows if row[:2] == ("us-east-1", "round trip")} == {
        "eu-west-1-0",
        "ap-northeast-1-0",
    }
    shares = found["breakdown_shares_3"]
    assert "not shares of the latency" in shares.caption
    assert "direct-commit 82\N{NO-BREAK SPACE}%" in shares.alt


def test_many_regions_and_values_stay_readable(run: Path) -> None:
    parts = breakdown()
    fsync, commits = parts[1], parts[3]
    regions = {f"region-{index}": fsync.values for index in range(50)}
    leaders = {f"host-{index}": FEW for index in range(20)}
    found = charts(
        run,
        [
            fsync.model_copy(update={"by_region": regions}),
            commits.model_copy(update={"values": leaders, "by_region": {"a": leaders}}),
        ],
    )
    assert {row[0] for row in found["breakdown"].rows} == {"all"}
    figure = Figure(layout="constrained")
    found["breakdown_shares_1"].draw(figure)
    figure.draw_without_rendering()
    (legend,), (axes,) = figure.legends, figure.axes
    assert [text.get_text() for text in legend.get_texts()][-1] == "15 others"
    assert not Bbox.intersection(legend.get_window_extent(), axes.get_window_extent())
    assert axes.patches[-1].get_x() + axes.patches[-1].get_width() == pytest.approx(100)


def test_the_table_has_every_number_and_says_what_is_unknown(run: Path) -> None:
    table = breakdown_table(record(run, breakdown()))
    assert table
    rows = {(row[0].text, row[1].text, row[2].text): row for row in table.rows}
    fsync = rows["fsync", "all", "\N{EN DASH}"]
    assert (fsync[0].detail, fsync[3].text) == (PARTS[1].meaning, "1800")
    assert fsync[6].detail == "977 µs\N{EN DASH}1.95 ms".replace(" ", "\N{NO-BREAK SPACE}")
    locks = rows["locks", "unknown", "\N{EN DASH}"]
    assert locks[1].detail == "no node exports `locks_s` as a histogram"
    assert [cell.text for cell in rows["commit type", "us-east-1", "direct-skip"][4:]] == ["\N{EN DASH}"] * 3
    assert "fsync,us-east-1,," in table.csv()
    assert breakdown_table(record(run, [])) is None
    assert breakdown_charts(record(run, [])) == []
