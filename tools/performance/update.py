"""Measure `pulumi up` of AWS hosts, and of the same hosts again without a change: seconds, processor time and queries.

    python -m tools.performance.update [--hosts 100] [--checkout FOLDER]

The provider answers at once and forgets everything: the time is that of the program and of Pulumi's engine.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import fakes.pulumi_stack  # noqa: E402
from fakes.emulators import schema  # noqa: E402
from fakes.emulators.provider import Cloud, Kind, Properties, Served  # noqa: E402

REGIONS = (
    "us-east-1", "us-east-2", "us-west-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-northeast-1", "ap-southeast-1",
    "ap-southeast-2", "ca-central-1",
)  # fmt: skip
TOKENS = (
    "ec2/vpc:Vpc", "ec2/internetGateway:InternetGateway", "ec2/defaultRouteTable:DefaultRouteTable",
    "ec2/subnet:Subnet", "ec2/keyPair:KeyPair", "ec2/securityGroup:SecurityGroup", "ec2/instance:Instance",
    "vpc/securityGroupIngressRule:SecurityGroupIngressRule", "vpc/securityGroupEgressRule:SecurityGroupEgressRule",
    "ec2/managedPrefixList:ManagedPrefixList", "ec2transitgateway/instanceState:InstanceState",
)  # fmt: skip


class Instant:
    """A kind of resource that exists as soon as it is requested."""

    replaces: frozenset[str] = frozenset()
    numbers = itertools.count(1)

    def __init__(self, token: str, instances: dict[str, str], regions: dict[str, str]) -> None:
        self._is_instance = token.endswith(":Instance")
        self._instances, self._regions = instances, regions
        self.named = "keyName" if token.endswith(":KeyPair") else "name" if token.endswith("List") else None

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        number = next(self.numbers)
        identity = f"i-{number}"
        if self._is_instance:
            self._regions[identity] = inputs["region"]
            self._instances[identity] = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        return identity, {**inputs, "id": identity, "defaultRouteTableId": f"rtb-{number}"}

    def read(self, identity: str) -> Properties | None:
        return {"id": identity}

    def update(self, _identity: str, inputs: Properties) -> Properties:
        return inputs

    def delete(self, identity: str) -> None:
        self._instances.pop(identity, None)


def instant_cloud(queries: Counter[str]) -> Cloud:
    """Return a cloud that counts the queries of its functions."""
    instances: dict[str, str] = {}
    regions: dict[str, str] = {}

    def listed(asked: Properties) -> Properties:
        found = [] if asked.get("filters") else [one for one in instances if regions[one] == asked["region"]]
        return {"ids": found, "publicIps": [instances[one] for one in found]}

    answers: dict[str, Callable[[Properties], Properties]] = {
        "ec2/getInstanceTypeOfferings:getInstanceTypeOfferings": lambda asked: {
            "locations": [f"{asked['region']}{letter}" for letter in "abc"]
        },
        "ec2/getInstanceType:getInstanceType": lambda _: {
            "supportedArchitectures": ["x86_64"], "defaultVcpus": 8, "memorySize": 32768
        },
        "ec2/getAmi:getAmi": lambda _: {"id": "ami-1"},
        "ec2/getInstance:getInstance": lambda asked: {
            "publicIp": instances[asked["instanceId"]], "instanceState": "running"
        },
        "ec2/getInstances:getInstances": listed,
        "pricing/getProduct:getProduct": lambda _: {"result": "{}"},
    }  # fmt: skip

    def count(name: str, answer: Callable[[Properties], Properties], asked: Properties) -> Properties:
        queries[name.rpartition(":")[2]] += 1
        return answer(asked)

    kinds: dict[str, Kind] = {f"aws:{token}": Instant(token, instances, regions) for token in TOKENS}
    functions = {f"aws:{name}": partial(count, name, answer) for name, answer in answers.items()}
    return Cloud(kinds, functions, lambda _: None)


def cpu_seconds() -> float:
    """Return the processor time of Pulumi, its plugins and the program, which depends less on other load."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Print the time and the queries of three updates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=100, help="a multiple of 10")
    parser.add_argument("--checkout", type=Path, default=ROOT, help="whose program is measured")
    options = parser.parse_args()
    vars(fakes.pulumi_stack)["ROOT"] = options.checkout.resolve()
    schema.check = schema.check_call = lambda *_: []  # the emulators' checks take longer than anything else
    schema.kept = lambda _: frozenset()
    settings = (
        f"cloud_provider: aws\nregions: [{', '.join(REGIONS)}]\nspecs: m5d.2xlarge\n"
        f"instances: {options.hosts // len(REGIONS)}\noperator_cidrs: [198.51.100.7/32]\n"
    )
    queries: Counter[str] = Counter()
    served = Served(instant_cloud(queries))
    with tempfile.TemporaryDirectory() as folder:
        stack = fakes.pulumi_stack.Stack(Path(folder) / "stack", "update", settings)
        stack.environment |= {"HOME": folder, "PULUMI_DEBUG_PROVIDERS": f"aws:{served.port}"}
        for what in ("first", "second", "third"):
            queries.clear()
            began, before = time.monotonic(), cpu_seconds()
            stack.up()
            seconds, cpu = time.monotonic() - began, cpu_seconds() - before
            print(f"{what:<7} {seconds:6.1f} s  CPU {cpu:6.1f} s  {queries.total()} queries", flush=True)
    served.close()


if __name__ == "__main__":
    main()
