"""The emulated AWS reads back, updates and deletes resources, and rejects inputs that it does not emulate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.emulated_account import (
    EGRESS,
    GATEWAY,
    GROUP,
    INSTANCE,
    KEY,
    LIST,
    REGION,
    ROUTES,
    RULE,
    SECRET,
    SSH,
    STATE,
    SUBNET,
    VPC,
    X86,
    Account,
    idle_aws,
)
from fakes.emulators.aws import CANONICAL, Aws
from fakes.emulators.properties import asked_part, same
from fakes.emulators.provider import CloudError

from stacks.keys import generate_key

TAGS = {"Name": "some", "testbed_id": "bed"}


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with idle_aws(tmp_path_factory.mktemp("aws")) as made:
        yield made


@pytest.fixture
def account(aws: Aws, request: pytest.FixtureRequest) -> Account:
    return Account(aws, f"key of {request.node.name}")


def wanted(account: Account) -> dict[str, dict[str, Any]]:
    """Return the inputs of one resource of every kind."""
    gateway = account.make(GATEWAY, vpcId=account.vpc)
    peers = account.make(LIST, name="peers", addressFamily="IPv4", maxEntries=9, entries=[])
    table = account.kinds[VPC].read(account.vpc)
    assert table
    return {
        VPC: {"cidrBlock": "10.1.0.0/16", "enableDnsSupport": True, "enableDnsHostnames": True},
        SUBNET: {"cidrBlock": "10.0.32.0/20", "availabilityZone": "us-east-1b", "vpcId": account.vpc},
        GATEWAY: {"vpcId": account.make(VPC, cidrBlock="10.2.0.0/16")},
        ROUTES: {
            "defaultRouteTableId": table["defaultRouteTableId"],
            "routes": [{"cidrBlock": "0.0.0.0/0", "gatewayId": gateway}],
        },
        GROUP: {"name": "other", "description": "other", "vpcId": account.vpc},
        RULE: {"securityGroupId": account.group, **SSH},
        EGRESS: {"securityGroupId": account.group, "ipProtocol": "-1", "prefixListId": peers},
        LIST: {
            "name": "more",
            "addressFamily": "IPv4",
            "maxEntries": 9,
            "entries": [{"cidr": "192.0.2.9/32"}, {"cidr": "192.0.2.1/32"}],
        },
        KEY: {"keyName": f"other {account.key}", "publicKey": generate_key().public_key},
        INSTANCE: account.inputs(),
    }


def test_resources_are_read_back_with_their_inputs(account: Account) -> None:
    for token, asked in wanted(account).items():
        inputs = {**REGION, **asked, "tags": TAGS}
        identity, made = account.kinds[token].create(inputs)
        found = account.kinds[token].read(identity)
        assert found is not None, token
        assert same(asked_part(found, inputs), inputs), token
        assert {**inputs, **found, "id": identity} == made, f"{token}: a refresh must find no change"


def test_deleted_resources_are_not_found(account: Account) -> None:
    gone = []
    for token, asked in wanted(account).items():
        if token not in (ROUTES, VPC):
            identity = account.make(token, **asked)
            account.kinds[token].delete(identity)
            gone.append((token, identity))
    found = {(token, identity): account.kinds[token].read(identity) for token, identity in gone}
    assert found == dict.fromkeys(gone)
    network = account.make(VPC, cidrBlock="10.9.0.0/16")
    table = account.kinds[VPC].read(network)
    assert table
    routes = account.make(ROUTES, defaultRouteTableId=table["defaultRouteTableId"], routes=[])
    account.kinds[VPC].delete(network)
    assert (account.kinds[VPC].read(network), account.kinds[ROUTES].read(routes)) == (None, None)
    account.kinds[VPC].delete(network)  # deleting again is no error


def test_external_changes_are_detected(account: Account, aws: Aws) -> None:
    peers = account.make(LIST, name="peers", addressFamily="IPv4", maxEntries=9, entries=[])
    rule = account.make(RULE, securityGroupId=account.group, **SSH)
    new = [{"Cidr": "203.0.113.0/24"}]
    change = {"PrefixListName": "theirs", "CurrentVersion": 1, "AddEntries": new}
    aws.ec2("us-east-1", "modify_managed_prefix_list", PrefixListId=peers, **change)
    off = {"Value": False}
    aws.ec2("us-east-1", "modify_subnet_attribute", SubnetId=account.subnet, MapPublicIpOnLaunch=off)
    aws.ec2("us-east-1", "modify_vpc_attribute", VpcId=account.vpc, EnableDnsSupport=off)
    aws.ec2("us-east-1", "create_tags", Resources=[account.group], Tags=[{"Key": "a", "Value": "b"}])
    aws.ec2("us-east-1", "revoke_security_group_ingress", GroupId=account.group, SecurityGroupRuleIds=[rule])

    def read(token: str, identity: str) -> dict[str, Any]:
        return account.kinds[token].read(identity) or {}

    listed = read(LIST, peers)
    assert (listed["name"], listed["entries"]) == ("theirs", [{"cidr": "203.0.113.0/24"}])
    assert read(SUBNET, account.subnet)["mapPublicIpOnLaunch"] is False
    assert read(VPC, account.vpc)["enableDnsSupport"] is False
    assert read(GROUP, account.group)["tags"] == {"a": "b"}
    assert read(RULE, rule) == {}


@pytest.mark.parametrize(
    ("token", "changed"),
    [
        (VPC, {"enableDnsHostnames": False}),
        (SUBNET, {"mapPublicIpOnLaunch": True}),
        (LIST, {"entries": [{"cidr": "192.0.2.7/32"}, {"cidr": "192.0.2.1/32"}]}),
        (ROUTES, {"routes": []}),
        (GROUP, {"tags": {"Name": "another"}}),
        (KEY, {"tags": {"Name": "another"}}),
        (EGRESS, {"tags": {}}),
        (INSTANCE, {"tags": {"Name": "another"}}),
        (INSTANCE, {"instanceInitiatedShutdownBehavior": "stop"}),
        (INSTANCE, {"metadataOptions": {"httpTokens": "optional"}}),
        (INSTANCE, {"rootBlockDevice": {"volumeType": "gp2", "volumeSize": 200, "tags": {"a": "b"}}}),
        (INSTANCE, {"instanceType": "m5d.2xlarge"}),
    ],
)
def test_updates_in_place_are_read_back(account: Account, token: str, changed: dict[str, Any]) -> None:
    inputs = {**REGION, **wanted(account)[token], "tags": TAGS}
    identity = account.make(token, **inputs)
    account.kinds[token].update(identity, {**inputs, **changed})
    found = account.kinds[token].read(identity) or {}
    assert same(asked_part(found, changed), changed)
    kept = {name: value for name, value in inputs.items() if name not in changed}
    assert same(asked_part(found, kept), kept), "nothing else changed"


@pytest.mark.parametrize(
    ("token", "changed", "answer"),
    [
        (VPC, {"instanceTenancy": "dedicated"}, "instanceTenancy cannot be changed"),
        (SUBNET, {"assignIpv6AddressOnCreation": True}, "assignIpv6AddressOnCreation cannot be changed"),
        (GATEWAY, {"vpcId": "vpc-other"}, "vpcId cannot be changed"),
        (ROUTES, {"propagatingVgws": ["vgw-1"]}, "propagatingVgws cannot be changed"),
        (RULE, {"toPort": 23}, "toPort cannot be changed"),
        (RULE, {"cidrIpv4": "203.0.113.0/24"}, "cidrIpv4 cannot be changed"),
        (RULE, {"description": "some"}, "description cannot be changed"),
        (LIST, {"maxEntries": 10}, "maxEntries cannot be changed"),
        (LIST, {"entries": [{"cidr": "192.0.2.1/32", "description": "a"}]}, "entries cannot be changed"),
        (INSTANCE, {"userData": "#cloud-config\nother: 1\n"}, "userData cannot be changed"),
        (INSTANCE, {"ebsOptimized": True, "monitoring": True}, "ebsOptimized, monitoring cannot be changed"),
        (INSTANCE, {"rootBlockDevice": {"volumeSize": 99}}, "New size cannot be smaller than existing size"),
        (INSTANCE, {"rootBlockDevice": {"volumeSize": 100, "encrypted": False}}, "rootBlockDevice cannot be changed"),
        (INSTANCE, {"metadataOptions": {"httpTokens": "maybe"}}, "Invalid value 'maybe' for HttpTokens"),
        (INSTANCE, {"instanceInitiatedShutdownBehavior": "explode"}, "Invalid value 'explode'"),
        (INSTANCE, {"vpcSecurityGroupIds": ["sg-none"]}, "InvalidGroup.NotFound"),
    ],
)
def test_unsupported_or_invalid_updates_are_rejected(account: Account, token: str, changed: Any, answer: str) -> None:
    inputs = {**REGION, **wanted(account)[token]}
    identity = account.make(token, **inputs)
    with pytest.raises(CloudError, match=answer):
        account.kinds[token].update(identity, {**inputs, **changed})


def test_inputs_that_are_not_emulated_are_rejected(account: Account) -> None:
    with pytest.raises(CloudError, match="instanceTenancy is not emulated"):
        account.make(VPC, cidrBlock="10.3.0.0/16", instanceTenancy="dedicated")
    with pytest.raises(CloudError, match="hibernation is not emulated"):
        account.launch(hibernation=True)


@pytest.mark.parametrize(("behavior", "state"), [("terminate", None), ("stop", "stopped")])
def test_machine_that_shuts_itself_down_follows_its_shutdown_behavior(
    account: Account, aws: Aws, behavior: str, state: str | None
) -> None:
    identity = account.launch(instanceInitiatedShutdownBehavior=behavior)
    account.machine(identity).on = False
    found = account.kinds[INSTANCE].read(identity)
    assert (found["instanceState"] if found else None) == state
    assert (identity in aws.machines) == (state is not None)
    assert not found or (found["publicIp"], found["associatePublicIpAddress"]) == ("", False)


def test_instance_that_stopped_itself_can_be_started_again(account: Account) -> None:
    identity = account.launch(instanceInitiatedShutdownBehavior="stop")
    account.machine(identity).on = False
    assert (account.kinds[STATE].read(identity) or {})["state"] == "stopped"
    assert account.make(STATE, instanceId=identity, state="running") == identity
    assert account.machine(identity).running
    assert (account.kinds[INSTANCE].read(identity) or {})["publicIp"] == account.machine(identity).address


def test_changing_the_type_starts_a_stopped_instance(account: Account) -> None:
    identity = account.launch()
    account.make(STATE, instanceId=identity, state="stopped")
    account.kinds[INSTANCE].update(identity, account.inputs(instanceType="m5d.2xlarge"))
    assert (account.kinds[STATE].read(identity) or {})["state"] == "running"
    assert account.machine(identity).disks_gb == [300]


def test_machine_follows_inbound_and_outbound_rules_and_their_changes(account: Account) -> None:
    identity = account.launch()
    assert account.machine(identity).rules == ([], [])
    account.make(RULE, securityGroupId=account.group, **SSH)
    everywhere = account.make(EGRESS, securityGroupId=account.group, ipProtocol="-1", cidrIpv4="0.0.0.0/0")
    incoming = [("tcp", "22-22", "198.51.100.0/24")]
    assert account.machine(identity).rules == (incoming, [("all", "", "0.0.0.0/0")])
    peers = account.make(LIST, name="p", addressFamily="IPv4", maxEntries=2, entries=[{"cidr": "192.0.2.1/32"}])
    account.make(EGRESS, securityGroupId=account.group, ipProtocol="udp", fromPort=53, toPort=54, prefixListId=peers)
    account.kinds[EGRESS].delete(everywhere)
    assert account.machine(identity).rules == (incoming, [("udp", "53-54", "192.0.2.1/32")])
    other = account.make(GROUP, name="other", description="other", vpcId=account.vpc)
    account.kinds[INSTANCE].update(identity, account.inputs(vpcSecurityGroupIds=[other]))
    assert account.machine(identity).rules == ([], [])


def test_newest_image_is_found_if_requested_and_replaces_instances(account: Account, aws: Aws) -> None:
    name = "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-*"
    asked = {"region": "us-east-1", "owners": [CANONICAL], "filters": [{"name": "name", "values": [name]}]}
    image = aws.cloud().functions["aws:ec2/getAmi:getAmi"]
    assert image(asked)["id"] == X86
    newer = aws.publish_image("us-east-1", "x86_64", "20260715")
    assert image({**asked, "mostRecent": True}) == {"id": newer, "architecture": "x86_64"}
    assert image({**asked, "region": "eu-west-1"})["id"] == X86
    with pytest.raises(CloudError, match="more than one result"):
        image(asked)
    account.launch(ami=newer)
    assert "ami" in account.kinds[INSTANCE].replaces


@pytest.mark.parametrize(
    ("content", "given", "answer"),
    [
        (f"[default]\naws_access_key_id = A\naws_secret_access_key = {SECRET}\n", {}, None),
        ("[default]\naws_access_key_id = A\naws_secret_access_key = other\n", {}, "InvalidClientTokenId"),
        (f"[default]\naws_secret_access_key = {SECRET}\n", {}, "No valid credential sources found"),
        (f"[a]\naws_access_key_id = A\naws_secret_access_key = {SECRET}\n", {}, "No valid credential sources found"),
        (f"[a]\naws_access_key_id = A\naws_secret_access_key = {SECRET}\n", {"profile": "a"}, None),
        (None, {}, "No valid credential sources found"),
        (None, {"region": ""}, "missing region configuration"),
    ],
)
@pytest.mark.parametrize("where", ["usual", "named"])
def test_credentials_come_from_the_home_folder_or_the_configured_file(
    tmp_path: Path, where: str, content: str | None, given: dict[str, str], answer: str | None
) -> None:
    file = tmp_path / (".aws/credentials" if where == "usual" else "named")
    if content is not None:
        file.parent.mkdir(exist_ok=True)
        file.write_text(content)
    named = {"sharedCredentialsFiles": f'["{file}"]'} if where == "named" else {}
    with idle_aws(tmp_path) as aws:
        configure = aws.cloud().configure
        if answer is None:
            configure({**REGION, **named, **given})
        else:
            with pytest.raises(CloudError, match=answer):
                configure({**REGION, **named, **given})


@pytest.mark.parametrize("entries", [[], None], ids=["empty", "missing"])
def test_a_prefix_list_keeps_its_entries_if_it_is_given_none(account: Account, entries: list[Any] | None) -> None:
    about = {"name": "p", "addressFamily": "IPv4", "maxEntries": 2}
    peers = account.make(LIST, **about, entries=[{"cidr": "192.0.2.1/32"}])
    empty = {**REGION, **about} | ({} if entries is None else {"entries": entries})
    assert account.kinds[LIST].update(peers, empty)["entries"] == [{"cidr": "192.0.2.1/32"}]
