"""Tables of faults in the report of a run."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from factories.faults import fault_record, use_fault
from factories.page import Page
from factories.result_factory import START, use_latency_logs, write_run
from matplotlib.figure import Figure

from benchmark.report.faults import impact_table, proof_table, region_table
from benchmark.report.run_data import read_record
from benchmark.report.tables import Table, phase_figures
from benchmark.report.time_charts import time_charts
from benchmark.report.writer import write_report


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose system stops for 1.3 s in a crash, and one fault that was never injected."""
    run = write_run(tmp_path_factory.mktemp("results") / "run")
    use_latency_logs(run, load=300, stall=(10.05, 1.3), phases=[("ok", 10.0), ("attack", 4.0), ("ok", 16.0)])
    use_fault(run, fault_record(10.0, 14.0, START))
    record = read_record(run)
    never = fault_record(20.0, None, START, injected=None, in_force=None, problem="<b>no such process</b>")
    manifest = record.manifest.model_copy(update={"faults": (*record.manifest.faults, never)})
    (run / "manifest.json").write_text(manifest.to_json())
    return run


def row_of(table: Table | None, at: int = 0) -> dict[str, str]:
    assert table is not None
    cells = [f"{cell.text} {cell.detail}".strip().replace("\N{NO-BREAK SPACE}", " ") for cell in table.rows[at]]
    return dict(zip(table.columns, cells, strict=True))


def test_a_fault_has_its_figures_in_one_row(folder: Path) -> None:
    table = impact_table(read_record(folder))
    assert table is not None
    assert len(table.rows) == 1, "what was not injected did nothing"
    row = row_of(table)
    assert row["fault"] == "crash:us-east-1-0 10.0\N{EN DASH}14.0 s"
    assert row["outage"] == "1.3 s"
    assert row["recovery"] == "0 s"
    assert row["catch-up"] == "\N{EN DASH}"
    assert row["late, lost"].endswith(" late 0 lost")
    assert row["first error"] == "none"
    assert row["before"].startswith(("299", "300", "301"))
    (data,) = csv.DictReader(io.StringIO(table.csv()))
    assert float(data["outage_s"]) == pytest.approx(1.3, abs=0.1)
    assert float(data["before_completed_tps"]) == pytest.approx(300, rel=0.02)
    assert data["first_error_s"] == ""


def test_what_clients_of_each_region_saw_has_a_row_each(folder: Path) -> None:
    table = region_table(read_record(folder))
    assert table is not None
    assert [row[1].text for row in table.rows] == ["ap-northeast-1", "eu-west-1", "us-east-1"]
    assert row_of(table)["outage"] == "1.3 s"
    assert row_of(table)["lost"] == "0"
    data = list(csv.DictReader(io.StringIO(table.csv())))
    assert [float(each["outage_s"]) for each in data] == pytest.approx([1.3] * 3, abs=0.15)


def test_phases_have_a_row_each_and_are_marked_in_the_charts(folder: Path) -> None:
    record = read_record(folder)
    table = phase_figures(record)
    assert table is not None
    names = [row[0].text for row in table.rows]
    assert names == ["ok, 0\N{EN DASH}10 s", "attack, 10\N{EN DASH}14 s", "ok 2, 14\N{EN DASH}30 s"]
    assert (table.rows[0][8].text, table.rows[1][8].text) == ("292\N{NO-BREAK SPACE}ms", "1.52\N{NO-BREAK SPACE}s")
    figure = Figure()
    time_charts(record)[0].draw(figure)
    shown = [text.get_text() for text in figure.axes[0].texts]
    assert [name for name in shown if name in ("ok", "attack", "ok 2")] == ["ok", "attack", "ok 2"]
    assert "By phase of the measured window" in Page(write_report(folder)).source


def test_every_scheduled_fault_has_its_proof_or_problem(folder: Path) -> None:
    proofs = proof_table(read_record(folder))
    row = row_of(proofs)
    assert row["in force"] == "10.10 s process group 4711 has ended"
    assert row["healed"] == "14.30 s process 4800 is ready"
    assert (row["processes, hosts"], row["problem"]) == ("node-0 us-east-1-0", "none")
    assert row_of(proofs, 1)["injected"] == "\N{EN DASH}"
    assert "&lt;b&gt;no such process" in Page(write_report(folder)).source


def test_unknown_figures_have_their_reason(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    use_fault(run, fault_record(10.0, 14.0, START))
    row = row_of(impact_table(read_record(run)))
    assert row["fault"].endswith("s; only latency logs of all clients show what a fault did")
    assert (row["outage"], row["late, lost"], row["first error"]) == ("\N{EN DASH}",) * 3


def test_a_run_without_faults_has_no_tables(tmp_path: Path) -> None:
    record = read_record(write_run(tmp_path / "run"))
    assert impact_table(record) is None
    assert proof_table(record) is None
