"""A C project is built on one of eight local hosts, copied to all of them and benchmarked there."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import ClassVar

import pytest
from factories.repository import BUILD, OUTPUTS, Source
from fakes.local_testbed import LocalTestbed, local_testbed
from fakes.runner import beside_load
from paths import FAKES

from benchmark.artifacts.install import Installation, Installed
from benchmark.errors import SystemFailure, UsageError
from benchmark.orchestrator.sweep import run_benchmark
from benchmark.plan.request import Request
from benchmark.plan.source import Binaries, find_build
from benchmark.protocols.mysticeti import Mysticeti
from benchmark.protocols.process import Build
from benchmark.protocols.remora import Remora, RemoraClient, RemoraNode
from benchmark.remote.fleet import File
from benchmark.results.summary import Summary
from benchmark.settings import BuildSettings, Repository

pytestmark = pytest.mark.integration

MONITORING, BUILDER = "us-east-1-0", "us-east-1-1"
SERVER = FAKES / "git_server.py"
DEADLINE_S = 30.0
TOKEN = "ghp_8kD2qTz5vXw1Rb7Lm3"


class StandIn(Remora):
    """Remora with the programs of the stand-in."""

    name = "standin"
    build: ClassVar[Build | None] = BUILD


@pytest.fixture(scope="module")
def testbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTestbed]:
    with local_testbed(tmp_path_factory.mktemp("testbed"), "it-artifacts", {"us-east-1": 5, "eu-west-1": 4}) as made:
        yield made


class Project:
    """The stand-in's repository, which the builder clones from `url`."""

    def __init__(self, testbed: LocalTestbed, source: Source, results: Path) -> None:
        self.testbed, self.source, self.results = testbed, source, results
        self.bare = f"/srv/git/{source.folder.parent.name}.git"
        self.url = f"file://{self.bare}"
        self.steps: list[str] = []
        self.builder = BUILDER
        self.publish()

    def publish(self) -> str:
        """Upload the branches to where they are cloned from; return the head."""
        put = {self.builder: {"/srv/git/bundle": self.source.bundle()}}
        self.testbed.fleet.put(put, deadline=DEADLINE_S).raise_for_failures("publish")
        refs = "'+refs/heads/*:refs/heads/*'"
        fetch = f"git init -q --bare {self.bare}; git -C {self.bare} fetch -q --prune /srv/git/bundle {refs}"
        self.testbed.output(self.builder, fetch)
        return self.source.head

    def install(self, ref: str = "main", url: str | None = None, build: Build = BUILD) -> Installed:
        """Install on all eight hosts."""
        self.steps.clear()
        carriers = self.testbed.inventory.instances
        installation = Installation(self.testbed.testbed, carriers, self.steps.append, self.results / "log")
        return installation.from_repository(build, Repository(url=url or self.url, commit=ref))

    @property
    def builds(self) -> int:
        return sum(text.startswith("building") for text in self.steps)

    def run(self, ref: str = "main", url: str | None = None, build: Build = BUILD) -> Summary:
        """Measure 200 tx/s on a committee of eight."""
        request = Request(
            protocol=StandIn(RemoraNode(), RemoraClient()),
            settings=self.testbed.testbed.settings,
            loads=[200],
            duration_s=5.0,
            warm_up_s=2.0,
            results_dir=self.results,
            source=Repository(url=url or self.url, commit=ref),
            build=build,
        )
        (summary,) = run_benchmark(self.testbed.testbed, request, lambda event: None, began=time.time())
        return summary

    def manifest(self, summary: Summary) -> dict[str, object]:
        path = self.results / "it-artifacts" / summary.run_id / "manifest.json"
        found: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))["artifact"]
        return found


@pytest.fixture
def project(testbed: LocalTestbed, tmp_path: Path) -> Project:
    return Project(testbed, Source.of_standin(tmp_path / "source"), tmp_path / "results")


def test_repository_is_built_once_copied_to_eight_hosts_and_benchmarked(project: Project) -> None:
    first = project.run()
    assert (first.commit, first.nodes, beside_load(first.reasons)) == (project.source.head, 8, [])
    assert first.completed_tps == pytest.approx(200, rel=0.1)
    assert f"-{project.source.head[:8]}-8n-" in first.run_id
    folder = project.results / "it-artifacts" / first.run_id
    assert "cc -O2" in (folder / "build.log").read_text(encoding="utf-8")
    second = project.run()
    assert second.commit == first.commit
    assert not (project.results / "it-artifacts" / second.run_id / "build.log").exists()
    variant = project.manifest(second)["variants"]["x86_64"]  # type: ignore[index]
    assert (variant["builder"], variant["copied_to"]) == (None, [])
    assert set(variant["files"]) == {"remora", "load_generator"}


def test_branch_that_moved_between_two_runs_is_in_the_results(project: Project) -> None:
    before = project.source.head
    project.run()
    project.source.commit("second")
    after = project.publish()
    summary = project.run()
    assert summary.commit == after
    assert any(f"main moved: it was {before}" in text and after in text for text in summary.warnings)
    manifest = project.manifest(summary)
    assert (manifest["requested"], manifest["previous_commit"]) == ("main", before)


def test_every_host_has_the_same_files_and_nothing_is_built_or_copied_twice(project: Project) -> None:
    installed = project.install()
    assert project.builds == 1
    (name,) = {*installed.by_host.values()}
    for host in installed.by_host:
        sums = project.testbed.output(host, f"cd geobench/artifacts/{name} && LC_ALL=C sha256sum -- * | sha256sum")
        assert sums.split()[0] == name
    again = project.install()
    assert (project.steps, again.commit, again.by_host) == ([], installed.commit, installed.by_host)


def test_new_commit_is_built_once(project: Project) -> None:
    first = project.install()
    project.source.write(
        "net.h", (project.source.folder / "net.h").read_text() + 'static const char version[] = "2";\n'
    )
    project.source.write("remora.c", (project.source.folder / "remora.c").read_text().replace("info: ", "INFO: "))
    project.source.commit("second")
    project.publish()
    second = project.install()
    assert (project.builds, second.commit) == (1, project.source.head)
    assert second.by_host != first.by_host
    project.install()
    assert project.builds == 0
    assert project.install(first.commit).by_host == first.by_host
    assert project.builds == 0


@pytest.mark.parametrize("settled", [None, BuildSettings(command="make target/release/replica", packages=("make",))])
def test_mysticeti_is_built_with_the_repositorys_makefile_or_as_the_settings_say(
    project: Project, settled: BuildSettings | None
) -> None:
    build = find_build(Mysticeti, settled)
    assert build
    installed = project.install(build=build)
    assert [set(variant.files) for variant in installed.variants.values()] == [{"replica"}]
    record = installed.to_record().build
    assert record
    assert record.command.strip() == (settled.command if settled else "make")


def test_failed_build_ends_the_run_with_the_compilers_errors(project: Project) -> None:
    project.source.write("remora.c", "int main(void) { return missing; }\n")
    project.source.commit("broken")
    project.publish()
    with pytest.raises(SystemFailure, match=r"exit code 2(?s:.*)remora\.c:1:\d+: error: .missing. undeclared"):
        project.run()
    with pytest.raises(UsageError, match="similar branches and tags: main"):
        project.run("mian")


def test_hosts_without_the_artifact_copy_it_from_any_other_host(project: Project) -> None:
    installed = project.install()
    (name,) = {*installed.by_host.values()}
    lost = [BUILDER, "eu-west-1-3"]
    for host in lost:
        project.testbed.output(host, f"rm -rf geobench/artifacts/{name} geobench/artifacts/index")
    again = project.install()
    assert project.builds == 0
    assert sorted(again.variants["x86_64"].copied_to) == sorted(lost)


@pytest.fixture
def others(testbed: LocalTestbed) -> Iterator[list[str]]:
    """Hosts that claim to have another architecture."""
    names = ["us-east-1-3", "eu-west-1-0", "eu-west-1-2"]
    fake = {"/usr/local/bin/uname": File(b"#!/bin/sh\necho aarch64\n", 0o755)}
    testbed.fleet.put(dict.fromkeys(names, fake), deadline=DEADLINE_S).raise_for_failures("uname")
    yield names
    testbed.fleet.run("rm /usr/local/bin/uname", hosts=names, deadline=DEADLINE_S).raise_for_failures("uname")


def test_each_architecture_is_built_once_on_a_host_that_has_it(project: Project, others: list[str]) -> None:
    # The repository is a path, which must exist on both build hosts.
    project.builder = others[0]
    project.publish()
    build = Build(BUILD.packages, f"{BUILD.command}\nuname -m >>target/release/remora", BUILD.outputs)
    installed = project.install(build=build)
    builders = {name: variant.builder for name, variant in installed.variants.items()}
    assert builders == {"x86_64": BUILDER, "aarch64": others[0]}
    names = {name: variant.sha256 for name, variant in installed.variants.items()}
    assert names["x86_64"] != names["aarch64"]
    assert {host for host, name in installed.by_host.items() if name == names["aarch64"]} == set(others)
    project.install(build=build)
    assert project.steps == []


def test_no_server_runs_after_a_distribution(project: Project) -> None:
    project.install()
    for host in project.testbed.inventory.instances:
        deadline = time.monotonic() + DEADLINE_S
        while "share.py" in project.testbed.output(host.name, "ps -e -o args="):
            assert time.monotonic() < deadline


def test_binaries_of_the_user_are_uploaded_once_and_copied_to_all(project: Project, tmp_path: Path) -> None:
    subprocess.run(["make", "-C", str(project.source.folder), *OUTPUTS], check=True, capture_output=True)
    folder = project.source.folder / "target/release"
    steps: list[str] = []
    carriers = project.testbed.inventory.instances
    installation = Installation(project.testbed.testbed, carriers, steps.append, tmp_path)
    # Content that no other test uploaded.
    with (folder / "remora").open("ab") as file:
        file.write(str(tmp_path).encode())
    installed = installation.from_binaries(BUILD, Binaries(folder))
    assert installed.commit == "unknown"
    (name,) = {*installed.by_host.values()}
    assert [text.split()[0] for text in steps] == ["uploading", "copying"]
    described = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    assert {file: found.sha256 for file, found in installed.variants["x86_64"].files.items()} == described
    steps.clear()
    assert installation.from_binaries(BUILD, Binaries(folder, "v1")).by_host == dict.fromkeys(installed.by_host, name)
    assert steps == []


@pytest.fixture
def guarded(project: Project) -> Iterator[str]:
    """Host, port and path at which the project is served to clients with the token."""
    fleet, port = project.testbed.fleet, 8417
    fleet.put({BUILDER: {"/srv/server.py": SERVER.read_bytes()}}, deadline=DEADLINE_S).raise_for_failures("server")
    known = hashlib.sha256(TOKEN.encode()).hexdigest()
    command = f"exec python3 /srv/server.py /srv/git {port} {known} /srv/record"
    server = fleet.open(command, hosts=[BUILDER], deadline=DEADLINE_S).raise_for_failures("server")[BUILDER]
    with closing(server):
        deadline = time.monotonic() + DEADLINE_S
        while "ready" not in server.stdout:
            assert time.monotonic() < deadline, server.stderr
        yield f"{project.testbed.inventory.host(BUILDER).address}:{port}/{project.bare.rpartition('/')[2]}"
        project.testbed.output(BUILDER, "kill $(pgrep -f '^python3 /srv/server.py')")


def test_private_repository_needs_its_token_and_errors_do_not_reveal_it(project: Project, guarded: str) -> None:
    with pytest.raises(UsageError, match="include a token"):
        project.install(url=f"http://{guarded}")
    with pytest.raises(UsageError, match="whether the token is valid") as caught:
        project.install(url=f"http://wrong{TOKEN}@{guarded}")
    assert TOKEN not in str(caught.value)


def test_token_is_stored_nowhere(project: Project, guarded: str) -> None:
    inspect = "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline | tr '\\0' '\\n'; env; ls -l /proc/self/fd; git remote -v"
    build = Build(BUILD.packages, f"{inspect}\n{BUILD.command}", BUILD.outputs)
    summary = project.run(url=f"http://{TOKEN}@{guarded}", build=build)
    assert (summary.commit, beside_load(summary.reasons)) == (project.source.head, [])
    record = project.testbed.output(BUILDER, "tr '\\0' ' ' </srv/record")
    assert "git-remote-http" in record  # it was recorded while git sent its request
    results = [path for path in project.results.rglob("*") if path.is_file()]
    assert {"build.log", "manifest.json", "events.jsonl", "summary.json"} <= {path.name for path in results}
    log = next(path for path in results if path.name == "build.log").read_text(encoding="utf-8")
    assert f"origin\thttp://{guarded}" in log
    encoded = base64.b64encode(f"{TOKEN}:{TOKEN}".encode()).decode()
    for secret in (TOKEN, encoded):
        assert secret not in record
        assert [path for path in results if secret.encode() in path.read_bytes()] == []
        assert_nowhere_on_hosts(project.testbed, secret)


def assert_nowhere_on_hosts(testbed: LocalTestbed, secret: str) -> None:
    """Search every file that a host can have written, and command line and environment of its processes."""
    # The pattern is read from standard input; as an argument, the search would find itself.
    where = "/root /srv /tmp /run /var/tmp /var/log /dev/shm /etc /home"
    command = (
        f"grep --recursive --devices=skip --fixed-strings --files-with-matches --file=- {where} /proc/[0-9]*/environ"
    )
    answers = testbed.fleet.run(f"{command} /proc/[0-9]*/cmdline", stdin=secret, deadline=60, check=False).ok
    assert len(answers) == len(testbed.inventory.hosts)
    for name, answer in answers.items():
        assert answer.stdout == "", name
    # The search finds a planted secret.
    testbed.fleet.put({BUILDER: {"/srv/planted": secret.encode()}}, deadline=10)
    found = testbed.fleet.run(command, hosts=[BUILDER], stdin=secret, deadline=60, check=False).ok[BUILDER].stdout
    assert found == "/srv/planted\n"
    testbed.output(BUILDER, "rm /srv/planted")
