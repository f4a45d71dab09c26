"""Protocols are found by name: built in, declared by an installed package, or in a file."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from factories.hosts import inventory
from factories.plugin import install_plugin

from benchmark.errors import UsageError
from benchmark.protocols.process import Plan, Process
from benchmark.protocols.registry import find_protocol, protocol_names

WORKING = """\
from benchmark.protocols.etcd import Etcd

class Mine(Etcd):
    name = "mine"
"""


def test_built_in_protocols_are_known() -> None:
    assert {"etcd", "mysticeti", "remora"} <= set(protocol_names())


def test_installed_package_adds_a_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_plugin(tmp_path, WORKING)
    monkeypatch.syspath_prepend(tmp_path)
    assert "mine" in protocol_names()
    assert "mine_protocol" not in sys.modules
    found = find_protocol("mine")
    assert (found.name, found.__module__) == ("mine", "mine_protocol")
    del sys.modules["mine_protocol"]


@pytest.mark.parametrize(
    ("module", "cause"),
    [
        ("import nowhere", "ModuleNotFoundError: No module named 'nowhere'"),
        ("class Yours: pass", "AttributeError: module 'mine_protocol' has no attribute 'Mine'"),
        ("class Mine(", r"SyntaxError: .*mine_protocol\.py, line 1"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import sys; sys.exit('bye')", "SystemExit: bye"),
        ("Mine = 3", r"found 3, expected a subclass of benchmark\.protocols\.base\.Protocol"),
        ("class Mine: pass", "found <class 'mine_protocol.Mine'>, expected a subclass of"),
        (
            "from benchmark.protocols.base import Protocol\nclass Mine(Protocol): name = 'mine'",
            "Mine does not define summary, clients, nodes, tolerated_faults",
        ),
    ],
)
def test_broken_plugin_is_an_error_only_when_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, cause: str
) -> None:
    install_plugin(tmp_path, module)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine_protocol", raising=False)
    assert {"etcd", "mine"} <= set(protocol_names())
    assert find_protocol("etcd").name == "etcd"
    message = f"package mine, entry point mine = mine_protocol:Mine: {cause}.*; repair or uninstall the package"
    with pytest.raises(UsageError, match=message):
        find_protocol("mine")


def test_entry_point_without_an_object_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_plugin(tmp_path, "", value="not a reference")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match="package mine, entry point mine = not a reference: "):
        find_protocol("mine")


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"no protocol named 'raft'; known are: etcd, .*remora, or a file FILE\.yaml"):
        find_protocol("raft")


def test_scripts_quote_words(tmp_path: Path) -> None:
    (host,) = inventory(a=1).hosts
    words = ("printf", "%s|", "a b", "$HOME", "it's")
    process = Process("node-0", "node", host, words, environment={"A": "x y"}, prepare=("bash", "-c", 'echo "$A"'))

    def run(script: str) -> str:
        return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout

    assert run(process.script()) == "a b|$HOME|it's|"
    assert run(process.prepare_script()) == "x y\n"
    assert Process("node-0", "node", host, words).prepare_script() == ""


def as_user(folder: Path, user: str, monkeypatch: pytest.MonkeyPatch) -> subprocess.CompletedProcess[str]:
    words = ("bash", "-c", 'echo "$(id -un) $HOME $(stat -c %U .) $A"; touch written')
    process = Process("node-0", "node", inventory(a=1).hosts[0], words, environment={"A": "x y"}, user=user)
    monkeypatch.chdir(folder)
    return subprocess.run(["bash", "-c", process.script()], capture_output=True, text=True, check=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the user")
def test_a_process_runs_as_its_user_where_the_login_is_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        assert as_user(Path(folder), "nobody", monkeypatch).stdout == "nobody /nonexistent nobody x y\n"
        assert Path(folder, "written").owner() == "nobody"
        done = as_user(Path(folder), "nosuchuser", monkeypatch)
        assert (done.returncode, done.stderr) == (1, "cannot run as nosuchuser: this host has no such user\n")
        outer = Path(folder, "closed")
        (outer / "inner").mkdir(parents=True)
        outer.chmod(0o700)
        done = as_user(outer / "inner", "nobody", monkeypatch)
    assert done.returncode == 1
    assert re.search(r"cannot run as nobody: it cannot reach /\S+inner; set working_dir to /srv/geobench", done.stderr)


def test_scheduled_load_is_the_sum_of_the_shares() -> None:
    hosts = inventory(a=3).hosts
    assert Plan(hosts, hosts, 205, (70, 70, 60)).scheduled_tps == 200
