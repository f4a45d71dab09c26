"""A changed operator key and existing AWS hosts, under the real pulumi."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from fakes.emulated_clouds import ONE_AWS_HOST, Clouds, emulated_clouds

pytestmark = pytest.mark.e2e


def instances(clouds: Clouds) -> list[str]:
    """Those that EC2 has, and that it had."""
    found = clouds.site.aws.ec2("us-east-1", "describe_instances")["Reservations"]
    return [instance["InstanceId"] for each in found for instance in each["Instances"]]


def key_pairs(clouds: Clouds) -> list[str]:
    return [pair["KeyName"] for pair in clouds.site.aws.ec2("us-east-1", "describe_key_pairs")["KeyPairs"]]


def test_changed_operator_key_replaces_no_host(tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    with emulated_clouds(tmp_path, "changed", ONE_AWS_HOST) as clouds:
        clouds.stack.up()
        clouds.wait_until_ready()
        before, (pair,) = instances(clouds), key_pairs(clouds)
        clouds.stack.up("-c", f"ssh_private_key_file={key}")
        assert instances(clouds) == before
        (other,) = key_pairs(clouds)
        assert other != pair
        clouds.ssh(clouds.only_host, "true")  # with the key that it was made with
        clouds.stack.pulumi("refresh", "--yes", "--skip-preview")
        clouds.stack.pulumi("preview", "--expect-no-changes")
