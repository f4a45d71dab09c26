"""Protocols are found by name: those that come with the runner, and those that installed packages add."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from factories.hosts import inventory

from benchmark.errors import UsageError
from benchmark.protocols.process import Plan, Process
from benchmark.protocols.registry import find_protocol, known_protocols

MODULE = """\
from benchmark.protocols.etcd import Etcd

class Mine(Etcd):
    name = "mine"

nothing = 3
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Make a package as pip leaves it, with one entry point."""
    (folder / "mine_protocol.py").write_text(MODULE)
    info = folder / "mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[geobench.protocols]\nmine = {value}\n")
    monkeypatch.syspath_prepend(folder)


def test_those_that_come_with_the_runner() -> None:
    assert {"etcd", "mysticeti", "remora"} <= set(known_protocols())


def test_an_installed_package_adds_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "mine_protocol:Mine")
    found = find_protocol("mine")
    assert (found.name, found.__module__) == ("mine", "mine_protocol")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("mine_protocol:Yours", "mine, entry point mine = mine_protocol:Yours: .*no attribute 'Yours'"),
        ("nowhere:Mine", "No module named 'nowhere'"),
        ("mine_protocol:nothing", "found 3, expected a subclass of benchmark.protocols.Protocol"),
    ],
)
def test_a_broken_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, message: str) -> None:
    install(tmp_path, monkeypatch, value)
    with pytest.raises(UsageError, match=message):
        find_protocol("mine")


def test_an_unknown_name_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"no protocol named 'raft'; known are: etcd, .*remora, or a file FILE\.yaml"):
        find_protocol("raft")


def test_scripts_quote_what_they_are_given(tmp_path: Path) -> None:
    (host,) = inventory(a=1).hosts
    words = ("printf", "%s|", "a b", "$HOME", "it's")
    process = Process("node-0", "node", host, words, environment={"A": "x y"}, prepare=("bash", "-c", 'echo "$A"'))

    def run(script: str) -> str:
        return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout

    assert run(process.script()) == "a b|$HOME|it's|"
    assert run(process.prepare_script()) == "x y\n"
    assert Process("node-0", "node", host, words).prepare_script() == ""


def test_what_is_offered_is_the_sum_of_the_shares() -> None:
    hosts = inventory(a=3).hosts
    assert Plan(hosts, hosts, 205, (70, 70, 60)).offered == 200
