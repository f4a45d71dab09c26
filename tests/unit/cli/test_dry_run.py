"""`--dry-run`: what a command would do, without a testbed that could do it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from factories.command_line import call, fake_pulumi, write
from factories.hosts import inventory
from factories.result_factory import TESTBED, manifest

from benchmark.results.run_folder import MANIFEST

SETTINGS = f"testbed_id: {TESTBED}\nregions: [a, b]\nwarm_up: 5s\nbenchmark_duration: 60s\n"
Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project as the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def options(project: Path, settings: str = SETTINGS, hourly: float | None = None) -> tuple[str, ...]:
    """Write a testbed whose hosts have no address; return the options that select it."""
    given = write(project, list(inventory(a=2, b=2).hosts), settings)
    text = json.loads((project / "inventory.json").read_text()) | {"hourly_cost_usd": hourly}
    (project / "inventory.json").write_text(json.dumps(text))
    return given


def document(capsys: Captured, *words: str) -> dict[str, object]:
    assert call(*words, "--dry-run", "--json") == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_placement_ports_and_duration_of_a_sweep(project: Path, capsys: Captured) -> None:
    found = document(capsys, "run", "--loads", "100,200", "--repeat", "3", *options(project, hourly=36.0))
    side = found["sides"][""]  # type: ignore[index]
    assert [(each["name"], each["host"], each["ports"]) for each in side["processes"]][:2] == [
        ("node-0", "a-1", [2380, 2379]), ("node-1", "b-0", [2380, 2379])
    ]  # fmt: skip
    assert (side["requested_tps"], side["scheduled_tps"]) == ([100, 200], [100, 200])
    assert (found["runs"], found["at_most"], found["overhead_from"]) == (6, False, 0)
    assert found["duration_s"] == 6 * (5 + 60 + found["overhead_s"])  # type: ignore[operator]
    assert found["cost_usd"] == pytest.approx(found["duration_s"] / 100)  # type: ignore[operator]


def test_nothing_is_written(project: Path, capsys: Captured) -> None:
    given = options(project)
    before = sorted(project.rglob("*"))
    document(capsys, "run", "--loads", "100", *given)
    assert sorted(project.rglob("*")) == before


def test_overhead_is_that_of_stored_runs(project: Path, capsys: Captured) -> None:
    for number, overhead in enumerate((2.0, 4.0)):
        folder = project / "results" / TESTBED / f"2027010{number}T000000Z-etcd"
        folder.mkdir(parents=True)
        stored = manifest(timings_s={"overhead": overhead, "system_start": 1.0})
        (folder / MANIFEST).write_text(stored.to_json())
    found = document(capsys, "run", "--loads", "100", *options(project))
    assert (found["overhead_s"], found["overhead_from"], found["duration_s"]) == (4.0, 2, 69.0)


def test_faults_with_their_nodes(project: Path, capsys: Captured) -> None:
    faults = ("crash:leader@1s-5s", "pause:node-1@10s-20s", "pause:one@30s-31s", "pause:one,seed=7@40s-41s")
    found = document(capsys, "run", "--loads", "100", *options(project), "--faults", *faults)
    nodes = {each["fault"]: (each["nodes"], each["chosen"]) for each in found["sides"][""]["faults"]}  # type: ignore[index]
    assert nodes["crash:leader@1s-5s"] == (None, "when it is injected")
    assert nodes["pause:node-1@10s-20s"] == (["node-1"], "before the run")
    assert nodes["pause:one@30s-31s"] == (None, "at random in each run")
    assert len(nodes["pause:one@40s-41s"][0]) == 1


def test_phases_of_the_measured_window_are_listed(project: Path, capsys: Captured) -> None:
    words = (
        "run",
        "--loads",
        "100",
        "--dry-run",
        *options(project),
        "--phases",
        "before 20s",
        "--phases",
        "attack 40s",
    )
    assert call(*words) == 0
    assert "each run: 5 s warm-up, 60 s measured (before 20s, attack 40s)" in capsys.readouterr().out


def test_a_search_has_at_most_its_runs(project: Path, capsys: Captured) -> None:
    found = document(capsys, "search", "--max-runs", "4", *options(project))
    assert (found["runs"], found["at_most"]) == (4, True)


def test_both_sides_of_a_comparison_are_planned(project: Path, capsys: Captured) -> None:
    words = ("compare", "--a", "committee=1", "--b", "committee=3", "--loads", "100", "--repeat", "2")
    found = document(capsys, *words, *options(project))
    counts = {
        name: sum(each["name"].startswith("node-") for each in side["processes"])
        for name, side in found["sides"].items()  # type: ignore[attr-defined]
    }
    assert (counts, found["runs"]) == ({"a": 1, "b": 3}, 4)


def test_text_fits_80_columns_and_states_what_is_estimated(project: Path, capsys: Captured) -> None:
    assert call("run", "--loads", "100", "--dry-run", *options(project)) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert [line.split(maxsplit=1)[1].strip() for line in lines if line.startswith("a-1 ")] == [
        "node-0 (2380 2379), client-0 (18600)"
    ]
    assert any(line.startswith("estimated duration: 75 s: 1 run, each with its load and 10 s of") for line in lines)
    assert "estimated cost: unknown; no price is known for some hosts" in lines
    assert lines[-1].endswith("nothing was started")


def test_hosts_of_a_stack_that_is_not_up_are_those_of_its_settings(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    (project / "Pulumi.yaml").write_text("name: geobench\nruntime: python\n")
    (project / "s.yaml").write_text("regions: [us-east-1]\ninstances: 3\n")
    fake_pulumi(project, monkeypatch, {"output": "{}", "show-name": "dev"})
    assert call("run", "--loads", "100", "--dry-run", "--settings", "s.yaml") == 0
    out = capsys.readouterr().out
    assert out.startswith("testbed testbed, which is not up: these hosts are what its settings describe\n")
    assert "us-east-1-2" in out
    assert "estimated cost: $0 (no cloud hosts)" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run",), "no load given"),
        (("run", "--loads", "5", "--resume", "latest"), "--dry-run and --resume exclude each other"),
        (("run", "--loads", "5", "--committee", "99"), "need 100 hosts"),
        (("run", "--loads", "5", "--faults", "crash:one@999s"), "but the measured window lasts 1m"),
        (("compare", "one", "other"), "--dry-run is about new runs"),
    ],
)
def test_what_is_not_possible_is_an_error(
    project: Path, capsys: Captured, words: tuple[str, ...], message: str
) -> None:
    assert call(*words, "--dry-run", *options(project)) == 2
    assert message in capsys.readouterr().err
