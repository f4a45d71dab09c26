"""Declare regions of clouds without an engine, on clouds that answer from a table, and record the resources."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi.runtime.mocks import MockCallArgs, MockResourceArgs, Mocks, set_mocks

from benchmark.settings import RegionSpec, Settings
from stacks.cloud.region_args import CloudRegionArgs, cloud_region_args

OPERATOR = "198.51.100.7/32"
PRICES = {"m5d.2xlarge": 0.452, "m6g.large": 0.077, "gp3": 0.08}
OPERATOR_KEY = "ssh-ed25519 AAAAoperator"


def product(price: float, unit: str = "Hrs") -> str:
    """A product of Amazon's price list, cut to the parts that have prices."""
    dimension = {"unit": unit, "pricePerUnit": {"USD": f"{price:.10f}"}}
    return json.dumps(
        {"product": {}, "terms": {"OnDemand": {"SKU.TERM": {"priceDimensions": {"SKU.TERM.1": dimension}}}}}
    )


@dataclass
class Cloud(Mocks):
    """Two clouds: every zone but `e` offers every type, and hosts have the addresses of their numbers."""

    zones: str = "abce"
    prices: dict[str, float] = field(default_factory=lambda: dict(PRICES))
    resources: list[MockResourceArgs] = field(default_factory=list)
    calls: list[MockCallArgs] = field(default_factory=list)
    addresses: dict[str, str] = field(default_factory=dict)
    strays: list[str] = field(default_factory=list)
    """What the census of Vultr's servers finds."""
    foreign: list[str] = field(default_factory=list)
    """Instances with processors of another architecture."""
    silent: str = ""
    """The name of a function that fails, as providers' functions do without a result or a permission."""

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        self.resources.append(args)
        made = {key: value for key, value in args.inputs.items() if value is not None}
        identity = f"{args.name}-id"
        if args.typ.endswith((":Instance", ":VultrServer")):
            self.addresses[identity] = f"203.0.113.{int(args.name.rpartition('-')[2]) + 1}"
            return identity, made
        if args.typ.endswith(":VultrPower"):
            return identity, {**made, "address": self.addresses[made["server"]], "cpus": 4, "memory_mb": 8192}
        computed = {
            "public_key": f"ssh-ed25519 AAAA{args.name}",
            "private_key": f"PRIVATE-{args.name}",
            "keyName": args.name,
            "defaultRouteTableId": f"{args.name}-routes",
            "strays": self.strays,
        }
        return identity, {**computed, **made}

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        self.calls.append(args)
        name = args.token.rpartition(":")[2]
        if name == self.silent:
            return {}, [("filters", "no results were found")]
        answer = self._answer(name, args.args)
        return answer, [] if answer else [("filters", "Pricing product query not precise enough. Returned 0 elements")]

    def _answer(self, name: str, args: dict[str, Any]) -> dict[str, Any]:
        answers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "getInstanceTypeOfferings": self._offerings,
            "getInstanceType": self._instance_type,
            "getAmi": self._image,
            "getInstance": self._instance,
            "getInstances": self._instances,
            "getProduct": self._product,
            "getSpotPrice": lambda _: {"spotPrice": "0.181000"},
            "getOs": self._system,
            "getPlan": self._plan,
            "getBareMetalPlan": self._plan,
        }
        return answers[name](args)

    def _offerings(self, args: dict[str, Any]) -> dict[str, Any]:
        local = [f"{args['region']}-lax-1a"]
        return {
            "locations": [f"{args['region']}{zone}" for zone in self.zones if zone != "e"] + local * bool(self.zones)
        }

    def _instance_type(self, args: dict[str, Any]) -> dict[str, Any]:
        arm = args["instanceType"].split(".")[0].endswith("g")
        return {
            "supportedArchitectures": ["arm64"] if arm else ["i386", "x86_64"],
            "defaultVcpus": 8,
            "memorySize": 32768,
        }

    def _image(self, args: dict[str, Any]) -> dict[str, Any]:
        (name,) = args["filters"]
        assert args["owners"] == ["099720109477"]
        return {"id": f"ami of {name['values'][0]} in {args['region']}"}

    def _instance(self, args: dict[str, Any]) -> dict[str, Any]:
        stopped = any(r.typ.endswith("InstanceState") and r.inputs["state"] == "stopped" for r in self.resources)
        address = "" if stopped else self.addresses[args["instanceId"]]
        return {"publicIp": address, "instanceState": "stopped" if stopped else "running"}

    def _instances(self, args: dict[str, Any]) -> dict[str, Any]:
        if args["filters"]:  # by architecture
            return {"ids": self.foreign, "publicIps": []}
        (state,) = args["instanceStateNames"]
        here = [name for name in self.addresses if name.startswith((args["region"], "i-"))]
        found = [name for name in here if self._instance({"instanceId": name})["instanceState"] == state]
        return {"ids": found, "publicIps": [self.addresses[name] for name in found] if state == "running" else []}

    def _product(self, args: dict[str, Any]) -> dict[str, Any]:
        fields = {entry["field"]: entry["value"] for entry in args["filters"]}
        asked = fields.get("instanceType") or fields["volumeApiName"]
        if asked not in self.prices:
            return {}
        return {"result": product(self.prices[asked], "GB-Mo" if asked == "gp3" else "Hrs")}

    def _system(self, args: dict[str, Any]) -> dict[str, Any]:
        assert args["filters"] == [{"name": "name", "values": ["Ubuntu 24.04 LTS x64"]}]
        return {"id": "2284"}

    def _plan(self, args: dict[str, Any]) -> dict[str, Any]:
        return {"monthlyCost": self.prices.get(args["filters"][0]["values"][0], 40.0)}


@dataclass(frozen=True)
class Declared:
    """The declared resources, the queries to the provider, and the awaited value of the program."""

    resources: list[MockResourceArgs]
    calls: list[MockCallArgs]
    value: Any

    def of_type(self, name: str) -> dict[str, dict[str, Any]]:
        """The inputs of all resources whose type ends with `:NAME`, by the resource's name and in its order."""
        found = {made.name: made.inputs for made in self.resources if made.typ.endswith(f":{name}")}
        return dict(sorted(found.items()))


def declare(program: Callable[[], Any], cloud: Cloud | None = None) -> Declared:
    """Run `program` to its end in a fresh cloud; an output that it returns is awaited."""
    cloud = cloud or Cloud()
    set_mocks(cloud, project="geobench", stack="test")
    found: list[Any] = []

    @pulumi.runtime.test
    def run() -> Any:
        # A program that fails leaves futures behind, about which asyncio would warn when the interpreter exits.
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        return pulumi.Output.from_input(program()).apply(found.append)

    run()
    return Declared(cloud.resources, cloud.calls, found[0])


def args_of(settings: Settings, *, monitoring: bool = True, peers: int | None = None) -> CloudRegionArgs:
    """The arguments of the settings' first region; call it within `declare`."""
    key = pulumi.Output.from_input(OPERATOR_KEY)
    spec: RegionSpec = settings.region_specs[0]
    tags = {"testbed_id": settings.testbed_id, "owner": "ada", "expiry": "2030-01-01T00:00:00+00:00"}
    return cloud_region_args(settings, spec, key, tags, peers=peers or settings.instances, monitoring=monitoring)
