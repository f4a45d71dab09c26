"""Finding the results folder, and preparing output files."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from factories.command_line import call, fake_pulumi, write
from factories.hosts import inventory, of_provider
from factories.result_factory import write_run

from benchmark.cli.target import Target, mismatches, prepare_output, results_dir
from benchmark.errors import UsageError
from benchmark.inventory import Provider
from benchmark.settings import Settings
from benchmark.testbed.strays import Strays

RUNS = ("20270101T000000Z-etcd", "20270102T000000Z-etcd")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a separate backend and no stack, as the working directory; `elsewhere` is beside it."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "Pulumi.yaml").write_text("name: geobench\nruntime: python\n")
    (folder / "s.yaml").write_text("regions: [a]\nresults_dir: ../elsewhere\n")
    for name, value in (("BACKEND_URL", f"file://{tmp_path}"), ("HOME", str(tmp_path / "home"))):
        monkeypatch.setenv(f"PULUMI_{name}", value)
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "a passphrase")
    monkeypatch.setenv("PULUMI_SKIP_UPDATE_CHECK", "true")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def stack(project: Path) -> Path:
    """The same with a selected stack that is not up."""
    pulumi = shutil.which("pulumi")
    assert pulumi, "pulumi is not on PATH; `make setup && . ./env.sh` provides it"
    for command in (("stack", "init", "t"), ("config", "set", "settings", "s.yaml")):
        subprocess.run([pulumi, "--non-interactive", *command], check=True, capture_output=True, timeout=60)
    return project


def test_a_results_folder_that_is_given_replaces_that_of_the_settings(tmp_path: Path, project: Path) -> None:
    options = write(project, list(inventory(a=1).hosts), "testbed_id: t\nregions: [a]\nresults_dir: elsewhere\n")
    files = Path(options[1]), Path(options[3])
    assert Target(None, *files).results_dir == project / "elsewhere"
    assert Target(None, *files, tmp_path / "given").results_dir == tmp_path / "given"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"regions": ["a", "b"]}, []),
        ({"regions": ["local:a", "b"], "instances": 9}, []),
        (
            {"regions": ["a", "b", "mars-1"]},
            ["the testbed has no hosts in mars-1; `pulumi up` with these settings changes it"],
        ),
        (
            {"regions": ["a"]},
            ["the settings do not have the testbed's b; `pulumi up` with these settings changes it"],
        ),
        ({"testbed_id": "x", "regions": ["a", "b"]}, ["the settings are of testbed x, the hosts of t"]),
    ],
)
def test_settings_that_differ_from_the_testbed_are_reported(settings: dict[str, object], expected: list[str]) -> None:
    found = Settings.model_validate({"testbed_id": "t"} | settings)
    assert mismatches(found, inventory(a=2, b=1)) == expected


def test_without_a_stack_results_are_in_the_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert results_dir() == project / "results"
    monkeypatch.setenv("PATH", "")
    assert results_dir() == project / "results", "works without Pulumi"


def test_results_dir_is_read_from_the_selected_stack_even_if_it_is_not_up(stack: Path) -> None:
    assert results_dir() == results_dir("t") == results_dir("organization/geobench/t") == stack / "../elsewhere"
    (stack / "other.yaml").write_text("regions: [a]\nresults_dir: /data/r\n")
    assert results_dir(settings=Path("other.yaml")) == Path("/data/r")
    assert results_dir(inventory=Path("inventory.json")) == stack / "results", "its runs do not know of a stack"


def test_every_command_that_reads_results_finds_them(stack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [write_run(stack / "../elsewhere/t" / name, seed=seed) for seed, name in enumerate(RUNS)]
    (folders[1].parent / "latest").symlink_to(RUNS[1])
    (folders[1] / "logs/a-0").mkdir(parents=True)
    (folders[1] / "logs/a-0/node-0.log.gz").write_bytes(gzip.compress(b"a line\n"))
    assert call("results", "--json") == 0
    assert [each["run_id"] for each in json.loads(capsys.readouterr().out)] == list(RUNS)
    assert call("report") == 0
    assert capsys.readouterr().out == f"{folders[1].resolve() / 'report.html'}\n"
    assert call("compare", *RUNS) == 0
    assert call("logs", "latest") == 0
    assert "a line" in capsys.readouterr().out
    assert call("prometheus", "latest") == 2
    assert f"{RUNS[1]} has no snapshot" in capsys.readouterr().err
    assert call("logs", "latest", "--results-dir", "nowhere") == 2
    assert "no runs in nowhere yet" in capsys.readouterr().err


def test_an_unreadable_configuration_is_a_warning(stack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (stack / "s.yaml").write_text("regions: [a]\nrepository: {url: 'https://${NO_SUCH_TOKEN}@x/y'}\n")
    assert results_dir() == stack / "results"
    err = capsys.readouterr().err
    assert f"warning: looking for results in {stack / 'results'}: " in err
    assert "${NO_SUCH_TOKEN} is not set" in err


def test_folder_of_an_output_file_is_created(tmp_path: Path) -> None:
    assert prepare_output(tmp_path / "a/b/x.svg") == tmp_path / "a/b/x.svg"
    assert (tmp_path / "a/b").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"cannot write .*file/x\.svg: File exists"):
        prepare_output(tmp_path / "file/x.svg")
    with pytest.raises(UsageError, match=r"cannot write /proc/self/x\.svg: no permission to write to its folder"):
        prepare_output(Path("/proc/self/x.svg"))


def test_a_stack_that_is_not_up_is_named(stack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("status") == 2
    assert "error: stack t has no hosts; create them with `pulumi up`" in capsys.readouterr().err


FOUND = 'print(\'[{"id": "4f0f", "text": "vultr 4f0f (bed-1, ewr)"}]\')'


def outputs(provider: Provider | None) -> str:
    """Return the outputs of a stack whose hosts are the provider's; None for a stack without hosts."""
    if provider is None:
        return "{}"
    hosts = tuple(of_provider(host, provider) for host in inventory(a=1).hosts)
    found = inventory(a=1).model_copy(update={"hosts": hosts})
    return json.dumps({"inventory": found.model_dump(mode="json"), "stack": "t"})


def target(project: Path, monkeypatch: pytest.MonkeyPatch, provider: Provider | None) -> Target:
    """Return a stack whose testbed program finds a host that the stack does not know."""
    (project / "stacks").mkdir()
    (project / "stacks/__init__.py").touch()
    (project / "stacks/strays.py").write_text(FOUND)
    fake_pulumi(project, monkeypatch, {"output": outputs(provider), "--show-name": "t"})
    return Target(None, None, None)


def test_hosts_that_the_stack_does_not_know_are_looked_for_in_clouds(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = target(project, monkeypatch, "vultr").begin_stray_search()
    assert searched().hosts == ("vultr 4f0f (bed-1, ewr)",)


def test_hosts_that_nobody_rents_are_not_looked_for(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert target(project, monkeypatch, "local").begin_stray_search()() == Strays()


def test_a_stack_without_hosts_names_those_that_it_does_not_know(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = target(project, monkeypatch, None)
    with pytest.raises(UsageError, match=r"stack t has no hosts; .*vultr 4f0f \(bed-1, ewr\), which is billed: .*"):
        found.begin_stray_search()
    (project / "stacks/strays.py").write_text("raise SystemExit('no token')")
    with pytest.raises(UsageError, match=r"stack t has no hosts; create them with `pulumi up`$"):
        Target(None, None, None).begin_stray_search()
