"""An emulated AWS: moto implements the API's rules, systemd-nspawn machines are its instances.

A resource's handler calls moto through boto3 as the real provider calls Amazon, so dangling references,
duplicates and the like are rejected with Amazon's own messages.
"""

from __future__ import annotations

import configparser
import functools
import json
import os
import tempfile
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

CANONICAL = "099720109477"
FIRST_IMAGES = "20260601"
_IMAGES = [
    {
        "ami_id": f"ami-0noble{arm:011d}",
        "name": f"ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-{'arm64' if arm else 'amd64'}-server-{FIRST_IMAGES}",
        "description": "Canonical, Ubuntu, 24.04 LTS",
        "owner_id": CANONICAL,
        "image_location": "",
        "image_type": "machine",
        "public": True,
        "architecture": "arm64" if arm else "x86_64",
        "platform": None,
        "root_device_name": "/dev/sda1",
        "root_device_type": "ebs",
        "virtualization_type": "hvm",
        "hypervisor": "xen",
        "state": "available",
        "sriov": "simple",
        "creation_date": "2026-06-01T00:00:00.000Z",
    }
    for arm in (0, 1)
]
with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as _file:
    json.dump(_IMAGES, _file)
os.environ |= {  # read when moto's EC2 is first imported
    "MOTO_AMIS_PATH": _file.name,
    "MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION": "true",
    "MOTO_ENABLE_AMI_VALIDATION": "true",
    "MOTO_ENABLE_KEYPAIR_VALIDATION": "true",
}

import boto3  # noqa: E402
import botocore.loaders  # noqa: E402
from botocore.exceptions import ClientError  # noqa: E402
from fakes.emulators import aws_refusals as refusals  # noqa: E402
from fakes.emulators.aws_groups import GROUPS  # noqa: E402
from fakes.emulators.aws_instances import INSTANCES  # noqa: E402
from fakes.emulators.aws_kinds import KINDS  # noqa: E402
from fakes.emulators.aws_questions import Ec2Questions  # noqa: E402
from fakes.emulators.firewall import Rule  # noqa: E402
from fakes.emulators.machine import Image, Machine  # noqa: E402
from fakes.emulators.provider import Cloud, CloudError, Kind, Properties  # noqa: E402
from moto import mock_aws  # noqa: E402
from moto.core import DEFAULT_ACCOUNT_ID as ACCOUNT  # noqa: E402
from moto.ec2.models import ec2_backends  # noqa: E402
from moto.ec2.models.amis import Ami  # noqa: E402

from stacks.local.wan.network import WideAreaNetwork  # noqa: E402

Path(_file.name).unlink()

# Every session parses the service models and endpoints, megabytes of JSON, again; once per process is enough.
_json_files = botocore.loaders.JSONFileLoader()
_load_json = functools.cache(_json_files._load_file)
botocore.loaders.JSONFileLoader._load_file = lambda _, path, open_method: _load_json(path, open_method)

_THROTTLED = {"Error": {"Code": "RequestLimitExceeded", "Message": "Request limit exceeded."}}


class Aws:
    """One account. `faults` by the Name of an instance: `capacity` or `late`; `throttle` counts calls to reject.

    `full_zones` have no capacity.

    `home` is the home of the user of pulumi, `secret` the valid secret key in its .aws/credentials.
    """

    def __init__(self, folder: Path, image: Image, network: WideAreaNetwork, home: Path, secret: str) -> None:
        self._home, self._secret = home, secret
        self.faults: dict[str, str] = {}
        self.full_zones: set[str] = set()
        self.throttle = 0
        self.machines: dict[str, Machine] = {}
        self.groups: dict[str, list[str]] = {}  # of each instance; moto has only those of its interface
        self._folder, self._image, self._network = folder, image, network
        self._lock = threading.RLock()
        self._clients: dict[str, Any] = {}
        self._regions: dict[str, str] = {}
        self._mock = mock_aws()
        self._mock.start()

    def cloud(self) -> Cloud:
        """The provider of this account."""
        kinds: dict[str, Kind] = {token: kind(self) for token, kind in (KINDS | GROUPS | INSTANCES).items()}
        return Cloud(kinds, Ec2Questions(self).answers, self._configure)

    def close(self) -> None:
        """Stop every machine and delete the account."""
        for machine in self.machines.values():
            machine.remove()
        self._mock.stop()

    def ec2(self, region: str, operation: str, **arguments: Any) -> Any:
        """Call EC2's API, with retries if it is throttled, as the provider does."""
        for attempt in range(25):
            try:
                with self._lock:
                    return self._once(region, operation, arguments)
            except ClientError as error:
                if error.response["Error"]["Code"] != "RequestLimitExceeded" or attempt == 24:
                    raise CloudError(str(error)) from None
            time.sleep(0.01)
        raise AssertionError("the last attempt returns or raises")

    def _once(self, region: str, operation: str, arguments: dict[str, Any]) -> Any:
        if self.throttle:
            self.throttle -= 1
            raise ClientError(_THROTTLED, operation)  # type: ignore[arg-type]
        if region not in self._clients:
            self._clients[region] = boto3.client("ec2", region_name=region)
        client = self._clients[region]
        refusals.of_words(client, operation, arguments)
        return getattr(client, operation)(**arguments)

    def place(self, identity: str, region: str) -> None:
        """Record the region of a resource."""
        self._regions[identity] = region

    def region_of(self, identity: str) -> str | None:
        """Return the region of a resource of this account, None for any other."""
        return self._regions.get(identity)

    def address_of(self, identity: str) -> str:
        """The public address of an instance, empty if it has none."""
        machine = self.machines.get(identity)
        return machine.address if machine else ""

    def attribute(self, identity: str, name: str) -> str:
        """Return an attribute that EC2 returns only if it is requested by name."""
        region = self._regions[identity]
        found = self.ec2(region, "describe_instance_attribute", InstanceId=identity, Attribute=name)
        value: str = found[f"{name[0].upper()}{name[1:]}"]["Value"]
        return value

    def describe(self, identity: str) -> dict[str, Any] | None:
        """Return an instance as EC2 describes it, None once it is terminated; detect machines that shut down."""
        region = self._regions.get(identity)
        if region is None:
            return None
        with self._lock:
            found = self._instance(region, identity)
            machine = self.machines.get(identity)
            if found["State"]["Name"] == "running" and machine is not None and not machine.running:
                if self.attribute(identity, "instanceInitiatedShutdownBehavior") == "terminate":
                    self.terminate(identity)
                else:
                    self.ec2(region, "stop_instances", InstanceIds=[identity])
                    machine.stop()
                found = self._instance(region, identity)
        return None if found["State"]["Name"] == "terminated" else found

    def _instance(self, region: str, identity: str) -> dict[str, Any]:
        (reservation,) = self.ec2(region, "describe_instances", InstanceIds=[identity])["Reservations"]
        found: dict[str, Any] = reservation["Instances"][0]
        return found

    def take_back(self, name: str) -> None:
        """Terminate an instance by its Name, as Amazon does if the spot price rises."""
        (identity,) = (identity for identity, machine in self.machines.items() if machine.name == name)
        self.terminate(identity)

    def terminate(self, identity: str) -> None:
        """Terminate an instance; do nothing if it already is."""
        self.ec2(self._regions[identity], "terminate_instances", InstanceIds=[identity])
        self.groups.pop(identity, None)
        machine = self.machines.pop(identity, None)
        if machine is not None:
            machine.remove()

    def boot(self, identity: str, name: str, region: str, user_data: str, disks_gb: Sequence[int]) -> Machine:
        folder = self._folder / identity
        machine = self.machines[identity] = Machine(folder, self._image, self._network, name, region, disks_gb)
        machine.create(user_data)
        return machine

    def enforce(self) -> None:
        """Apply the rules of its security groups to every machine."""
        with self._lock:
            for identity, machine in list(self.machines.items()):
                if machine.running:
                    machine.guard(*self._rules(identity))

    def _rules(self, identity: str) -> tuple[list[Rule], list[Rule]]:
        """Return the allowed inbound and outbound traffic."""
        region = self._regions[identity]
        asked = [{"Name": "group-id", "Values": self.groups[identity]}]
        rules: tuple[list[Rule], list[Rule]] = [], []
        for rule in self.ec2(region, "describe_security_group_rules", Filters=asked)["SecurityGroupRules"]:
            ports = f"{rule['FromPort']}-{rule['ToPort']}" if rule.get("FromPort", -1) >= 0 else ""
            protocol = "all" if rule["IpProtocol"] == "-1" else rule["IpProtocol"]
            rules[rule["IsEgress"]].extend((protocol, ports, other) for other in self._others(region, rule))
        return rules

    def _others(self, region: str, rule: dict[str, Any]) -> list[str]:
        """Return the networks at the other end."""
        listed = rule.get("PrefixListId")
        if listed is None:
            return [source for source in (rule.get("CidrIpv4"), rule.get("CidrIpv6")) if source]
        found = self.ec2(region, "get_managed_prefix_list_entries", PrefixListId=listed)
        return [entry["Cidr"] for entry in found["Entries"]]

    def publish_image(self, region: str, architecture: str, date: str) -> str:
        """Publish Ubuntu 24.04 of another day (YYYYMMDD), as Canonical does every few weeks; return its identity."""
        (known,) = (image for image in _IMAGES if image["architecture"] == architecture)
        name = str(known["name"]).replace(FIRST_IMAGES, date)
        identity = f"ami-{date}{known['ami_id'][-9:]}"
        made = datetime.strptime(date, "%Y%m%d").replace(tzinfo=UTC)
        about: dict[str, Any] = {**known, "ami_id": identity, "name": name, "creation_date": made}
        with self._lock:
            backend = ec2_backends[ACCOUNT][region]
            backend.amis[identity] = Ami(backend, region_name=f"{region}a", **about)
        return identity

    def _configure(self, arguments: Properties) -> None:
        if not arguments.get("region"):
            raise CloudError("missing region configuration")
        files = json.loads(arguments.get("sharedCredentialsFiles") or "[]") or [self._home / ".aws/credentials"]
        profiles = configparser.ConfigParser()
        profiles.read(files, encoding="utf-8")
        profile = arguments.get("profile", "default")
        keys = dict(profiles[profile]) if profiles.has_section(profile) else {}
        if not (keys.get("aws_access_key_id") and keys.get("aws_secret_access_key")):
            raise CloudError("No valid credential sources found")
        if keys["aws_secret_access_key"] != self._secret:
            raise CloudError("validating provider credentials: InvalidClientTokenId: The security token is invalid")
