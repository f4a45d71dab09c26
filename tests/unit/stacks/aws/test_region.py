"""Resources that an AWS region declares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pulumi
import pytest
from fakes.cloud_mocks import OPERATOR, OPERATOR_KEY, Cloud, Declared, args_of, declare
from pulumi.runtime.mocks import MockCallArgs, MockMonitor

import stacks
from benchmark.errors import SettingsError
from benchmark.settings import Settings
from stacks.aws.region import AwsRegion, importable, provider


def settings(**fields: Any) -> Settings:
    """Return settings for two hosts in eu-west-1, changed by `fields`."""
    given = {
        "testbed_id": "bed",
        "cloud_provider": "aws",
        "regions": ["eu-west-1"],
        "specs": "m5d.2xlarge",
        "instances": 2,
        "operator_cidrs": [OPERATOR],
    }
    return Settings.model_validate({**given, **fields})


def region(wanted: Settings, cloud: Cloud | None = None, **args: Any) -> Declared:
    """Declare the region, and allow inbound traffic from its hosts and two peers of other regions."""

    def program() -> pulumi.Output[Any]:
        made = AwsRegion("eu-west-1", args_of(wanted, **args))
        own = {f"h{n}": host.apply(lambda found: found.address) for n, host in enumerate(made.hosts)}
        made.authorize_ingress({**own, "away": "192.0.2.1", "stopped": ""})
        return pulumi.Output.all(hosts=pulumi.Output.all(*made.hosts), cost=made.hourly_cost_usd)

    return declare(program, cloud)


def test_a_region_is_a_network_with_a_firewall_and_instances() -> None:
    kinds: dict[str, int] = {}
    for resource in region(settings()).resources:
        kind = resource.typ.rpartition(":")[2]
        kinds[kind] = kinds.get(kind, 0) + 1
    assert kinds == {
        "Region": 1,
        "Vpc": 1,
        "InternetGateway": 1,
        "DefaultRouteTable": 1,
        "Subnet": 3,  # in each zone that offers the type
        "SecurityGroup": 2,  # the operators and the peers
        "SecurityGroupEgressRule": 1,
        "SecurityGroupIngressRule": 2,
        "ManagedPrefixList": 1,
        "KeyPair": 1,
        "Instance": 2,
        "InstanceState": 2,
        "SshKey": 2,
    }


def test_every_resource_and_query_names_its_region() -> None:
    declared = region(settings())
    of_aws = [resource for resource in declared.resources if resource.typ.startswith("aws:")]
    assert {resource.inputs["region"] for resource in of_aws} == {"eu-west-1"}
    regional = [call for call in declared.calls if "pricing" not in call.token]
    assert {call.args["region"] for call in regional} == {"eu-west-1"}


def test_instances_are_spread_over_the_zones_that_offer_the_type() -> None:
    declared = region(settings(instances=5))
    assert [subnet["availabilityZone"] for subnet in declared.of_type("Subnet").values()] == [
        "eu-west-1a",
        "eu-west-1b",
        "eu-west-1c",
    ]  # neither e, which does not offer it, nor a local zone
    placed = [instance["subnetId"].removesuffix("-id")[-1] for instance in declared.of_type("Instance").values()]
    assert placed == ["a", "b", "c", "a", "b"]


def test_more_instances_do_not_move_existing_ones() -> None:
    few, many = (region(settings(instances=count)).of_type("Instance") for count in (2, 6))
    assert {name: many[name]["subnetId"] for name in few} == {name: few[name]["subnetId"] for name in few}


@pytest.mark.parametrize("instances", [1, 2, 6])
def test_a_new_zone_does_not_change_existing_subnets(instances: int) -> None:
    wanted = settings(instances=instances)
    before, after = (region(wanted, Cloud(zones=zones)).of_type("Subnet") for zones in ("bc", "abcd"))
    assert {name: after.get(name) for name in before} == before
    assert [name[-1] for name in after] == ["a", "b", "c", "d"]


def test_subnets_do_not_overlap_and_send_traffic_to_the_gateway() -> None:
    declared = region(settings(instances=3))
    blocks = [subnet["cidrBlock"] for subnet in declared.of_type("Subnet").values()]
    assert blocks == ["10.0.0.0/20", "10.0.16.0/20", "10.0.32.0/20"]
    assert all(subnet["mapPublicIpOnLaunch"] for subnet in declared.of_type("Subnet").values())
    (table,) = declared.of_type("DefaultRouteTable").values()
    assert table["routes"] == [{"cidrBlock": "0.0.0.0/0", "gatewayId": "eu-west-1-gateway-id"}]


def test_an_instance_follows_the_settings() -> None:
    instance = region(settings(disk_gb=64)).of_type("Instance")["eu-west-1-1"]
    assert instance["ami"] == "ami of ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-* in eu-west-1"
    assert instance["instanceType"] == "m5d.2xlarge"
    assert instance["instanceInitiatedShutdownBehavior"] == "terminate"
    assert instance["metadataOptions"]["httpTokens"] == "required"
    assert "instanceMarketOptions" not in instance
    disk = instance["rootBlockDevice"]
    assert (disk["volumeType"], disk["volumeSize"], disk["deleteOnTermination"]) == ("gp3", 64, True)
    assert "ssh-ed25519 AAAAeu-west-1-1-host-key" in instance["userData"]["value"]


@pytest.fixture
def registering(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Return a function that declares a region and returns the registration requests by name, with their options."""
    requests: dict[str, Any] = {}
    register = MockMonitor.RegisterResource

    def noted(monitor: MockMonitor, request: Any) -> Any:
        requests[request.name] = request
        return register(monitor, request)

    def declared(*, monitoring: bool = True, **fields: Any) -> dict[str, Any]:
        requests.clear()
        region(settings(**fields), monitoring=monitoring)
        return dict(requests)

    monkeypatch.setattr(MockMonitor, "RegisterResource", noted)
    return declared


@pytest.fixture
def registered(registering: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """Return the registration requests for the default settings."""
    return registering()


def test_a_new_image_zone_or_operator_key_replaces_no_host(registered: dict[str, Any]) -> None:
    # A key pair whose text changes, even its comment, is replaced under another name.
    assert set(registered["eu-west-1-1"].ignoreChanges) == {"ami", "userData", "subnetId", "keyName"}
    # A stopped instance has no public address: if requested, a refresh would report it missing.
    assert "associatePublicIpAddress" not in registered["eu-west-1-1"].object


def replaced(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return the hosts whose replacement trigger changed."""
    hosts = [name for name in before if before[name].type == "aws:ec2/instance:Instance"]
    return sorted(name for name in hosts if before[name].replacement_trigger != after[name].replacement_trigger)


def test_a_change_of_role_or_market_replaces_hosts(registering: Callable[..., dict[str, Any]]) -> None:
    before = registering()
    # Prometheus is installed at the first boot; https://github.com/hashicorp/terraform-provider-aws/issues/38141
    assert replaced(before, registering(monitoring=False)) == ["eu-west-1-0"]
    assert replaced(registering(spot=True), before) == ["eu-west-1-0", "eu-west-1-1"]
    others: dict[str, Any] = {"specs": "m5d.large", "instances": 3, "disk_gb": 200, "time_to_live": "1h"}
    for field, value in others.items():
        assert replaced(before, registering(**{field: value})) == [], field


def test_another_instance_type_replaces_the_state_resource(registered: dict[str, Any]) -> None:
    # The provider starts an instance whose type it changed. https://github.com/hashicorp/terraform-provider-aws,
    # internal/service/ec2/ec2_instance.go: modifyInstanceAttributeWithStopStart
    assert registered["eu-west-1-1-state"].replacement_trigger.string_value == "m5d.2xlarge"


def test_a_host_is_created_after_its_route_to_the_internet(registered: dict[str, Any]) -> None:
    before = {urn.rpartition("::")[2] for urn in registered["eu-west-1-1"].dependencies}
    assert {"eu-west-1-routes", "eu-west-1-egress"} <= before


def test_a_host_depends_on_every_subnet_as_it_may_be_in_any(registered: dict[str, Any]) -> None:
    after = {urn.rpartition("::")[2] for urn in registered["eu-west-1-1"].dependencies}
    assert {f"eu-west-1-subnet-{letter}" for letter in "abc"} <= after


def test_an_arm_type_gets_an_arm_image() -> None:
    instance = region(settings(specs="m6g.large")).of_type("Instance")["eu-west-1-0"]
    assert "noble-24.04-arm64-server" in instance["ami"]


class Burstable(Cloud):
    """A cloud that has types whose processors run at full speed on credit only."""

    def _instance_type(self, args: dict[str, Any]) -> dict[str, Any]:
        return {**super()._instance_type(args), "burstablePerformanceSupported": args["instanceType"].startswith("t")}


@pytest.mark.parametrize(("specs", "warnings"), [("t3.xlarge", 1), ("m5d.2xlarge", 0)])
def test_burstable_processors_cause_one_warning(specs: str, warnings: int, caplog: pytest.LogCaptureFixture) -> None:
    wanted = settings(specs=specs, regions=["vultr:ewr", "eu-west-1", "us-east-1"])

    def program() -> pulumi.Output[Any]:
        args = args_of(wanted)
        made = [AwsRegion(name, replace(args, region=name)) for name in ("eu-west-1", "us-east-1")]
        return pulumi.Output.all(*(host for each in made for host in each.hosts))

    declare(program, Burstable())
    assert caplog.text.count(f"specs: {specs} has burstable processors") == warnings


def test_every_resource_that_takes_tags_has_owner_and_expiry() -> None:
    without = {"Region", "InstanceState", "SshKey"}
    for resource in region(settings()).resources:
        if resource.typ.rpartition(":")[2] not in without:
            tags = resource.inputs["tags"]
            assert (tags["testbed_id"], tags["owner"], tags["expiry"][:4]) == ("bed", "ada", "2030"), resource.name
            assert tags["Name"].startswith("bed-"), resource.name


def test_operators_reach_ssh_and_peers_every_port() -> None:
    declared = region(settings(operator_cidrs=[OPERATOR, "2001:db8::/48"]))
    rules = declared.of_type("SecurityGroupIngressRule")
    ssh = [rules[f"eu-west-1-ssh-from-{network}"] for network in (OPERATOR, "2001:db8::/48")]
    assert [(rule["fromPort"], rule["toPort"], rule["ipProtocol"]) for rule in ssh] == [(22, 22, "tcp")] * 2
    assert (ssh[0]["cidrIpv4"], ssh[1]["cidrIpv6"]) == (OPERATOR, "2001:db8::/48")
    others = [rule for name, rule in rules.items() if "ssh" not in name]
    assert [(rule["ipProtocol"], rule["prefixListId"]) for rule in others] == [("-1", "eu-west-1-peers-0-id")]
    assert not any("cidrIpv4" in rule for rule in others)


def test_all_outbound_traffic_is_allowed() -> None:
    (rule,) = region(settings()).of_type("SecurityGroupEgressRule").values()
    assert (rule["ipProtocol"], rule["cidrIpv4"]) == ("-1", "0.0.0.0/0")
    assert not {"fromPort", "toPort", "prefixListId", "cidrIpv6"} & set(rule)


def test_every_host_is_in_the_group_that_allows_outbound_traffic() -> None:
    declared = region(settings())
    (rule,) = declared.of_type("SecurityGroupEgressRule").values()
    groups = [instance["vpcSecurityGroupIds"] for instance in declared.of_type("Instance").values()]
    assert len(groups) == 2
    assert all(rule["securityGroupId"] in some for some in groups)


def test_peers_are_all_hosts_with_an_address() -> None:
    (peers,) = region(settings()).of_type("ManagedPrefixList").values()
    assert [entry["cidr"] for entry in peers["entries"]] == ["203.0.113.1/32", "203.0.113.2/32", "192.0.2.1/32"]


def test_many_peers_are_split_over_groups() -> None:
    def program() -> pulumi.Output[Any]:
        made = AwsRegion("eu-west-1", args_of(settings(), peers=100))
        made.authorize_ingress({f"h{index}": f"192.0.2.{index}" for index in range(100)})
        return pulumi.Output.all(*made.hosts)

    declared = declare(program)
    lists = declared.of_type("ManagedPrefixList")
    assert {name: len(peers["entries"]) for name, peers in lists.items()} == {
        "eu-west-1-peers-0": 60,
        "eu-west-1-peers-1": 40,
    }
    assert all(peers["maxEntries"] == 60 for peers in lists.values())
    assert len(declared.of_type("Instance")["eu-west-1-0"]["vpcSecurityGroupIds"]) == 3


def test_a_public_grafana_is_open_to_operators_in_its_region_only() -> None:
    public = settings(grafana_public=True)
    rule = region(public).of_type("SecurityGroupIngressRule")[f"eu-west-1-grafana-from-{OPERATOR}"]
    assert (rule["fromPort"], rule["cidrIpv4"]) == (3000, OPERATOR)
    elsewhere = region(public, monitoring=False).of_type("SecurityGroupIngressRule")
    assert not any("grafana" in name for name in elsewhere)


def test_more_operators_than_a_group_has_rules_are_rejected() -> None:
    ipv4 = [f"198.51.100.{number}/32" for number in range(61)]
    ipv6 = [f"2001:db8:{number:x}::/48" for number in range(61)]
    assert len(region(settings(operator_cidrs=ipv4[:60] + ipv6[:60])).of_type("SecurityGroupIngressRule")) == 121
    for version, many in (4, ipv4), (6, [OPERATOR, *ipv6]):
        with pytest.raises(SettingsError, match=rf"found 61 IPv{version} networks, expected at most 60: .* wider"):
            region(settings(operator_cidrs=many))
    public = settings(operator_cidrs=ipv4[:31], grafana_public=True)
    with pytest.raises(SettingsError, match=r"found 31 IPv4 networks, expected at most 30: "):
        region(public)
    region(public, monitoring=False)


def test_region_exports_the_inventory_of_its_hosts() -> None:
    first, second = region(settings()).value["hosts"]
    assert (first.name, first.role, first.address, first.state) == (
        "eu-west-1-0",
        "monitoring",
        "203.0.113.1",
        "running",
    )
    assert (second.name, second.role, second.ssh_user) == ("eu-west-1-1", "instance", "ubuntu")
    assert (second.specs, second.cpus, second.memory_mb) == ("m5d.2xlarge", 8, 32768)
    assert second.host_key == "ssh-ed25519 AAAAeu-west-1-1-host-key"


def test_stopped_hosts_have_no_address_and_cost_their_disk() -> None:
    declared = region(settings(state="stopped"))
    assert {state["state"] for state in declared.of_type("InstanceState").values()} == {"stopped"}
    assert [(host.state, host.address) for host in declared.value["hosts"]] == [("stopped", "")] * 2
    assert declared.value["cost"] == pytest.approx(2 * 100 * 0.08 / 730, abs=1e-6)
    (peers,) = declared.of_type("ManagedPrefixList").values()
    assert [entry["cidr"] for entry in peers["entries"]] == ["192.0.2.1/32"]


class Forgetful(Cloud):
    """A cloud that has forgotten all instances, as EC2 does an hour after it was terminated."""

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        name = args.token.rpartition(":")[2]
        if name == "getInstances":
            return {"ids": [], "publicIps": []}, []
        return ({}, [("", "no matching EC2 Instance found")]) if name == "getInstance" else super().call(args)


def test_a_host_terminated_long_ago_is_an_error_with_the_command_to_run() -> None:
    def program() -> pulumi.Output[Any]:
        return pulumi.Output.all(*AwsRegion("eu-west-1", args_of(settings())).hosts)

    with pytest.raises(
        pulumi.RunError, match=r"eu-west-1-\d: AWS did not describe .*no matching EC2 .* run `pulumi refresh`"
    ):
        declare(program, Forgetful())


@pytest.mark.parametrize("state", ["running", "stopped"])
def test_hosts_of_a_region_are_described_by_one_query(state: str) -> None:
    calls = [call.token.rpartition(":")[2] for call in region(settings(instances=30, state=state)).calls]
    assert (calls.count("getInstances"), calls.count("getInstance")) == (2, 0)  # one for other architectures


@pytest.mark.parametrize(
    ("specs", "foreign", "warnings"),
    [("m5d.2xlarge", [], []), ("m5d.2xlarge", ["i-1"], ["x86"]), ("m6g.2xlarge", ["i-1", "i-2"], ["ARM"])],
)
def test_specs_of_another_architecture_cause_a_warning(
    specs: str, foreign: list[str], warnings: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    region(settings(specs=specs), Cloud(foreign=foreign))
    found = [text for text in caplog.messages if "they are recreated and lose their disks" in text]
    assert len(found) == len(warnings)
    for text, kind in zip(found, warnings, strict=True):
        assert text.startswith(f"specs: {specs} has {kind} processors, and {len(foreign)} hosts in eu-west-1")


class Addressless(Cloud):
    """A cloud in which the address of an instance is missing from a list, so that the list tells nothing."""

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        answer, failures = super().call(args)
        if args.token.endswith(":getInstances"):
            answer = {**answer, "publicIps": answer["publicIps"][1:]}
        return answer, failures


def test_hosts_are_queried_one_by_one_if_a_list_does_not_tell_their_addresses() -> None:
    declared = region(settings(), Addressless())
    assert [host.address for host in declared.value["hosts"]] == ["203.0.113.1", "203.0.113.2"]


def test_a_list_without_hosts_has_an_entry_that_is_nobodys() -> None:
    def program() -> pulumi.Output[Any]:
        made = AwsRegion("eu-west-1", args_of(settings(state="stopped")))
        made.authorize_ingress({"a": "", "b": ""})
        return pulumi.Output.all(*made.hosts)

    (peers,) = declare(program).of_type("ManagedPrefixList").values()
    assert [entry["cidr"] for entry in peers["entries"]] == ["192.0.2.0/32"]


@pytest.mark.parametrize(("excluded", "zone"), [([], "a"), (["eu-west-1a"], "b"), (["eu-west-1a", "eu-west-1b"], "c")])
def test_new_hosts_are_in_zones_that_are_not_excluded(excluded: list[str], zone: str) -> None:
    declared = region(settings(instances=1, excluded_zones=excluded))
    assert declared.of_type("Instance")["eu-west-1-0"]["subnetId"] == f"eu-west-1-subnet-{zone}-id"
    assert len(declared.of_type("Subnet")) == 3, "existing hosts may be in an excluded zone"


@pytest.mark.parametrize("zone", ["us-east-1a", "eu-west-1", "a", "eu-west-1a "])
def test_an_excluded_zone_of_no_region_is_an_error(zone: str) -> None:
    with pytest.raises(SettingsError, match=r"excluded_zones: .* is in none of the regions eu-west-1; .* eu-west-1a"):
        declare(lambda: stacks.create(settings(excluded_zones=[zone])))


def test_excluding_all_zones_is_an_error() -> None:
    with pytest.raises(SettingsError, match=r"excluded_zones: found all zones of eu-west-1 that offer m5d\.2xlarge"):
        region(settings(excluded_zones=["eu-west-1a", "eu-west-1b", "eu-west-1c"]))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            "getInstanceType",
            r"AWS did not describe m5d\.2xlarge in eu-west-1: .*; its keys must allow ec2:DescribeInst",
        ),
        ("getAmi", r"AWS found no image named ubuntu/.* in eu-west-1: .*; its keys must allow ec2:DescribeImages"),
    ],
)
def test_a_query_without_permission_names_the_permission(function: str, message: str) -> None:
    with pytest.raises(pulumi.RunError, match=message):
        region(settings(), Cloud(silent=function))


def test_spot_hosts_are_requested_and_cannot_be_stopped() -> None:
    declared = region(settings(spot=True))
    options = declared.of_type("Instance")["eu-west-1-0"]["instanceMarketOptions"]
    assert options["marketType"] == "spot"
    assert options["spotOptions"] == {"spotInstanceType": "one-time", "instanceInterruptionBehavior": "terminate"}
    assert declared.of_type("InstanceState") == {}
    assert declared.value["cost"] == pytest.approx(2 * (0.181 + 0.005 + 100 * 0.08 / 730), abs=1e-6)
    with pytest.raises(SettingsError, match=r"cannot be stopped; .* or set spot: false, which replaces all hosts"):
        region(settings(spot=True, state="stopped"))


def test_the_cost_includes_instances_addresses_and_disks() -> None:
    assert region(settings()).value["cost"] == pytest.approx(2 * (0.452 + 0.005 + 100 * 0.08 / 730), abs=1e-6)


def test_an_unknown_price_makes_the_cost_unknown() -> None:
    assert region(settings(), Cloud(prices={"gp3": 0.08})).value["cost"] is None


def test_a_type_that_is_not_offered_is_an_error() -> None:
    with pytest.raises(SettingsError, match=r"m5d\.2xlarge is not offered in eu-west-1; `aws ec2 describe"):
        region(settings(), Cloud(zones=""))


def test_the_operators_key_is_uploaded() -> None:
    (key,) = region(settings()).of_type("KeyPair").values()
    assert key["publicKey"] == OPERATOR_KEY


@pytest.mark.parametrize("kind", ["ecdsa-sha2-nistp256", "sk-ssh-ed25519@openssh.com"])
def test_a_key_type_that_ec2_does_not_accept_is_an_error(kind: str) -> None:
    with pytest.raises(pulumi.RunError, match=rf"found a key of type {kind}, AWS accepts ssh-ed25519 and ssh-rsa"):
        importable(f"{kind} AAAA somebody")
    assert [importable(key) for key in ("ssh-rsa AAAA", OPERATOR_KEY)] == ["ssh-rsa AAAA", OPERATOR_KEY]


@pytest.mark.parametrize("named", [True, False], ids=["token_file", "no token_file"])
def test_keys_in_the_environment_beside_a_credentials_file_cause_a_warning(
    named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "keys"
    file.touch()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA0LD")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "")
    declare(lambda: provider(settings(token_file=file if named else None)).urn)
    assert ("run `unset AWS_ACCESS_KEY_ID`" in caplog.text) is named
    assert "AKIA0LD" not in caplog.text


def test_the_provider_reads_the_credentials_file_of_the_settings(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("[default]\naws_access_key_id = A\naws_secret_access_key = hidden\n")
    (made,) = declare(lambda: provider(settings(token_file=file)).urn).resources
    assert made.inputs["region"] == "us-east-1"
    assert str(file) in made.inputs["sharedCredentialsFiles"]
    assert made.inputs["profile"] == "default", "keys in the environment would win over those of the file"
    assert "hidden" not in str(made.inputs)
    (usual,) = declare(lambda: provider(settings()).urn).resources
    assert not {"profile", "sharedCredentialsFiles"} & set(usual.inputs)
    with pytest.raises(SettingsError, match=r"token_file: .*nowhere does not exist"):
        declare(lambda: provider(settings(token_file=tmp_path / "nowhere")).urn)
