"""What a paper needs of results."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
from factories.comparisons import noisy, variant
from factories.faults import fault_record, use_fault
from factories.result_factory import START, use_latency_logs, write_run, write_search, write_sweep

from benchmark.errors import UsageError
from benchmark.report import write_paper, write_paper_comparison
from benchmark.results.manifest import read_manifest
from benchmark.results.summary import parse_summary

Files = dict[str, str]


def texts(paths: list[Path]) -> Files:
    return {path.name: path.read_text() for path in paths if path.suffix != ".pdf"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_run(tmp_path_factory.mktemp("results") / "dev" / "run")
    use_latency_logs(folder, phases=[("healthy", 10), ("attack", 20)])
    use_fault(folder, fault_record(10, 20, START))
    return folder


@pytest.fixture(scope="module")
def paper(run: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_paper(run, tmp_path_factory.mktemp("paper"), "acm")


def check_latex(text: str) -> None:
    """Check that braces and environments are balanced, and that math is closed."""
    plain = re.sub(r"\\[\\{}$&#%_]", "", text)
    depth = 0
    for character in plain:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0, plain
    assert depth == 0
    assert plain.count("$") % 2 == 0
    open_ones: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{([^}]*)\}", text):
        if kind == "begin":
            open_ones.append(name)
        else:
            assert open_ones.pop() == name
    assert not open_ones


def check_references(files: Files) -> None:
    """Check that every work that is cited has an entry, and the other way round."""
    cited = {key for keys in re.findall(r"\\cite\{([^}]*)\}", files["methods.tex"]) for key in keys.split(",")}
    assert cited == set(re.findall(r"^@\w+\{([^,]+),", files["references.bib"], re.MULTILINE))
    assert cited == set(re.findall(r"(?<!\\)@([a-z]+\d*)(?=[;\]])", files["paper.md"].partition("## Results")[0]))
    check_latex(files["references.bib"])


def test_run_has_its_percentiles_latency_over_time_and_methods(run: Path, paper: list[Path]) -> None:
    files = texts(paper)
    assert {path.name for path in paper} > {
        "distribution.pdf",
        "latency.pdf",
        "regional.svg",
        "latency.csv",
    }
    for name in ("figures.tex", "tables.tex", "methods.tex"):
        check_latex(files[name])
    check_references(files)
    methods = files["methods.tex"]
    for fact in (
        "We measured etcd 3.4.23-4 with geobench 0.1.0.",
        "3 nodes and 3 clients (on the same hosts)",
        "3 AWS m7g.large with 2 CPUs and 8192 MiB, in the regions us-east-1, eu-west-1, ap-northeast-1",
        "processors EPYC 7R13, operating system Debian GNU/Linux 12 (bookworm), kernel 6.1.0",
        "The network between regions was that of AWS.",
        "71.0 to 91.0~ms",
        "60 transactions per second (open-loop; load over time: constant)",
        "warm-up of 10~s, we used a measured window of 30~s, in phases: healthy, attack.",
        "HdrHistograms with three significant digits~\\cite{hdrhistogram}",
        "10 batch means",
        "crash:us-east-1-0@10s-20s",
        "Verified to be in force: 1 of 1 fault; to be healed: 1",
        "No request failed.",
    ):
        assert fact in methods
    assert "MSER" not in methods, "it was not used"
    assert (
        "n = 1 run; 95~\\% confidence intervals within the run by batch means; measured window of 30~s."
        in files["tables.tex"]
    )
    summary = parse_summary((run / "summary.json").read_text())
    rows = {row["metric"]: row for row in csv.DictReader(files["results.csv"].splitlines())}
    assert float(rows["completed_tps"]["value"]) == summary.completed_tps
    assert summary.latency_s is not None
    assert summary.latency_s.p99 is not None
    assert float(rows["p99_s"]["value"]) == summary.latency_s.p99.estimate
    assert float(rows["p99_s"]["bucket_upper"]) == summary.latency_s.p99.upper


def test_sweep_states_n_and_the_confidence_that_was_reached(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path, {"": {}}, loads=(30, 60), repeat=3)
    files = texts(write_paper(sweep, tmp_path / "paper", "usenix"))
    assert {"curve.svg", "curve.csv", "loads.csv"} < files.keys()
    context = "n = 3 runs per load; 75~\\% confidence intervals; measured window of 30~s."
    assert context in files["figures.tex"]
    assert context in files["tables.tex"]
    assert "3 rounds of all loads, each in random order (seed 1)~\\cite{fisher1935}" in files["methods.tex"]
    assert "interpolated within the buckets of histograms sampled every 1~s" in files["methods.tex"]
    assert "HdrHistogram" not in files["methods.tex"]
    check_references(files)
    check_latex(files["tables.tex"])


def test_quantiles_beyond_the_last_bucket_are_lower_bounds(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path, {"": {}}, loads=(60, 120), repeat=1, capacity=90)
    files = texts(write_paper(sweep, tmp_path / "paper", "acm"))
    bound = "p99 at 120 tx/s is a lower bound, beyond the largest bucket of the histogram."
    assert bound in files["figures.tex"]
    assert bound in files["tables.tex"]
    assert "no confidence intervals" in files["tables.tex"]
    assert "In 1 of 2 runs the system completed less than was scheduled." in files["methods.tex"]
    assert files["methods.tex"].startswith("% Before you publish: ")


def test_comparison_names_its_sides(tmp_path: Path) -> None:
    a = variant(tmp_path, "A", noisy("a", 1.0, 4))
    b = variant(tmp_path, "B", noisy("b", 1.2, 4), commit="3.5")
    files = texts(write_paper_comparison(a, b, tmp_path / "paper", "ieee"))
    assert "A (A), B (B). n = 4 runs per load; 95~\\% confidence intervals" in files["figures.tex"]
    assert "They differ in commit" in files["methods.tex"]
    assert {"differences.svg", "differences.csv", "compared.csv", "curve.svg"} < files.keys()
    assert "Hodges-Lehmann" in files["methods.tex"]
    assert "emulated" in files["methods.tex"]
    assert "hosts emulated on one machine (namespace)" in files["methods.tex"]
    check_references(files)


def test_search_is_described(tmp_path: Path) -> None:
    files = texts(write_paper(write_search(tmp_path), tmp_path / "paper", "slides"))
    assert "search by doubling and bisection" in files["methods.tex"]
    assert "1 run did not count: 60 tx/s invalid: client \\textless{}a\\textgreater{} was late" in files["methods.tex"]
    assert {"search.svg", "steps.csv"} < files.keys()


def test_files_do_not_change_when_written_again(run: Path, paper: list[Path], tmp_path: Path) -> None:
    first = {path.name: path.read_bytes() for path in paper}
    again = {path.name: path.read_bytes() for path in write_paper(run, tmp_path, "acm")}
    assert first == again


def test_names_of_users_and_what_hosts_report_cannot_break_latex(tmp_path: Path) -> None:
    run = write_run(tmp_path / "dev" / "run")
    hostile = r"\end{document} 100% {a_b} $x$ #1 & ~^ \\"
    stored = read_manifest(run)
    hosts = {name: facts.model_copy(update={"cpu_model": hostile, "os": ""}) for name, facts in stored.hosts.items()}
    versions = {"python": "3.11"}
    packages = {"etcd_server": hostile}
    changed = stored.model_copy(update={"hosts": hosts, "versions": versions, "packages": packages})
    (run / "manifest.json").write_text(changed.to_json())
    files = texts(write_paper(run, tmp_path / "paper", "acm"))
    for name in ("figures.tex", "tables.tex", "methods.tex"):
        check_latex(files[name])
    assert r"\textbackslash{}end\{document\} 100\%" in files["methods.tex"]
    assert r"\end{document}" not in files["methods.tex"]
    assert "We measured etcd 3.4.23-4 with geobench.\n" in files["methods.tex"]
    assert "Not recorded: the version of geobench, operating systems.\n" in files["methods.tex"]


def test_run_that_does_not_count_is_rejected(tmp_path: Path) -> None:
    run = write_run(tmp_path / "dev" / "run")
    summary = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps(summary | {"status": "invalid", "reasons": ["clocks jumped"]}))
    with pytest.raises(UsageError, match="run is invalid: clocks jumped; a paper needs a valid run"):
        write_paper(run, tmp_path / "paper", "acm")
    assert not (tmp_path / "paper").exists()
