"""What the provider of AWS answers to questions: what is offered, which image is the newest, what it costs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from emulators.provider import CloudError, Properties

if TYPE_CHECKING:
    from emulators.aws import Aws

PRICES = {"m5d.2xlarge": 0.504, "m5d.large": 0.126}
GP3_USD = 0.088


class Ec2Questions:
    """The functions of the provider, `answers` by their token."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self.answers: dict[str, Callable[[Properties], Properties]] = {
            "aws:ec2/getInstanceTypeOfferings:getInstanceTypeOfferings": self._offerings,
            "aws:ec2/getInstanceType:getInstanceType": self._instance_type,
            "aws:ec2/getAmi:getAmi": self._ami,
            "aws:ec2/getInstance:getInstance": self._get_instance,
            "aws:pricing/getProduct:getProduct": self._price,
            "aws:ec2/getSpotPrice:getSpotPrice": self._spot_price,
        }

    def _offerings(self, asked: Properties) -> Properties:
        filters = [{"Name": one["name"], "Values": one["values"]} for one in asked["filters"]]
        kind = asked["locationType"]
        found = self._aws.ec2(asked["region"], "describe_instance_type_offerings", LocationType=kind, Filters=filters)
        return {"id": asked["region"], "locations": [one["Location"] for one in found["InstanceTypeOfferings"]]}

    def _instance_type(self, asked: Properties) -> Properties:
        found = self._aws.ec2(asked["region"], "describe_instance_types", InstanceTypes=[asked["instanceType"]])
        (kind,) = found["InstanceTypes"]
        return {
            "id": asked["instanceType"],
            "supportedArchitectures": kind["ProcessorInfo"]["SupportedArchitectures"],
            "defaultVcpus": kind["VCpuInfo"]["DefaultVCpus"],
            "memorySize": kind["MemoryInfo"]["SizeInMiB"],
        }

    def _ami(self, asked: Properties) -> Properties:
        filters = [{"Name": one["name"], "Values": one["values"]} for one in asked["filters"]]
        images = self._aws.ec2(asked["region"], "describe_images", Owners=asked["owners"], Filters=filters)["Images"]
        if not images:
            raise CloudError("Your query returned no results. Please change your search criteria and try again.")
        newest = max(images, key=lambda image: image["CreationDate"])
        return {"id": newest["ImageId"], "architecture": newest["Architecture"]}

    def _get_instance(self, asked: Properties) -> Properties:
        found = self._aws.describe(asked["instanceId"])
        if found is None:
            raise CloudError("Your query returned no results. Please change your search criteria and try again.")
        machine = self._aws.machines[asked["instanceId"]]
        return {"id": asked["instanceId"], "publicIp": machine.address, "instanceState": found["State"]["Name"]}

    def _price(self, asked: Properties) -> Properties:
        fields = {one["field"]: one["value"] for one in asked["filters"]}
        disk = fields.get("volumeApiName") == "gp3"
        price = GP3_USD if disk else PRICES.get(fields.get("instanceType", ""))
        if price is None:
            raise CloudError("Pricing product query not precise enough. Returned 0 elements")
        dimension = {"unit": "GB-Mo" if disk else "Hrs", "pricePerUnit": {"USD": f"{price:.10f}"}}
        terms = {"OnDemand": {"A.B": {"priceDimensions": {"A.B.C": dimension}}}}
        return {"id": "price", "result": json.dumps({"serviceCode": asked["serviceCode"], "terms": terms})}

    def _spot_price(self, asked: Properties) -> Properties:
        return {"id": "spot", "spotPrice": f"{PRICES[asked['instanceType']] * 0.3:.6f}"}
