"""Instances that an interrupted update has left are found, shown by an update, and removed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pulumi
import pytest
from factories.command_line import fake_pulumi
from fakes.cloud_mocks import OPERATOR, Cloud, args_of, declare
from fakes.emulated_account import SECRET, Account, IdleAws, idle_aws

from benchmark.errors import InfrastructureError
from benchmark.settings import Settings
from stacks.aws import strays
from stacks.aws.region import AwsRegion


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IdleAws]:
    with idle_aws(tmp_path_factory.mktemp("aws")) as made:
        yield made


def settings(**fields: Any) -> Settings:
    given = {"testbed_id": "bed", "cloud_provider": "aws", "regions": ["us-east-1"], "specs": "m5d.large"}
    return Settings.model_validate({**given, "operator_cidrs": [OPERATOR], **fields})


def launch(account: Account, name: str, testbed: str = "bed") -> str:
    return account.launch(tags={"Name": name, "testbed_id": testbed})


def test_instances_with_the_tag_are_found_and_removed(aws: IdleAws) -> None:
    account = Account(aws, "found")
    one, other, gone = launch(account, "bed-0"), launch(account, "bed2-0", "bed2"), launch(account, "bed-1")
    aws.terminate(gone)
    (stray,) = strays.find(settings())
    assert (stray.id, stray.name, stray.region) == (one, "bed-0", "us-east-1")
    assert strays.find(settings(regions=["eu-west-1"])) == []
    strays.remove(settings(), stray)
    assert strays.find(settings()) == []
    assert [found.id for found in strays.find(settings(testbed_id="bed2"))] == [other]


def test_the_credentials_file_of_the_settings_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "keys"
    file.write_text(f"[default]\naws_access_key_id = AKIAF1LE\naws_secret_access_key = {SECRET}\n")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA0LD")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "stale")
    client = strays._ec2(settings(token_file=file), "us-east-1")
    assert client._request_signer._credentials.access_key == "AKIAF1LE"


def test_an_error_of_aws_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    with pytest.raises(InfrastructureError, match="AWS did not list the instances in us-east-1: Unable to locate"):
        strays.find(settings())


@pytest.mark.parametrize(("in_state", "warned"), [([], True), (["i-left"], False)], ids=["stray", "being replaced"])
def test_an_update_warns_about_instances_that_are_not_in_the_state(
    in_state: list[str], warned: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    state = {"deployment": {"resources": [{"id": identity} for identity in in_state]}}
    fake_pulumi(tmp_path, monkeypatch, {"export": json.dumps(state)})

    def program() -> pulumi.Output[Any]:
        return pulumi.Output.all(*AwsRegion("us-east-1", args_of(settings(instances=2))).hosts)

    declare(program, Cloud(addresses={"i-left": "203.0.113.9"}))
    assert ("AWS: i-left in us-east-1 have the tag of this testbed" in caplog.text) is warned
    assert "python -m stacks.strays" in caplog.text or not warned
