"""Arguments and checks that all clouds share."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict

import pulumi
import pytest
from fakes.cloud_mocks import OPERATOR, args_of, declare

from benchmark.errors import SettingsError
from benchmark.settings import Settings
from stacks.cloud.region_args import (
    check_operators,
    credentials_file,
    look_up,
    look_up_price,
    provider_reason,
    spec_of,
    total_cost,
)
from stacks.cloud.region_args import testbed_tags as cloud_tags


class Product(TypedDict):
    result: str


PRODUCT = "aws:pricing/getProduct:getProduct"


def settings(**fields: Any) -> Settings:
    given = {"cloud_provider": "aws", "regions": ["eu-west-1"], "specs": "m5d.2xlarge", "operator_cidrs": [OPERATOR]}
    return Settings.model_validate({**given, **fields})


def test_hosts_are_named_after_their_region_and_the_first_is_the_monitoring_host() -> None:
    declared = declare(lambda: [(host.name, host.role) for host in args_of(settings(instances=3)).hosts])
    assert declared.value == [
        ("eu-west-1-0", "monitoring"),
        ("eu-west-1-1", "instance"),
        ("eu-west-1-2", "instance"),
    ]
    without = declare(lambda: [host.role for host in args_of(settings(instances=2), monitoring=False).hosts])
    assert without.value == ["instance", "instance"]


def test_a_hosts_user_data_contains_its_own_key_and_is_a_secret() -> None:
    def program() -> pulumi.Output[Any]:
        first, second = args_of(settings(instances=2)).hosts
        secret = pulumi.Output.from_input(first.user_data.is_secret())
        return pulumi.Output.all(secret, first.user_data, second.user_data)

    secret, first, second = declare(program).value
    assert secret is True
    assert "PRIVATE-eu-west-1-0-host-key" in first
    assert "PRIVATE-eu-west-1-0-host-key" not in second
    assert len(first) > 1.3 * len(second), "the monitoring host has more files"


def test_without_operators_the_error_names_the_command_that_shows_the_address() -> None:
    with pytest.raises(SettingsError, match=r"operator_cidrs: found none.*`curl https://checkip\.amazonaws\.com`"):
        declare(lambda: args_of(settings(operator_cidrs=[])))


def test_operators_without_an_ipv4_network_are_rejected() -> None:
    with pytest.raises(SettingsError, match=r"found 2001:db8::/48, expected at least one IPv4 network, as hosts"):
        declare(lambda: args_of(settings(operator_cidrs=["2001:db8::/48"])))


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0"])
def test_the_whole_internet_is_allowed_with_a_warning(network: str, caplog: pytest.LogCaptureFixture) -> None:
    declare(lambda: check_operators(settings(operator_cidrs=[OPERATOR, network])))
    assert f"{network} allows the whole internet to reach the hosts' SSH" in caplog.text


def test_each_cloud_has_its_own_instance_type() -> None:
    both = settings(specs={"aws": "m5d.large", "vultr": "vc2-2c-4gb"})
    assert (spec_of(both, "aws"), spec_of(both, "vultr")) == ("m5d.large", "vc2-2c-4gb")
    assert spec_of(settings(), "vultr") == "m5d.2xlarge"
    with pytest.raises(SettingsError, match=r"found none for vultr.*such as vc2-4c-8gb"):
        spec_of(settings(specs={"aws": "m5d.large"}), "vultr")


def test_a_token_file_belongs_to_the_cloud_provider_of_the_settings(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("T0KEN")
    both = settings(cloud_provider="vultr", token_file=file)
    assert credentials_file(both, "vultr") == file
    assert credentials_file(both, "aws") is None
    with pytest.raises(SettingsError, match=r"does not exist; write the credentials of vultr.*use ~/\.vultr"):
        credentials_file(settings(cloud_provider="vultr", token_file=tmp_path / "none"), "vultr")


def test_a_sum_with_an_unknown_price_is_unknown() -> None:
    sums = declare(lambda: pulumi.Output.all(total_cost([0.1, 0.2]), total_cost([0.1, None]), total_cost([]))).value
    assert sums == [0.3, None, 0.0]


def query(instance_type: str) -> dict[str, Any]:
    """Return a query of the price list."""
    return {"filters": [{"field": "instanceType", "value": instance_type}], "serviceCode": "AmazonEC2"}


def test_a_price_that_is_not_listed_is_unknown_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    def program() -> pulumi.Output[Any]:
        none = pulumi.InvokeOptions()
        known, unknown = (
            look_up_price(Product, PRODUCT, query(kind), none, f"a {kind}") for kind in ("m6g.large", "m7.huge")
        )
        return pulumi.Output.all(known, unknown)

    known, unknown = declare(program).value
    assert "USD" in known["result"]
    assert unknown is None
    assert "the price of a m7.huge is unknown: " in caplog.text
    assert caplog.text.count("Returned 0 elements") == 1


def test_a_failed_query_ends_the_program_with_a_remedy() -> None:
    with pytest.raises(pulumi.RunError, match=r"^no type: .*Returned 0 elements.*; look it up$"):
        declare(lambda: look_up(Product, PRODUCT, query("m7.huge"), pulumi.InvokeOptions(), "no type", "look it up"))
    found = declare(
        lambda: look_up(Product, PRODUCT, query("m6g.large"), pulumi.InvokeOptions(), "no type", "look it up")
    )
    assert "USD" in found.value["result"]


def test_owner_tags_name_the_testbed_and_its_expiry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ada")
    assert cloud_tags(settings(testbed_id="bed"), "2030-01-01") == {
        "testbed_id": "bed",
        "owner": "ada",
        "expiry": "2030-01-01",
    }


CALL = "invoke of vultr:index/getPlan:getPlan failed: invocation of vultr:index/getPlan:getPlan returned an error: "


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            f"{CALL}invoking vultr:index/getPlan:getPlan: 1 error occurred:\n\t* no results were found\n\n",
            "no results were found",
        ),
        (
            f"{CALL}invoking a:b/c:d: 2 errors occurred:\n\t* one\n\t* two,\n\t  in two lines\n\n",
            "one; two, in two lines",
        ),
        (f"{CALL}no results were found", "no results were found"),
        ("connection lost", "connection lost"),
    ],
)
def test_only_the_reason_of_a_provider_error_is_shown(text: str, reason: str) -> None:
    assert provider_reason(text) == reason
