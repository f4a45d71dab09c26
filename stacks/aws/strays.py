"""The instances of an account that have the tag of a testbed; see `stacks.strays`."""

from __future__ import annotations

from typing import Any

import boto3
import botocore.session
from botocore.exceptions import BotoCoreError, ClientError

from benchmark.errors import InfrastructureError
from benchmark.settings import Settings
from stacks.cloud.region_args import credentials_file
from stacks.strays import Stray

_ALIVE = ["pending", "running", "stopping", "stopped"]


def find(settings: Settings) -> list[Stray]:
    """Return all instances of the testbed that are not terminated, in the regions of the settings."""
    wanted = [
        {"Name": "tag:testbed_id", "Values": [settings.testbed_id]},
        {"Name": "instance-state-name", "Values": _ALIVE},
    ]
    found = []
    for region in (spec.name for spec in settings.region_specs if spec.provider == "aws"):
        try:
            pages = list(_ec2(settings, region).get_paginator("describe_instances").paginate(Filters=wanted))
        except (BotoCoreError, ClientError) as error:
            raise InfrastructureError(f"AWS did not list the instances in {region}: {error}") from None
        instances = [one for page in pages for each in page["Reservations"] for one in each["Instances"]]
        found += [_describe(one, region) for one in instances]
    return found


def remove(settings: Settings, stray: Stray) -> None:
    """Terminate an instance."""
    try:
        _ec2(settings, stray.region).terminate_instances(InstanceIds=[stray.id])
    except (BotoCoreError, ClientError) as error:
        raise InfrastructureError(f"AWS did not terminate {stray.id}: {error}") from None


def _describe(instance: dict[str, Any], region: str) -> Stray:
    tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
    return Stray("aws", instance["InstanceId"], tags.get("Name", ""), region, instance.get("PublicIpAddress", ""))


def _ec2(settings: Settings, region: str) -> Any:
    """Return a client with the credentials that the provider uses, too."""
    file, session = credentials_file(settings, "aws"), botocore.session.Session()
    if file is not None:
        session.set_config_variable("credentials_file", str(file))
        session.set_config_variable("profile", "default")  # else keys in the environment win
    return boto3.Session(botocore_session=session).client("ec2", region_name=region)
