"""The wheel and a plugin, built and installed in a fresh virtual environment, measure on real local hosts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import urllib.request
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest
from factories.result_factory import write_run
from fakes.local_testbed import LocalTestbed, local_testbed
from fakes.runner import beside_load
from paths import ROOT

from benchmark import __version__
from benchmark.report import uplot
from benchmark.results.live_feed import parse_sample

pytestmark = pytest.mark.integration

PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


def build(project: Path, wheels: Path) -> None:
    command = [*PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels, project]
    subprocess.run(command, check=True, timeout=120)


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin of docs/protocols.md."""
    page = (ROOT / "docs" / "protocols.md").read_text(encoding="utf-8")
    (code,) = [block for block in page.split("```python\n")[1:] if block.startswith('"""my_package/web.py"""')]
    (project,) = [block for block in page.split("```toml\n")[1:] if 'name = "my-package"' in block]
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "my_package").mkdir()
    (folder / "my_package" / "__init__.py").touch()
    (folder / "my_package" / "web.py").write_text(code.partition("```")[0], encoding="utf-8")
    (folder / "pyproject.toml").write_text(project.partition("```")[0], encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def geobench(plugin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The installed command. Dependencies are those of this environment; the checkout is not on the path."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    wheels = folder / "wheels"
    build(ROOT, wheels)
    build(plugin, wheels)
    python = folder / "bin" / "python"
    install = ["install", "--no-deps", "--no-index", *sorted(wheels.glob("*.whl"))]
    subprocess.run([*PIP, "--python", python, *install], check=True, timeout=120)
    (site,) = folder.glob("lib/*/site-packages")
    (site / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    return folder / "bin" / "geobench"


@pytest.fixture(scope="module")
def testbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTestbed]:
    with local_testbed(tmp_path_factory.mktemp("testbed"), "it-wheel", {"us-east-1": 2}) as made:
        made.fleet.close()
        yield made


def call(geobench: Path, folder: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [geobench, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_version_and_help_work_in_an_empty_folder(geobench: Path, tmp_path: Path) -> None:
    assert call(geobench, tmp_path, "--version").startswith(f"geobench {__version__} (commit ")
    assert call(geobench, tmp_path, "--help").startswith("Usage: geobench [OPTIONS] COMMAND")
    assert "etcd, my-web, mysticeti, remora or FILE.yaml" in " ".join(call(geobench, tmp_path, "run", "--help").split())
    assert call(geobench, tmp_path, "results", "--json") == "[]\n"
    assert list(tmp_path.iterdir()) == []


def test_vendored_scripts_are_installed_with_their_licence(geobench: Path) -> None:
    (vendor,) = geobench.parents[1].glob("lib/*/site-packages/benchmark/report/templates/vendor")
    assert {path.name for path in vendor.iterdir()} == uplot.SHA256.keys()


@pytest.mark.parametrize("protocol", ["my-web", "etcd"])
def test_protocols_are_measured_and_reported(
    geobench: Path, testbed: LocalTestbed, tmp_path: Path, protocol: str
) -> None:
    (tmp_path / "hosts.json").write_text(testbed.inventory.model_dump_json(), encoding="utf-8")
    settings = testbed.settings.model_dump_json(exclude_unset=True)
    (tmp_path / "settings.yaml").write_text(settings, encoding="utf-8")
    output = call(
        geobench, tmp_path, "run", "--inventory", "hosts.json", "--settings", "settings.yaml",
        "--protocol", protocol, "--committee", "1",
        "--loads", "50", "--duration", "5s", "--warm-up", "2s", "--json",
    )  # fmt: skip
    (summary,) = json.loads(output)
    assert summary["protocol"] == protocol
    assert summary["status"] in ("ok", "invalid")
    assert beside_load(summary["reasons"]) == []
    assert summary["completed_tps"] == pytest.approx(50, rel=0.1)
    run = tmp_path / "results" / "it-wheel" / summary["run_id"]
    assert (run / "report.html").stat().st_size > 100_000
    samples = [parse_sample(line) for line in (run / "live" / "feed.jsonl").read_bytes().splitlines()]
    assert samples
    assert {host for sample in samples for host in sample.hosts} <= {"us-east-1-0", "us-east-1-1"}


def test_a_run_is_shown_in_a_browser(geobench: Path, tmp_path: Path) -> None:
    write_run(tmp_path / "results" / "dev" / "20260101T000000Z-one")
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "DISPLAY")}
    command = [geobench, "watch", "--no-open", "--results-dir", tmp_path / "results"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            url = server.stdout.readline().split()[2]
            with urllib.request.urlopen(url, timeout=60) as page:
                assert "<title>geobench</title>" in page.read().decode()
            with urllib.request.urlopen(f"{url}uplot.js", timeout=60) as script:
                assert uplot.VERSION in script.read().decode()
        finally:
            server.terminate()
