"""The command that writes a settings file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from factories.command_line import call
from paths import ROOT

from benchmark.orchestrator.check_files import check_file
from benchmark.settings import load_settings

Captured = pytest.CaptureFixture[str]
AWS = ("--provider", "aws", "--regions", "us-east-1,eu-west-1", "--instances", "3", "--protocol", "etcd")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SSH_CLIENT", raising=False)


def test_defaults_are_a_valid_local_testbed(capsys: Captured) -> None:
    assert call("init", "--yes") == 0
    out = capsys.readouterr().out
    assert out.startswith("wrote my-settings.yaml and settings.schema.json; next:\n")
    assert "geobench run --loads 200" in out
    assert check_file(Path("my-settings.yaml")).problems == ()
    found = load_settings(Path("my-settings.yaml"))
    assert found.regions == ("us-east-1", "eu-west-1", "ap-northeast-1")
    assert (found.testbed_id, found.instances, found.protocol) == ("my-settings", 4, "etcd")


def test_editors_find_the_schema_beside_the_file() -> None:
    assert call("init", "--yes", "some/folder/s.yaml") == 0
    first = Path("some/folder/s.yaml").read_text().splitlines()[0]
    named = first.removeprefix("# yaml-language-server: $schema=")
    published = json.loads((ROOT / "assets" / "settings.schema.json").read_text(encoding="utf-8"))
    assert json.loads(Path("some/folder", named).read_text(encoding="utf-8")) == published


def test_options_answer_the_questions(capsys: Captured) -> None:
    assert call("init", "aws.yaml", *AWS, "--operator-cidr", "203.0.113.7", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"settings": "aws.yaml", "schema": "settings.schema.json"}
    found = load_settings(Path("aws.yaml"))
    assert (found.cloud_provider, found.regions, found.instances) == ("aws", ("us-east-1", "eu-west-1"), 3)
    assert found.operator_cidrs == ("203.0.113.7/32",)
    assert check_file(Path("aws.yaml")).problems == ()


def test_machines_need_only_their_host_keys() -> None:
    words = ("--provider", "machines", "--machines", "no=192.0.2.10,boston=198.51.100.7", "--yes")
    assert call("init", "m.yaml", *words) == 0
    assert load_settings(Path("m.yaml")).machines[0].region == "no"
    assert {each.message.partition(";")[0] for each in check_file(Path("m.yaml")).problems} == {
        "machines.0: host_key is missing", "machines.1: host_key is missing",
    }  # fmt: skip


def test_files_that_exist_are_kept_without_force(capsys: Captured) -> None:
    Path("s.yaml").write_text("mine")
    assert call("init", "--yes", "s.yaml") == 2
    assert "s.yaml exists; choose another name, or replace it with --force" in capsys.readouterr().err
    assert Path("s.yaml").read_text() == "mine"
    Path("settings.schema.json").write_text("{}")
    assert call("init", "--yes", "other.yaml") == 2
    assert "settings.schema.json exists and is another one" in capsys.readouterr().err
    assert not Path("other.yaml").exists()
    assert call("init", "--yes", "--force", "s.yaml") == 0
    assert load_settings(Path("s.yaml")).testbed_id == "s"
    assert call("init", "--yes", "other.yaml") == 0, "the schema is the same"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "no terminal to ask on: pass --regions, --instances, --protocol, --load, or --yes for the defaults"),
        (AWS, "no terminal to ask on: pass --operator-cidr, or --yes for the defaults"),
        ((*AWS, "--yes"), "--operator-cidr has no default: pass it"),
        (("--provider", "gcp", "--yes"), "--provider: found 'gcp', expected local, aws, vultr, machines"),
        (
            ("--regions", "us-east-1,eu-wets-1", "--yes"),
            "--regions: unknown region 'eu-wets-1'; did you mean eu-west-1",
        ),
        (("--regions", "a,a", "--yes"), "--regions: unknown region 'a'"),
        (("--regions", "us-east-1,us-east-1", "--yes"), "expected different regions"),
        (("--provider", "vultr", "--regions", "us-east-1", "--yes"), "--regions: unknown region 'us-east-1'"),
        (("--instances", "0", "--yes"), "--instances: found '0', expected a whole number from 1 to 1000"),
        (("--protocol", "etdc", "--yes"), "--protocol: found 'etdc', expected etcd, mysticeti, remora or FILE.yaml"),
        (("--load", "100,200", "--yes"), "--load: found '100,200', expected one load"),
        (("--operator-cidr", "203.0.113.7", "--yes"), "--operator-cidr: not used with provider local; leave it out"),
        ((*AWS, "--operator-cidr", "203.0.113.7/24"), "--operator-cidr: 203.0.113.7/24 has host bits set"),
        (("--provider", "machines", "--machines", "192.0.2.1", "--yes"), "expected REGION=ADDRESS"),
        (("--regions", "us-east-1", "--instances", "1", "--yes"), "the answers do not make a testbed: need 2 hosts"),
        (("--protocol", "none.yaml", "--yes"), "the answers do not make a testbed: cannot read none.yaml"),
    ],
)
def test_wrong_or_missing_answers_are_explained_and_write_nothing(
    words: tuple[str, ...], message: str, capsys: Captured
) -> None:
    assert call("init", *words) == 2
    assert message in capsys.readouterr().err
    assert list(Path.cwd().iterdir()) == []


def test_five_questions_are_asked_on_a_terminal_until_each_is_answered() -> None:
    controller, terminal = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmark", "init", "s.yaml"],
        stdin=terminal, stdout=terminal, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    os.close(terminal)
    try:
        os.write(controller, b"\nus-east-1, mars-1\nus-east-1,eu-west-1\n2\n\n300\n")
        _, asked = process.communicate(timeout=60)
        assert process.returncode == 0, asked
    finally:
        process.kill()
        process.communicate()
        os.close(controller)
    questions = ("Provider (", "Regions, ", "Hosts per region", "System under test (", "First load to try")
    assert [asked.count(question) for question in questions] == [1, 2, 1, 1, 1]
    assert "unknown region 'mars-1'" in asked
    found = load_settings(Path("s.yaml"))
    assert (found.cloud_provider, found.regions, found.instances) == ("local", ("us-east-1", "eu-west-1"), 2)
