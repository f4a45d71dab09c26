"""Chart and table of the latency that round trips explain, by region of the clients."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from benchmark.report import formatting
from benchmark.report.breakdown import bar_rows, draw_bar, rows_height
from benchmark.report.chart import Chart
from benchmark.report.run_data import Record
from benchmark.report.tables import Cell, Table
from benchmark.results.predicted_latency import PredictedLatency, over_all, predict_by_region

_MOST_ROWS = 40
_PARTS = ("to the leader and back", "leader to its majority and back", "rest")
_COLUMNS = ("region", "load_tps", "propagation_s", "quorum_s", "predicted_s", "measured_s", "rest_s")
Predicted = Mapping[str, PredictedLatency]
"""By region, and all clients."""


def explained_chart(record: Record) -> Chart | None:
    """Return the parts of the mean latency as stacked bars; None if the round trips predict nothing."""
    found = _predicted(record)
    if not found or any(each.measured_s is None for each in found.values()):
        return None
    shown = found if len(found) <= _MOST_ROWS else {"all": found["all"]}

    def draw(figure: Figure) -> None:
        axes = bar_rows(figure, list(shown))
        for at, each in enumerate(shown.values()):
            left = 0.0
            for index, width in enumerate((each.propagation_s, each.quorum_s, max(each.rest_s or 0.0, 0.0))):
                draw_bar(axes, at, left * 1000, width * 1000, index, _PARTS[index] if not at else None)
                left += width
            axes.annotate(
                formatting.duration(each.measured_s), (left * 1000, at), (3, 0),
                textcoords="offset points", va="center", fontsize=7.5,
            )  # fmt: skip
        longest = max(max(each.predicted_s, each.measured_s or 0.0) for each in shown.values())
        axes.set_xlim(0, 1.12 * longest * 1000)
        axes.set_xlabel("mean latency (ms)")
        figure.legend(loc="outside lower right", ncols=3)

    total = found["all"]
    return Chart(
        name="explained",
        title="Mean latency explained by round trips",
        caption="By region of the clients, as measured: the round trip to the leader, that from the leader to the node "
        "which completes its majority, and the rest, which is work, disks and waiting. The round trips are the "
        "shortest measured for this run.",
        alt=f"Over all clients, {formatting.duration(total.propagation_s)} to the leader and "
        f"{formatting.duration(total.quorum_s)} to its majority predict {formatting.duration(total.predicted_s)}; "
        f"measured were {formatting.duration(total.measured_s)}.",
        columns=_COLUMNS,
        rows=_data(found),
        draw=draw,
        height=rows_height(len(shown)),
    )


def explained_table(record: Record) -> Table | None:
    """Return predicted and measured means by region; None if the round trips predict nothing."""
    found = _predicted(record)
    columns = ("clients in", "to leader", "quorum", "predicted", "measured mean", "rest", "measured / predicted")
    rows = [
        [
            Cell(region),
            *(Cell(formatting.duration(part)) for part in (each.propagation_s, each.quorum_s, each.predicted_s)),
            Cell(formatting.duration(each.measured_s)),
            Cell(formatting.duration(each.rest_s)),
            Cell(
                f"{each.measured_s / each.predicted_s:.3f}" if each.measured_s and each.predicted_s else formatting.NONE
            ),
        ]
        for region, each in found.items()
    ]
    caption = f"Latency predicted from round trips, led by {record.summary.leader}, and as measured"
    return Table("predicted", caption, columns, rows, (_COLUMNS, _data(found))) if rows else None


def _predicted(record: Record) -> Predicted:
    found = predict_by_region(record.manifest, record.summary)
    return {**found, "all": over_all(found, record.summary)} if found else {}


def _ratio(found: PredictedLatency) -> str:
    return f"{found.measured_s / found.predicted_s:.3f}" if found.measured_s and found.predicted_s else formatting.NONE


def _data(found: Predicted) -> list[list[object]]:
    return [
        [region, each.load_tps, each.propagation_s, each.quorum_s, each.predicted_s, each.measured_s, each.rest_s]
        for region, each in found.items()
    ]
