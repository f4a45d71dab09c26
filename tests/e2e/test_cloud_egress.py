"""Egress rules of AWS security groups, enforced on emulated machines."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from functools import partial

import pytest
from fakes.emulated_clouds import ONE_AWS_HOST, Clouds, connects, emulated_clouds
from waiting import wait_for

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clouds]:
    with emulated_clouds(tmp_path_factory.mktemp("egress"), "egress", ONE_AWS_HOST) as made:
        made.stack.up()
        made.wait_until_ready()
        yield made


def test_host_can_send_while_its_egress_rule_exists(clouds: Clouds) -> None:
    clouds.stack.up("--refresh")
    (machine,) = clouds.machines.values()
    aws, host = clouds.site.aws, clouds.only_host
    with socket.create_server((clouds.site.network.operator_address, 0)) as server:
        address, port = server.getsockname()
        sends = partial(connects, machine, address, port)
        wait_for(sends, "it sends")
        found = aws.ec2("us-east-1", "describe_security_group_rules")["SecurityGroupRules"]
        (rule,) = [one for one in found if one["IsEgress"] and one["GroupId"] in next(iter(aws.groups.values()))]
        which = {"GroupId": rule["GroupId"], "SecurityGroupRuleIds": [rule["SecurityGroupRuleId"]]}
        aws.ec2("us-east-1", "revoke_security_group_egress", **which)
        aws.enforce()
        assert not sends()
        assert clouds.ssh(host, "hostname") == host.name, "it answers whom it lets in"
        clouds.stack.up("--refresh")
        wait_for(sends, "it sends again")
