"""Writing reports, and that only this loads matplotlib."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from factories.result_factory import manifest, write_run, write_search, write_sweep

from benchmark.errors import UsageError
from benchmark.report import REPORT, write_plots, write_report

LOADED = "print(sorted({name.split('.')[0] for name in sys.modules} & {'matplotlib', 'jinja2'}))"


@pytest.mark.parametrize("module", ["benchmark.report", "benchmark.report.formatting", "benchmark.cli"])
def test_importing_the_package_does_not_load_matplotlib(module: str) -> None:
    loads_no_matplotlib(f"import sys, {module}; {LOADED}")


@pytest.mark.parametrize("arguments", [["--help"], ["results"], ["run", "--help"], ["report", "--help"]])
def test_commands_without_plots_do_not_load_matplotlib(tmp_path: Path, arguments: list[str]) -> None:
    if arguments == ["results"]:
        write_run(tmp_path / "dev" / "run")
        arguments = ["results", "--results-dir", str(tmp_path)]
    call = f"try: benchmark.cli.main({arguments!r})\nexcept SystemExit as done: assert not done.code"
    loads_no_matplotlib(f"import sys, benchmark.cli\n{call}\n{LOADED}")


def loads_no_matplotlib(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_kind_of_folder_decides_which_report_is_written(tmp_path: Path) -> None:
    folders = {
        "Benchmark run": write_run(tmp_path / "run"),
        "Sweep of 1 run": write_sweep(tmp_path, {"": {}}, loads=(30,), repeat=1),
        "Search for the highest load": write_search(tmp_path, steps=1),
    }
    for kind, folder in folders.items():
        path = write_report(folder)
        assert path == folder / REPORT
        assert kind in path.read_text()


def test_plots_go_to_a_new_folder(tmp_path: Path) -> None:
    into = tmp_path / "a" / "b"
    written = write_plots(write_search(tmp_path, steps=1), into)
    assert {path.name for path in written} == {path.name for path in into.iterdir()}
    assert {path.name for path in written} == {"search.svg", "search.pdf", "search.csv", "steps.csv"}


def test_folder_without_a_run_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected the folder of a run"):
        write_report(tmp_path)
    (tmp_path / "manifest.json").write_text(manifest().to_json())
    with pytest.raises(UsageError, match="has no report: it was killed before it had one"):
        write_report(tmp_path)


def test_saved_plots_embed_their_fonts(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    written = write_plots(run, tmp_path / "plots")
    kinds = {path.suffix: path for path in written if path.stem == "latency"}
    assert set(kinds) == {".svg", ".pdf", ".csv"}
    pdf = kinds[".pdf"].read_bytes()
    assert pdf.startswith(b"%PDF")
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf, "publishers refuse bitmap fonts"
    assert "<text" not in kinds[".svg"].read_text(), "letters are outlines"
    assert {path.name for path in written} >= {"clients.csv", "host_usage.csv", "map.pdf", "distribution.svg"}
    before = kinds[".svg"].read_bytes(), pdf
    write_plots(run, tmp_path / "plots")
    assert (kinds[".svg"].read_bytes(), kinds[".pdf"].read_bytes()) == before
