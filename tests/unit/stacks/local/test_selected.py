"""Whether a `pulumi` command is about local hosts, with a stand-in for `pulumi` that prints configurations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from paths import ROOT

from stacks.local.selected import has_local_hosts

CONFIG = {"geobench:settings": {"value": str(ROOT / "assets/settings.local.yaml"), "secret": False}}
CLOUD = CONFIG | {"geobench:cloud_provider": {"value": "vultr"}, "geobench:regions": {"value": '["ewr"]'}}


@pytest.fixture(autouse=True)
def pulumi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin/pulumi"
    program.parent.mkdir()
    program.write_text(f"""#!/bin/sh
case "$*" in
*"--stack cloud") cat {tmp_path}/cloud ;;
*"--stack "*) exit 255 ;;
*) cat {tmp_path}/selected ;;
esac
""")
    program.chmod(0o755)
    (tmp_path / "selected").write_text(json.dumps(CONFIG))
    (tmp_path / "cloud").write_text(json.dumps(CLOUD))
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")


@pytest.mark.parametrize(
    ("arguments", "local"),
    [
        ("up --yes", True),
        ("up --stack cloud", False),
        ("--stack=cloud destroy", False),
        ("preview -s cloud --diff", False),
        ("up --stack absent", False),
    ],
)
def test_the_stack_of_the_command_counts(arguments: str, local: bool, tmp_path: Path) -> None:
    assert has_local_hosts(arguments.split(), tmp_path) == local


def test_settings_that_cannot_be_read_are_left_to_pulumi(tmp_path: Path) -> None:
    for text in ("", "{}", json.dumps({"geobench:settings": {"value": "absent.yaml"}})):
        (tmp_path / "selected").write_text(text)
        assert not has_local_hosts(["up"], tmp_path)
