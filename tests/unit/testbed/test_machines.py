"""Inspection and set-up of existing machines by machine.sh."""

from __future__ import annotations

import configparser
import shlex
import subprocess
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from paths import ROOT

from benchmark.host_layout import MARKS_FILE, PROMETHEUS_CONFIG, TARGETS_DIRECTORY
from benchmark.inventory import Host
from benchmark.testbed.machines import MissingRequirements, command, parse
from stacks.monitoring import monitoring_files, prometheus_arguments

SCRIPT = ROOT / "benchmark" / "host_scripts" / "machine.sh"


def sourced(function: str, *, monitoring: bool = True, interval_ms: int = 500) -> str:
    """Return the output of a function of the script."""
    script = f". {SCRIPT} none ada {int(monitoring)} {interval_ms} && {function}"
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("interval_ms", [500, 5000, 15_000, 60_000])
def test_prometheus_is_configured_as_in_other_testbeds(interval_ms: int) -> None:
    elsewhere = monitoring_files(timedelta(milliseconds=interval_ms))[PROMETHEUS_CONFIG]
    assert yaml.safe_load(sourced("configuration", interval_ms=interval_ms)) == yaml.safe_load(elsewhere)


def test_prometheus_is_started_as_in_other_testbeds_with_separate_files() -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(sourced("drop_in"))
    (setting,) = shlex.split(unit["Service"]["Environment"])
    found = setting.removeprefix("ARGS=").split()
    own = ("--config.file=", "--storage.tsdb.path=")
    assert [each for each in found if not each.startswith(own)] == [
        each for each in prometheus_arguments() if not each.startswith(own)
    ]
    assert not set(found) & {each for each in prometheus_arguments() if each.startswith(own)}
    assert unit["Service"]["EnvironmentFile"] == ""  # the package's, which would win over Environment


def test_the_script_and_the_runner_use_the_same_paths() -> None:
    assert sourced("echo $TARGETS") == f"{TARGETS_DIRECTORY}\n"
    assert sourced("echo $MARKS") == f"{Path(MARKS_FILE).parent}\n"


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("", MissingRequirements()),
        ("set-up\n", MissingRequirements(services=True)),
        ("set-up\nmissing prometheus\nmissing procps\n", MissingRequirements(("prometheus", "procps"), services=True)),
        ("problem a: b; c\nset-up\n", MissingRequirements(services=True, problems=("a: b; c",))),
    ],
)
def test_the_output_of_the_script_is_parsed(text: str, missing: MissingRequirements) -> None:
    assert parse(text) == missing


@pytest.mark.parametrize(("json", "missing"), [("exit 0", ""), ("exit 1", "missing python3\n")])
def test_python_without_json_is_not_enough_for_the_load_generator(tmp_path: Path, json: str, missing: str) -> None:
    (tmp_path / "python3").write_text(f"#!/bin/sh\n{json}\n")
    (tmp_path / "python3").chmod(0o755)
    found = sourced(
        f"PATH={tmp_path}:$PATH; exports() {{ true; }}; installed() {{ false; }}; inspect none ada 0 500",
        monitoring=False,
    )
    assert found == missing


def host(role: str) -> Host:
    fields = {"name": "zurich-0", "provider": "machines", "region": "zurich", "specs": "machine", "role": role}
    return Host.model_validate({**fields, "address": "192.0.2.1", "host_key": "ssh-ed25519 AAAA"})


def programs(folder: Path, login: str, sudo: str) -> Path:
    """Create a folder with a `sudo` and an `id` that prints `login`."""
    number = 0 if login == "root" else 1000
    for name, body in {"id": f'[ "$1" = -u ] && echo {number} || echo {login}', "sudo": sudo}.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.parametrize(("role", "monitoring"), [("monitoring", "1"), ("instance", "0")])
@pytest.mark.parametrize(("login", "through"), [("root", ""), ("ada", "through sudo\n")])
def test_root_runs_the_script_itself_and_others_through_sudo(
    tmp_path: Path, role: str, monitoring: str, login: str, through: str
) -> None:
    sudo = 'shift; [ "$1" = true ] || echo through sudo; exec "$@"'
    shown = run(command("inspect", host(role), 500), programs(tmp_path, login, sudo), "echo $@\n")
    assert shown == f"{through}inspect {login} {monitoring} 500\n"


def test_a_login_without_sudo_is_a_problem_with_its_remedy(tmp_path: Path) -> None:
    shown = run(
        command("inspect", host("instance"), 500), programs(tmp_path, "ada", "exit 1"), "echo missing nothing\n"
    )
    (problem,) = parse(shown).problems
    assert "may not use sudo" in problem
    assert problem.endswith("echo 'ada ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/ada")
    assert parse(shown).packages == ()


def run(text: str, folder: Path, stdin: str) -> str:
    """Return the output of a command that prefers the programs in `folder`."""
    environment = {"PATH": f"{folder}:/usr/bin:/bin"}
    done = subprocess.run(
        ["sh", "-c", text], input=stdin, env=environment, capture_output=True, text=True, check=True, timeout=20
    )
    return done.stdout


_SERVER = """\
import sys, http.server
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(sys.argv[2].encode())
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Answer)
print("listening", flush=True)
server.serve_forever()
"""


def inspected(servers: Sequence[tuple[int, str]], *others: str) -> MissingRequirements:
    """Return the script's report on the monitoring host, in a separate network in which `servers` answer."""
    started = [
        f'coproc {{ exec python3 -c {shlex.quote(_SERVER)} {port} {shlex.quote(answer)}; }}; read -r <&"${{COPROC[0]}}"'
        for port, answer in servers
    ]
    lines = ["ip link set lo up", *started, f"bash {SCRIPT} inspect root 1 500 {shlex.join(others)}", "kill $(jobs -p)"]
    done = subprocess.run(
        ["unshare", "--net", "bash", "-c", "\n".join(lines)], capture_output=True, text=True, timeout=30, check=False
    )
    return parse(done.stdout)


EXPORTER = (9100, 'node_cpu_seconds_total{cpu="0"} 1')


@pytest.mark.integration
def test_running_services_are_used_and_foreign_ones_are_not_changed() -> None:
    assert inspected([]).services
    assert inspected([]).problems == ()
    assert inspected([EXPORTER], "127.0.0.1", "127.0.0.2").problems == ()  # the latter refuses
    (lost,) = inspected([EXPORTER], "127.0.0.1", "192.0.2.1").problems
    assert "it cannot reach 1 of 2 other hosts (192.0.2.1) on port 9100" in lost
    (foreign,) = inspected([(9100, "hello")]).problems
    assert "port 9100 is in use by something other than a node exporter" in foreign
    (other,) = inspected([EXPORTER, (9090, '{"data": {"yaml": "scrape_configs: []"}}')]).problems
    assert "port 9090 is in use by something other than a Prometheus for testbeds" in other
    own = "job_name: testbed\\n file_sd_configs:\\n - files: [/etc/prometheus/targets/*.json]"
    assert inspected([EXPORTER, (9090, f'{{"data": {{"yaml": "{own}"}}}}')]).problems == ()
    assert inspected([EXPORTER, (9090, f'{{"data": {{"yaml": "{own} job_name: node"}}}}')]).problems == (other,)
