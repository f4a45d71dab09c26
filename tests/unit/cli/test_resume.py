"""Checks of `--resume` before it connects to hosts: no host of this testbed is reachable."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from factories import command_line
from factories.command_line import write_unreachable

from benchmark.cli.options import SweepOptions
from benchmark.cli.resume import dump_options, load_options
from benchmark.plan.request import RunOptions
from benchmark.results.find import find_search
from benchmark.results.sweep import SweepFolder, plan_runs

FILES = ("--inventory", "inventory.json", "--settings", "settings.yaml")
SEARCH = ("search", "--to", "400", "--duration", "90s", "--limit", "p99=500ms")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Create the files of such a testbed in the working directory."""
    monkeypatch.chdir(tmp_path)
    assert write_unreachable(tmp_path) == FILES
    return tmp_path


def call(*arguments: str) -> int:
    return command_line.call(*arguments, *FILES)


def search_document(project: Path) -> dict[str, Any]:
    (path,) = project.glob("results/*/*/search.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_search_ended_by_unreachable_hosts_can_be_resumed(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*SEARCH) == 3
    found = search_document(project)
    assert f"`geobench search --resume {found['search_id']}` continues from here" in capsys.readouterr().err
    assert (found["options"]["duration"], found["options"]["maximum"], found["steps"]) == ("90s", 400, [])
    assert found["limits"] == {"p99_s": 0.5, "achieved": 0.98}
    assert call("search", "--resume", found["search_id"][:16]) == 3
    assert "step 1: 100 tx/s (first load)" in capsys.readouterr().err
    assert search_document(project) == found


@pytest.mark.parametrize("retries", [0, 1])
def test_a_search_retries_as_often_as_requested(retries: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*SEARCH, "--retries", str(retries)) == 3
    assert f"100 tx/s: failed {retries + 1} times" in capsys.readouterr().err
    assert call("search", "--resume", "latest", "--retries", "0") == 3, "--retries may change"
    assert "100 tx/s: failed 1 times" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--limit", "p99=2s"),
            "p99=0.5s achieved=0.98, now p99=2s achieved=0.98; resume it without --limit",
        ),
        (("--limit", "achieved=90%"), "with other limits"),
        (("--to", "800"), "was begun with other options: --to changed; resume it without them"),
        (("--from", "50", "--duration", "60s"), "--from, --duration changed"),
        (("--commit", "main"), "--commit changed"),
    ],
)
def test_a_search_resumes_only_with_its_own_options(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*SEARCH) == 3
    assert call("search", "--resume", "latest", *words) == 2
    assert message in capsys.readouterr().err


def test_resuming_with_the_same_options_is_allowed(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*SEARCH) == 3
    same = ("--to", "400", "--duration", "1.5m", "--limit", "p99=0.5s", "--limit", "achieved=0.98")
    assert call("search", "--resume", "latest", *same) == 3, "it gets as far as the hosts, which are down"


def test_a_search_with_faults_that_an_earlier_version_began_can_be_resumed(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*SEARCH, "--faults", "crash:one@5s-9s", "--no-verify") == 3
    (path,) = project.glob("results/*/*/search.json")
    found = search_document(project)
    del found["request"]["phases"], found["request"]["slo_quantile"], found["request"]["faults"][0]["phase"]
    del found["request"]["parameters"]["settings"]["recovery"]
    path.write_text(json.dumps(found))
    assert call("search", "--resume", "latest") == 3, capsys.readouterr().err
    found["request"]["faults"][0]["end"] = "8s"
    path.write_text(json.dumps(found))
    assert call("search", "--resume", "latest") == 2
    assert "faults" in capsys.readouterr().err


def test_a_search_does_not_mix_two_systems_of_the_same_name(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "name: s\nnode: {command: run 1, prepare: 'true'}\nload: {url: 'http://x'}\n"
    Path("s.yaml").write_text(text)
    assert call(*SEARCH, "--protocol", "s.yaml") == 3
    Path("s.yaml").write_text(f"# the same\n{text}")
    assert call("search", "--resume", "latest") == 3
    Path("s.yaml").write_text(text.replace("run 1", "run 2").replace("http://x", "http://y"))
    assert call("search", "--resume", "latest") == 2
    assert "other settings: definition.load.url, definition.node.command changed" in capsys.readouterr().err


def test_a_search_does_not_mix_two_versions_of_this_program(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*SEARCH) == 3
    monkeypatch.setattr("benchmark.plan.request.full_version", lambda: "9.9 (commit abc)")
    assert call("search", "--resume", "latest") == 2
    assert "was begun with other settings: version of geobench changed" in capsys.readouterr().err
    path = next(project.rglob("search.json"))
    document = json.loads(path.read_text())
    for name in ("geobench", "definition"):
        del document["request"][name]
    path.write_text(json.dumps(document))
    assert call("search", "--resume", "latest") == 3, "searches of earlier versions can be resumed"


def test_other_settings_and_other_testbeds_are_rejected(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*SEARCH) == 3
    settings = Path("settings.yaml").read_text()
    Path("settings.yaml").write_text(f"{settings}node_parameters: {{heartbeat_ms: 77}}\n")
    assert call("search", "--resume", "latest") == 2
    assert (
        "was begun with other settings: node_parameters.heartbeat_ms, settings.node_parameters changed"
        in capsys.readouterr().err
    )
    Path("settings.yaml").write_text(settings)
    document = json.loads(Path("inventory.json").read_text())
    Path("inventory.json").write_text(json.dumps(document | {"testbed_id": "other"}))
    assert call("search", "--resume", "latest") == 2
    assert "belongs to testbed t, this is other" in capsys.readouterr().err


def test_resuming_a_finished_search_prints_it_again(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*SEARCH) == 3
    folder = find_search(project / "results", "latest")
    while (step := folder.journal.next_action()).requested_tps is not None:
        taken = folder.open_step(step.requested_tps)
        taken.met, taken.text = step.requested_tps <= 150, "as tested"
        folder.save()
    capsys.readouterr()
    assert call("search", "--resume", "latest", "--json") == 0
    out, err = capsys.readouterr()
    assert (json.loads(out)["answer_tps"], json.loads(out)["confirmed"]) == (150, True)
    assert f"nothing to do: search {folder.journal.search_id} has ended" in err


@pytest.mark.parametrize(
    ("words", "other"),
    [
        (("run", "--loads", "20", "40"), "compare"),
        (("compare", "--a", "committee=1", "--b", "committee=2", "--loads", "20"), "run"),
    ],
)
def test_a_sweep_that_gives_up_prints_the_command_that_resumes_it(
    words: tuple[str, ...], other: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*words, "--retries", "0") == 3
    (folder,) = project.glob("results/*/*/sweep.json")
    again = (words[0], "--resume", folder.parent.name)
    assert f"failed 1 times; `geobench {' '.join(again)}` continues from here" in capsys.readouterr().err
    assert call(*again, "--retries", "0") == 3, "it gets as far as the hosts, which are down"
    capsys.readouterr()
    assert call(other, *again[1:]) == 2
    assert f"was begun by `{words[0]}`; resume it with `{words[0]} --resume`" in capsys.readouterr().err
    assert [len(planned.attempts) for planned in SweepFolder.read(folder.parent).journal.planned_runs] == [2, 0]


def test_latest_is_the_latest_of_the_kind_that_the_command_resumes(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (("run",), ("compare", "--a", "committee=1", "--b", "committee=2")):
        assert call(*words, "--loads", "20", "40", "--retries", "0") == 3
    kinds = {path.parent.name.split("-")[1]: path.parent.name for path in project.glob("results/*/*/sweep.json")}
    capsys.readouterr()
    for command, kind in (("run", "sweep"), ("compare", "compare")):
        assert call(command, "--resume", "latest", "--retries", "0") == 3, "it gets as far as the hosts, which are down"
        assert f"geobench {command} --resume {kinds[kind]}" in capsys.readouterr().err


def test_a_seed_determines_the_random_order(project: Path) -> None:
    loads = tuple(range(10, 20))
    words = ("run", "--loads", *map(str, loads), "--repeat", "2", "--retries", "0")
    for order, seed in ((("--seed", "7"), 7), (("--seed", "7", "--shuffle"), 7), ((), None)):
        assert call(*words, *order) == 3
        journal = SweepFolder.read(
            max(project.glob("results/*/*-sweep-*"), key=lambda path: path.stat().st_ctime_ns)
        ).journal
        expected = [(planned.requested_tps, planned.repeat) for planned in plan_runs(("",), loads, 2, seed)]
        order = [(planned.requested_tps, planned.repeat) for planned in journal.planned_runs]
        assert (order, journal.seed) == (expected, seed)


def test_a_sweep_resumes_only_with_its_own_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("run", "--loads", "20", "40", "--repeat", "2") == 3
    assert call("run", "--resume", "latest", "--loads", "20", "--repeat", "2") == 2
    assert "was begun with other options: --loads changed" in capsys.readouterr().err
    assert call("run", "--resume", "latest", "--loads", "20", "40", "--retries", "0") == 3


def test_options_survive_a_journal() -> None:
    run = RunOptions(duration=timedelta(seconds=90), binaries=Path("built"), committee=4)
    sweep = SweepOptions(loads=(10, 20), repeat=3)
    stored = json.loads(json.dumps(dump_options(sweep, run)))
    assert (stored["duration"], stored["loads"], stored["binaries"]) == ("90s", [10, 20], "built")
    assert (load_options(RunOptions, stored), load_options(SweepOptions, stored)) == (run, sweep)
