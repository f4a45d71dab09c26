"""Cloud hosts that a stack does not know: found, shown, and removed only if they are such."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from factories.command_line import fake_pulumi
from fakes.vultr_account import TOKEN, IdleVultr, idle_vultr

from benchmark.errors import InfrastructureError
from stacks import strays
from stacks.strays import Stray, known_ids


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[IdleVultr]:
    """An account with three servers of testbed bed, the first of which its stack knows, and one of another testbed."""
    with idle_vultr() as vultr:
        for name, tag in (("bed-0", "bed"), ("bed-1", "bed"), ("bed2-0", "bed2")):
            add(vultr, "Instance", name, tag)
        add(vultr, "BareMetalServer", "bed-2", "bed")
        monkeypatch.setenv("VULTR_API_URL", vultr.url)
        monkeypatch.setenv("HOME", str(tmp_path))
        (tmp_path / ".vultr").write_text(TOKEN)
        (tmp_path / "s.yaml").write_text("testbed_id: bed\ncloud_provider: vultr\nregions: [ewr]\nspecs: vc2-1c-1gb\n")
        (tmp_path / "Pulumi.some.yaml").write_text("config:\n  geobench:settings: s.yaml\n")
        monkeypatch.chdir(tmp_path)
        known = [{"urn": "a", "id": identity} for identity, one in vultr.machines.items() if one.name == "bed-0"]
        fake_pulumi(tmp_path, monkeypatch, {"--show-name": "some", "export": state([{"urn": "stack"}, *known])})
        yield vultr


def state(resources: list[dict[str, str]]) -> str:
    return json.dumps({"version": 3, "deployment": {"resources": resources}})


def add(vultr: IdleVultr, kind: str, name: str, testbed: str) -> None:
    plan = "vc2-1c-1gb" if kind == "Instance" else "vbm-4c-32gb"
    tags = [f"testbed_id={testbed}", "owner=ada"]
    inputs = {"plan": plan, "region": "ewr", "label": name, "userData": "", "tags": tags}
    vultr.boot(vultr.add(kind, inputs), inputs)


def names(vultr: IdleVultr) -> set[str]:
    return {machine.name for machine in vultr.machines.values()}


def found(capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    assert strays.main(["--json"]) == 0
    parsed: list[dict[str, str]] = json.loads(capsys.readouterr().out)
    return parsed


def test_hosts_with_the_tag_that_the_state_does_not_have_are_listed(
    account: IdleVultr, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = found(capsys)
    assert (one["name"], two["name"]) == ("bed-1", "bed-2")
    assert one["text"] == f"vultr {one['id']} (bed-1, ewr, {one['address']})"
    assert strays.main([]) == 0
    assert capsys.readouterr().out.splitlines() == [one["text"], two["text"]]


def test_strays_are_removed_by_their_ids(account: IdleVultr, capsys: pytest.CaptureFixture[str]) -> None:
    listed = found(capsys)
    assert strays.main(["--remove", *(one["id"] for one in listed)]) == 0
    assert capsys.readouterr().out.splitlines() == [f"removed {one['text']}" for one in listed]
    assert names(account) == {"bed-0", "bed2-0"}
    assert found(capsys) == []
    assert strays.main([]) == 0
    assert capsys.readouterr().out == "none\n"


@pytest.mark.parametrize("name", ["bed-0", "bed2-0"])
def test_a_host_of_the_stack_or_of_another_testbed_is_not_removed(
    account: IdleVultr, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (kept,) = [identity for identity, one in account.machines.items() if one.name == name]
    stray = found(capsys)[0]["id"]
    assert strays.main(["--remove", stray, kept]) == 2
    assert f"error: {kept}: no host of testbed bed that its stack does not know; found " in capsys.readouterr().err
    assert len(account.machines) == 4


def test_a_rejected_token_is_one_line(account: IdleVultr, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / ".vultr").write_text("hidden")
    assert strays.main(["--json"]) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: Vultr: GET /instances?per_page=500: 401 Invalid API token; check the token in ")
    assert "hidden" not in line


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"deployment": null}', '{"deployment": {"resources": 7}}'])
def test_a_state_that_is_none_is_an_error(text: str) -> None:
    with pytest.raises(InfrastructureError, match="printed no state"):
        known_ids(text)


def test_an_empty_state_knows_nothing() -> None:
    assert known_ids('{"deployment": {}}') == known_ids('{"deployment": {"resources": null}}') == set()


def test_names_cannot_control_the_terminal() -> None:
    assert str(Stray("vultr", "id", "a\x1b]52;c;x\x07b\n", "ewr", "")) == "vultr id (a]52;c;xb, ewr)"
