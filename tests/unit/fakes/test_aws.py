"""The emulated AWS rejects the requests that Amazon rejects, before any machine boots."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fakes.emulated_account import (
    ARM,
    GATEWAY,
    GROUP,
    INSTANCE,
    KEY,
    LIST,
    REGION,
    RULE,
    SSH,
    SUBNET,
    VPC,
    Account,
    idle_aws,
)
from fakes.emulators.aws import Aws
from fakes.emulators.provider import CloudError

from stacks.keys import generate_key


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with idle_aws(tmp_path_factory.mktemp("aws")) as made:
        yield made


@pytest.fixture
def account(aws: Aws, request: pytest.FixtureRequest) -> Account:
    return Account(aws, f"key of {request.node.name}")


@pytest.mark.parametrize(
    ("changed", "answer"),
    [
        ({"instanceType": "m5d.huge"}, "InvalidParameterValue: Invalid value 'm5d.huge' for InstanceType"),
        ({"instanceType": "m6gd.large"}, "architecture"),
        ({"ami": "ami-00000000000000000"}, "InvalidAMIID.NotFound"),
        ({"ami": ARM}, "architecture"),
        ({"keyName": "none"}, "InvalidKeyPair.NotFound"),
        ({"subnetId": "subnet-none"}, "InvalidSubnetID.NotFound"),
        ({"vpcSecurityGroupIds": ["sg-none"]}, "InvalidGroup.NotFound"),
        ({"userData": "a" * 16385}, "User data is limited to 16384 bytes"),
        ({"instanceInitiatedShutdownBehavior": "explode"}, "Invalid value 'explode'"),
        ({"metadataOptions": {"httpTokens": "maybe"}}, "Invalid value 'maybe' for MetadataOptions.HttpTokens"),
        ({"rootBlockDevice": {"volumeType": "gp3", "volumeSize": 4}}, "InvalidBlockDeviceMapping"),
        ({"rootBlockDevice": {"volumeType": "gp9", "volumeSize": 9}}, "Invalid value 'gp9'"),
        ({"instanceMarketOptions": {"marketType": "auction"}}, "Invalid value 'auction'"),
        (
            {"instanceMarketOptions": {"marketType": "spot", "spotOptions": {"spotInstanceType": "one-time"}}},
            "The request with type 'one-time' is not supported",
        ),
    ],
)
def test_invalid_combinations_of_instance_inputs_are_rejected(
    aws: Aws, account: Account, changed: Any, answer: str
) -> None:
    with pytest.raises(CloudError, match=answer):
        account.launch(**changed)
    assert aws.machines == {}


def test_instance_groups_must_be_in_its_vpc_and_at_most_five(account: Account) -> None:
    other = account.make(GROUP, name="b", description="b", vpcId=account.make(VPC, cidrBlock="10.1.0.0/16"))
    with pytest.raises(CloudError, match="belong to different networks"):
        account.launch(vpcSecurityGroupIds=[other])
    more = [account.make(GROUP, name=f"g{n}", description="g", vpcId=account.vpc) for n in range(5)]
    with pytest.raises(CloudError, match="SecurityGroupsPerInterfaceLimitExceeded"):
        account.launch(vpcSecurityGroupIds=[account.group, *more])


@pytest.mark.parametrize(
    ("changed", "answer"),
    [
        ({"cidrIpv4": "198.51.100.7/24"}, "CIDR block 198.51.100.7/24 is malformed"),
        ({"toPort": 70000}, "Invalid value '22-70000' for portRange"),
        ({"fromPort": 23}, "portRange"),
        ({"ipProtocol": "tpc"}, "Unknown protocol"),
        ({"ipProtocol": "-1"}, "all protocols and specific ports"),
        ({"securityGroupId": "sg-none"}, "InvalidGroupId.Malformed"),
        ({"cidrIpv4": None, "prefixListId": "pl-none"}, "InvalidPrefixListID.NotFound"),
    ],
)
def test_invalid_rules_are_rejected(account: Account, changed: Any, answer: str) -> None:
    asked = {"securityGroupId": account.group, **SSH, **changed}
    with pytest.raises(CloudError, match=answer):
        account.make(RULE, **{name: value for name, value in asked.items() if value is not None})


def test_duplicate_names_and_rules_are_rejected(account: Account) -> None:
    account.make(RULE, securityGroupId=account.group, **SSH)
    with pytest.raises(CloudError, match=r"InvalidPermission\.Duplicate"):
        account.make(RULE, securityGroupId=account.group, **SSH)
    with pytest.raises(CloudError, match=r"InvalidGroup\.Duplicate"):
        account.make(GROUP, name="some", description="some", vpcId=account.vpc)
    with pytest.raises(CloudError, match=r"InvalidKeyPair\.Duplicate"):
        account.make(KEY, keyName=account.key, publicKey=generate_key().public_key)
    with pytest.raises(CloudError, match=r"InvalidKeyPair\.Format"):
        account.make(KEY, keyName="another", publicKey="nonsense")
    with pytest.raises(CloudError, match=r"InvalidSubnet\.Conflict"):
        account.make(SUBNET, vpcId=account.vpc, cidrBlock="10.0.8.0/24", availabilityZone="us-east-1a")


def test_invalid_names_and_descriptions_of_groups_are_rejected(account: Account) -> None:
    with pytest.raises(CloudError, match="GroupName is invalid"):
        account.make(GROUP, name="sg-some", description="some", vpcId=account.vpc)
    with pytest.raises(CloudError, match="Invalid security group description"):
        account.make(GROUP, name="any", description="somebody's", vpcId=account.vpc)


@pytest.mark.parametrize("tags", [{"aws:a": "b"}, {"": "b"}, {"a" * 129: "b"}, {"a": "b" * 257}])
def test_invalid_tags_are_rejected(account: Account, tags: dict[str, str]) -> None:
    with pytest.raises(CloudError, match="is not valid"):
        account.make(VPC, cidrBlock="10.1.0.0/16", tags=tags)


def test_prefix_list_counts_with_its_maximum_size_towards_the_rule_limit(account: Account) -> None:
    peers = account.make(LIST, name="peers", addressFamily="IPv4", maxEntries=60, entries=[])
    account.make(RULE, securityGroupId=account.group, ipProtocol="-1", prefixListId=peers)
    with pytest.raises(CloudError, match="RulesPerSecurityGroupLimitExceeded"):
        account.make(RULE, securityGroupId=account.group, **SSH)


@pytest.mark.parametrize(
    ("entries", "answer"),
    [
        (["192.0.2.1/32", "192.0.2.2/32", "192.0.2.3/32"], "3 entries, at most 2"),
        (["192.0.2.1/32", "192.0.2.1/32"], "duplicate entries"),
        (["2001:db8::/64"], "CIDR block 2001:db8::/64 is malformed"),
        (["192.0.2.1/24"], "CIDR block 192.0.2.1/24 is malformed"),
    ],
)
def test_invalid_entries_of_a_prefix_list_are_rejected(account: Account, entries: list[str], answer: str) -> None:
    listed: dict[str, Any] = {"name": "peers", "addressFamily": "IPv4", "maxEntries": 2}
    made = account.make(LIST, **listed, entries=[{"cidr": "192.0.2.9/32"}])
    wrong = {**REGION, **listed, "entries": [{"cidr": entry} for entry in entries]}
    with pytest.raises(CloudError, match=answer):
        account.kinds[LIST].create(wrong)
    with pytest.raises(CloudError, match=answer):
        account.kinds[LIST].update(made, wrong)


def test_resources_in_use_cannot_be_deleted(account: Account) -> None:
    gateway = account.make(GATEWAY, vpcId=account.vpc)
    peers = account.make(LIST, name="peers", addressFamily="IPv4", maxEntries=2, entries=[])
    rule = account.make(RULE, securityGroupId=account.group, ipProtocol="-1", prefixListId=peers)
    with pytest.raises(CloudError, match=f"DependencyViolation: {peers} has dependent objects: {rule}"):
        account.kinds[LIST].delete(peers)
    order = [(RULE, rule), (LIST, peers), (GROUP, account.group), (SUBNET, account.subnet), (GATEWAY, gateway)]
    for token, identity in order:
        with pytest.raises(CloudError, match=f"DependencyViolation: {account.vpc} has dependent objects"):
            account.kinds[VPC].delete(account.vpc)
        account.kinds[token].delete(identity)
    account.kinds[VPC].delete(account.vpc)


def test_subnets_and_groups_of_an_instance_cannot_be_deleted_before_it(account: Account) -> None:
    instance = account.launch()
    for token, identity in ((SUBNET, account.subnet), (GROUP, account.group)):
        with pytest.raises(CloudError, match=f"DependencyViolation: {identity} has dependent objects: {instance}"):
            account.kinds[token].delete(identity)
    account.kinds[INSTANCE].delete(instance)
    account.kinds[SUBNET].delete(account.subnet)
    account.kinds[GROUP].delete(account.group)


def test_instance_type_not_offered_in_the_zone_is_rejected(aws: Aws, account: Account) -> None:
    where = {"cidrBlock": "10.0.64.0/20", "availabilityZone": "us-east-1e"}
    lacking = account.make(SUBNET, vpcId=account.vpc, mapPublicIpOnLaunch=True, **where)
    with pytest.raises(CloudError, match=r"Unsupported: .* \(m5d.large\) is not supported in us-east-1e"):
        account.launch(subnetId=lacking)
    there = account.launch(instanceType="m4.large", subnetId=lacking)
    changed = account.inputs(instanceType="m5d.large", subnetId=lacking)
    with pytest.raises(CloudError, match=r"Unsupported: .* \(m5d.large\) is not supported in us-east-1e"):
        account.kinds[INSTANCE].update(there, changed)
    assert aws.machines[there].running
    account.kinds[INSTANCE].delete(there)
