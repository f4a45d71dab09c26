"""The set-up scripts: env.sh in every shell, the choice and build of the CLI, the demo, the pinned requirements."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from paths import ROOT

SHELLS = ("sh", "bash", "zsh")
SYSTEM_PATH = "/usr/bin:/bin"


def executable(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/usr/bin/env bash\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout that has been set up, with programs that do nothing."""
    root = tmp_path / "a checkout"
    shutil.copytree(ROOT / "tools", root / "tools")
    shutil.copy(ROOT / "env.sh", root)
    executable(root / ".venv/bin/python", "")
    executable(root / ".state/pulumi/pulumi", "")
    (root / ".state/passphrase").write_text("secret", encoding="utf-8")
    return root


def run(
    command: list[str | Path], cwd: Path, path: str = SYSTEM_PATH, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in an environment that holds nothing but PATH, HOME (`cwd`) and `variables`."""
    environment = {"HOME": str(cwd), "PATH": path} | variables
    return subprocess.run(
        command, cwd=cwd, env=environment, text=True, capture_output=True, timeout=60, stdin=subprocess.DEVNULL
    )


def sourced(shell: str, checkout: Path, script: str = ". ./env.sh", **variables: str) -> dict[str, str]:
    done = run([shell, "-c", f"{script}\nenv"], checkout, **variables)
    assert done.returncode == 0, done.stderr
    return dict(line.partition("=")[::2] for line in done.stdout.splitlines())


@pytest.mark.parametrize("shell", SHELLS)
class TestEnvironment:
    def test_puts_virtual_environment_and_cli_first(self, shell: str, checkout: Path) -> None:
        once = sourced(shell, checkout)
        assert once["PATH"].split(":")[:2] == [f"{checkout}/.venv/bin", f"{checkout}/.state/pulumi"]
        assert sourced(shell, checkout, ". ./env.sh; . ./env.sh")["PATH"] == once["PATH"]

    def test_uses_a_backend_and_a_passphrase_of_the_checkout(self, shell: str, checkout: Path) -> None:
        found = sourced(shell, checkout)
        assert found["PULUMI_BACKEND_URL"] == f"file://{checkout}/.state"
        assert found["PULUMI_CONFIG_PASSPHRASE_FILE"] == f"{checkout}/.state/passphrase"

    def test_creates_many_hosts_at_once(self, shell: str, checkout: Path) -> None:
        assert sourced(shell, checkout)["PULUMI_PARALLEL"] == "128"
        assert sourced(shell, checkout, PULUMI_PARALLEL="4")["PULUMI_PARALLEL"] == "4"

    def test_respects_a_chosen_backend(self, shell: str, checkout: Path) -> None:
        found = sourced(shell, checkout, PULUMI_BACKEND_URL="s3://mine")
        assert found["PULUMI_BACKEND_URL"] == "s3://mine"
        assert "PULUMI_BACKEND_URL" not in sourced(shell, checkout, PULUMI_ACCESS_TOKEN="pul-0")

    @pytest.mark.parametrize(("current", "chosen"), [("https://api.pulumi.com", True), ("", False)])
    def test_respects_a_login(self, shell: str, checkout: Path, current: str, chosen: bool) -> None:
        (checkout / ".pulumi").mkdir()
        (checkout / ".pulumi/credentials.json").write_text(f'{{"current": "{current}"}}', encoding="utf-8")
        assert ("PULUMI_BACKEND_URL" not in sourced(shell, checkout)) == chosen

    @pytest.mark.parametrize("name", ["PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"])
    def test_respects_a_chosen_passphrase(self, shell: str, checkout: Path, name: str) -> None:
        found = sourced(shell, checkout, **{name: "mine"})
        assert {key: value for key, value in found.items() if "PASSPHRASE" in key} == {name: "mine"}

    def test_respects_an_empty_passphrase(self, shell: str, checkout: Path) -> None:
        assert "PULUMI_CONFIG_PASSPHRASE_FILE" not in sourced(shell, checkout, PULUMI_CONFIG_PASSPHRASE="")

    def test_unsets_variables_of_another_checkout(self, shell: str, checkout: Path) -> None:
        other = shutil.copytree(checkout, checkout.with_name("other"))
        found = sourced(shell, checkout, f". ./env.sh; cd '{other}'; . ./env.sh")
        assert found["PULUMI_BACKEND_URL"] == f"file://{other}/.state"
        assert found["PULUMI_CONFIG_PASSPHRASE_FILE"] == f"{other}/.state/passphrase"
        assert found["PATH"].startswith(f"{other}/.venv/bin:")

    @pytest.mark.parametrize("options", ["set +e", "set -eu"])
    def test_keeps_shell_options_and_variables(self, shell: str, checkout: Path, options: str) -> None:
        script = f'{options}; before="$-$(set +o)"; . ./env.sh; [ "$before" = "$-$(set +o)" ] || exit 1'
        done = run([shell, "-c", f'{script}; echo "${{_geobench-unset}}"'], checkout)
        assert (done.returncode, done.stdout, done.stderr) == (0, "unset\n", "")

    def test_prints_the_remedy_before_set_up_and_keeps_the_shell_alive(self, shell: str, checkout: Path) -> None:
        shutil.rmtree(checkout / ".venv")
        done = run([shell, "-c", ". ./env.sh; echo status $?"], checkout)
        assert done.stdout == "status 1\n"
        assert done.stderr.count("\n") == 1
        assert "make setup" in done.stderr

    def test_pulumi_asks_for_the_password_of_sudo_only_for_local_hosts_in_a_terminal(
        self, shell: str, checkout: Path
    ) -> None:
        calls = checkout / "calls"
        executable(checkout / ".state/pulumi/pulumi", f'echo "pulumi $*" >>"{calls}"')
        executable(checkout / ".state/pulumi/id", "echo 1000")
        executable(checkout / ".state/pulumi/sudo", f'echo "sudo $*" >>"{calls}"; [ "$1" = -v ]')
        executable(checkout / ".venv/bin/python", '[[ "$*" == "-P -m stacks.local.selected "*" dev"* ]]')
        commands = ["up --stack dev", "destroy --stack cloud", "stack ls"]
        script = "; ".join([". ./env.sh", *(f"pulumi {command}" for command in commands)])
        executable(checkout / "typed", f'exec {shell} -c "{script}"')
        run(["script", "--quiet", "--command", f"'{checkout}/typed'", "/dev/null"], checkout)
        asked = ["sudo -n true", "sudo -v", "pulumi up --stack dev"]
        other = ["sudo -n true", "pulumi destroy --stack cloud", "pulumi stack ls"]
        assert calls.read_text(encoding="utf-8").splitlines() == asked + other
        calls.unlink()
        run([checkout / "typed"], checkout)
        assert calls.read_text(encoding="utf-8").splitlines() == [f"pulumi {command}" for command in commands]

    @pytest.mark.skipif(os.geteuid() != 0, reason="root is needed to become another user")
    def test_names_the_user_who_set_up_the_checkout(self, shell: str, checkout: Path) -> None:
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", shell, "-c", ". ./env.sh"]
        with tempfile.TemporaryDirectory() as name:  # tmp_path is closed to other users
            folder = shutil.copytree(checkout, Path(name), dirs_exist_ok=True)
            folder.chmod(0o755)
            (folder / ".state").chmod(0o700)
            done = run(command, folder)
        assert done.returncode != 0
        assert "user root has set up" in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("shell", [shell for shell in SHELLS if shell != "sh"])
def test_environment_is_found_from_any_folder(shell: str, checkout: Path, tmp_path: Path) -> None:
    done = run([shell, "-c", f". '{checkout}/env.sh'; echo $PULUMI_BACKEND_URL"], tmp_path)
    assert done.stdout.strip() == f"file://{checkout}/.state"


FAKE_GO = """
case "$1" in
env) echo "${GO_VERSION:-go1.99.0}" ;;
list) echo "$HOME/sdk" ;;
build)
    echo "$*" >> "$HOME/builds"
    if [ -e "$HOME/broken" ]; then echo "undefined: x" >&2; exit 1; fi
    while [ "$1" != -o ]; do shift; done
    mkdir -p "$2"; printf '#!/bin/sh\\n' > "$2/$(basename "${!#}")"; chmod 755 "$2/$(basename "${!#}")" ;;
esac
"""


class TestPulumiCli:
    """The compiler is a fake here: the real build takes minutes and is what `make setup` does."""

    @pytest.fixture
    def home(self, tmp_path: Path) -> Path:
        executable(tmp_path / "go/go", FAKE_GO)
        executable(tmp_path / "sdk/python/cmd/pulumi-language-python-exec", "")
        executable(tmp_path / "sdk/python/dist/pulumi-resource-pulumi-python", "")
        return tmp_path

    def install(self, home: Path, *folders: str, **variables: str) -> subprocess.CompletedProcess[str]:
        path = ":".join([*(str(home / folder) for folder in folders), SYSTEM_PATH])
        return run([ROOT / "tools/setup/install_pulumi.sh"], home, path, **variables)

    def own_cli(self, home: Path, version: str) -> None:
        executable(home / "own/pulumi", f"echo {version}")
        executable(home / "own/pulumi-language-python", "")

    @pytest.mark.parametrize("version", ["v3.259.0", "v3.272.1", "v4.0.0"])
    def test_takes_a_recent_cli_from_path(self, home: Path, version: str) -> None:
        self.own_cli(home, version)
        assert self.install(home, "own").stdout == f"{home}/own\n"

    def test_builds_where_the_cli_on_path_is_too_old(self, home: Path) -> None:
        self.own_cli(home, "v3.99.0")
        done = self.install(home, "own", "go")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"{home}/.cache/geobench/pulumi-")
        assert "v3.99.0, 3.259.0 or later is needed" in done.stderr

    def test_builds_once_into_a_cache_named_by_the_versions(self, home: Path) -> None:
        first, second = (self.install(home, "go", XDG_CACHE_HOME=str(home / "cache")) for _ in range(2))
        assert first.returncode == 0, first.stderr
        folder = Path(first.stdout.strip())
        assert first.stdout == second.stdout
        assert re.fullmatch(r"pulumi-3\.[\d.]+-python-3\.[\d.]+", folder.parent.name)
        assert {file.name for file in folder.iterdir() if file.stat().st_mode & 0o111} == {
            "pulumi",
            "pulumi-language-python",
            "pulumi-language-python-exec",
            "pulumi-resource-pulumi-python",
        }
        assert len((home / "builds").read_text(encoding="utf-8").splitlines()) == 2

    def test_does_not_mistake_its_own_build_for_the_users_cli(self, home: Path) -> None:
        built = self.install(home, "go").stdout
        (home / "link").symlink_to(built.strip())
        assert self.install(home, "link").stdout == built

    def test_concurrent_runs_build_once(self, home: Path) -> None:
        command, path = ROOT / "tools/setup/install_pulumi.sh", f"{home}/go:{SYSTEM_PATH}"
        runs = [
            subprocess.Popen([command], env={"HOME": str(home), "PATH": path}, stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        outputs = {process.communicate(timeout=60)[0] for process in runs}
        assert len(outputs) == 1
        assert len((home / "builds").read_text(encoding="utf-8").splitlines()) == 2

    def test_a_failed_build_leaves_nothing_behind(self, home: Path) -> None:
        (home / "broken").touch()
        done = self.install(home, "go")
        assert done.returncode == 1
        assert "undefined: x" in done.stderr
        assert [file.name for file in (home / ".cache/geobench").iterdir()] == ["build.lock"]

    def test_reports_missing_go(self, home: Path) -> None:
        done = self.install(home)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert "Pulumi CLI >= 3.259.0" in done.stderr

    def test_reports_the_installed_and_the_required_go_version(self, home: Path) -> None:
        done = self.install(home, "go", GO_VERSION="go1.19.8")
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "found Go 1.19.8" in done.stderr
        assert "Go >= 1.25" in done.stderr


@pytest.mark.parametrize(
    ("script", "message"), [("echo 'Python 3.9.2'; exit 1", "found Python 3.9.2, expected Python >= 3.11"), ("", "")]
)
def test_setup_rejects_an_outdated_or_missing_python(checkout: Path, script: str, message: str) -> None:
    python = executable(checkout / "python", script) if script else checkout / "absent"
    done = run([checkout / "tools/setup/setup.sh"], checkout, PYTHON=str(python))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert (message or "absent not found") in done.stderr


def test_missing_packages_are_listed_without_installing_them(tmp_path: Path) -> None:
    executable(tmp_path / "bin/dpkg-query", '[ "${!#}" = here ] && echo installed')
    executable(tmp_path / "bin/apt-get", f"touch {tmp_path}/called")
    (tmp_path / "list").write_text("# Why.\nhere\nabsent\nother\n", encoding="utf-8")
    command = [ROOT / "tools/setup/install_packages.sh", "--missing", tmp_path / "list"]
    done = run(command, tmp_path, f"{tmp_path}/bin:{SYSTEM_PATH}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "absent other\n", "")
    assert not (tmp_path / "called").exists()


def test_root_through_sudo_continues_as_the_owner_of_the_checkout(checkout: Path, tmp_path: Path) -> None:
    for name, script in {
        "id": "echo 0",
        "stat": "echo ann",
        "getent": "echo ann:x:1000:1000::/home/ann:/bin/bash",
        "runuser": f'printf "%s\\n" "$HOME $USER ${{SUDO_USER:-none}}" "$@" >"{tmp_path}/calls"',
    }.items():
        executable(tmp_path / "bin" / name, script)
    done = run([checkout / "tools/setup/setup.sh", "x y"], tmp_path, f"{tmp_path}/bin:{SYSTEM_PATH}", SUDO_USER="ann")
    assert done.returncode == 0, done.stderr
    identity, *words = (tmp_path / "calls").read_text(encoding="utf-8").splitlines()
    assert identity == "/home/ann ann none"
    assert words[:4] == ["-u", "ann", "--", "bash"]
    assert words[-3:] == [str(checkout), "tools/setup/setup.sh", "x y"]


class TestDemo:
    RUN = "geobench run --stack dev --loads 100 --committee 3"

    def demo(self, checkout: Path, pulumi: str, geobench: str, **variables: str) -> tuple[int, list[str], str]:
        calls = checkout / "calls"
        executable(checkout / ".state/pulumi/pulumi", f'echo "pulumi $*" >> "{calls}"; {pulumi}')
        executable(checkout / ".venv/bin/geobench", f'echo "geobench $*" >> "{calls}"; {geobench}')
        executable(checkout / ".venv/bin/python", "")
        done = run([checkout / "tools/setup/demo.sh"], checkout, **variables)
        return done.returncode, calls.read_text(encoding="utf-8").splitlines(), done.stdout + done.stderr

    def test_creates_the_testbed_and_runs_a_benchmark(self, checkout: Path) -> None:
        status, calls, output = self.demo(checkout, "", "", DURATION="1m")
        assert calls == ["pulumi up --yes --stack dev", f"{self.RUN} --duration 1m"]
        assert status == 0
        assert "pulumi destroy" in output

    def test_prints_a_line_per_step_and_the_result_last(self, checkout: Path) -> None:
        geobench = 'echo phases >&2; echo "warning: a loaded machine" >&2; printf "table\nresults: here\n"'
        status, calls, output = self.demo(checkout, "seq 100; echo warning: of Pulumi", geobench)
        assert (status, calls[-1]) == (0, f"{self.RUN} --duration 20s")
        lines = output.splitlines()
        assert re.fullmatch(r"local testbed: 12 hosts in 3 regions +\d+ s", lines[0])
        assert re.fullmatch(r"benchmark: etcd on 3 hosts, 100 tx/s for 20s +\d+ s", lines[1])
        assert lines[-2:] == ["table", "results: here"]
        assert len(lines) < 20
        log = (checkout / ".state/demo.log").read_text(encoding="utf-8").splitlines()
        assert {"100", "phases", "table"} <= set(log)

    def test_asks_for_the_password_of_sudo_once_before_pulumi_starts(self, checkout: Path) -> None:
        calls = checkout / "calls"
        executable(checkout / ".state/pulumi/id", "echo 1000")
        executable(checkout / ".state/pulumi/sudo", f'echo "sudo $*" >>"{calls}"; [ "$1" != -n ] || test -e known')
        assert self.demo(checkout, "", "")[1][:3] == ["sudo -n true", "sudo -v", "pulumi up --yes --stack dev"]
        (checkout / "known").touch()
        calls.unlink()
        assert self.demo(checkout, "", "")[1][:2] == ["sudo -n true", "pulumi up --yes --stack dev"]

    def test_demo_stops_at_the_first_failure_and_shows_the_end_of_its_log(self, checkout: Path) -> None:
        status, calls, output = self.demo(checkout, "seq 100; exit 255", "")
        assert (status, len(calls)) == (255, 1)
        heading, *end = output.splitlines()
        assert re.fullmatch(
            r"local testbed: 12 hosts in 3 regions: failed after \d+ s; the end of \.state/demo\.log:", heading
        )
        assert end == [f"    {number}" for number in range(81, 101)]
        assert self.demo(checkout, "", "exit 3")[0] == 3


class TestSteps:
    def steps(self, folder: Path, script: str) -> subprocess.CompletedProcess[str]:
        (folder / "script").write_text(
            f"set -euo pipefail; . {ROOT}/tools/setup/steps.sh; log_to {folder}/log; {script}", encoding="utf-8"
        )
        return run(["bash", folder / "script"], folder)

    def test_a_function_ends_at_its_first_error(self, tmp_path: Path) -> None:
        done = self.steps(tmp_path, "part() { echo one; false; echo two; }; step 'a part' part; echo on")
        assert (done.returncode, done.stdout) == (1, "")
        assert re.fullmatch(rf"a part: failed after \d+ s; the end of {tmp_path}/log:\n    one\n", done.stderr)

    def test_a_failed_step_shows_its_own_log_only(self, tmp_path: Path) -> None:
        done = self.steps(tmp_path, "step one echo from one; step two bash -c 'echo from two; exit 7'")
        assert (done.returncode, done.stdout.split()[0]) == (7, "one")
        assert "from two" in done.stderr
        assert "from one" not in done.stderr

    def test_a_terminal_shows_the_last_line_of_the_log_and_the_time_in_one_line(self, tmp_path: Path) -> None:
        """The step ends once its progress has been seen: no time is measured."""
        shown, log = tmp_path / "shown", tmp_path / "log"
        (tmp_path / "script").write_text(
            f"set -euo pipefail; . {ROOT}/tools/setup/steps.sh; log_to {log}\n"
            f"part() {{ echo compiled 3 of 9; until grep -q 'd 3' {shown}; do read -rt 1 <> <(:) || :; done; }}\n"
            "step build part",
            encoding="utf-8",
        )
        done = run(["script", "--quiet", "--flush", "--command", f"bash {tmp_path}/script", shown], tmp_path)
        assert done.returncode == 0
        text = shown.read_bytes().decode()
        assert re.search(r"\r\x1b\[Kbuild: \d+ s, compiled 3 of 9\r\x1b\[K", text)
        assert re.search(r"build +\d+ s\r?\n", text)


def requirement_lines(*names: str) -> Iterable[Requirement]:
    for name in names:
        for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
            if line and not line.startswith(("#", " ")):
                yield Requirement(line.removesuffix("\\"))


LOCK = "tools/setup/requirements.lock"


def test_every_requirement_and_its_dependencies_are_pinned() -> None:
    pins = {canonicalize_name(line.name): str(line.specifier) for line in requirement_lines(LOCK)}
    direct = list(requirement_lines("requirements.txt", "requirements-dev.txt"))
    assert [line.name for line in direct if pins.get(canonicalize_name(line.name)) != str(line.specifier)] == []
    todo, seen = [canonicalize_name(line.name) for line in direct], set[str]()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            needs = [Requirement(text) for text in requires(name) or []]
        except PackageNotFoundError:
            continue  # named only for another platform
        todo += [canonicalize_name(need.name) for need in needs if need.marker is None or need.marker.evaluate()]
    assert seen <= pins.keys(), "run `make lock`"


def test_every_pin_has_the_hashes_of_its_files() -> None:
    blocks = re.split(r"^(?=\S)", (ROOT / LOCK).read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    without = [block.split()[0] for block in blocks if not re.search(r"^    --hash=sha256:[0-9a-f]{64}", block, re.M)]
    assert (len(blocks) > 50, without) == (True, [])
    # Wheels of other architectures, systems and versions of Python are in it, too.
    assert next(block for block in blocks if block.startswith("numpy==")).count("--hash=") > 20
