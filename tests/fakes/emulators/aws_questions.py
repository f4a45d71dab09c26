"""The query functions of the AWS provider: offered types, the newest image, prices."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fakes.emulators import aws_prices
from fakes.emulators.provider import CloudError, Properties

if TYPE_CHECKING:
    from fakes.emulators.aws import Aws


class Ec2Questions:
    """The functions of the provider; `answers` has them by token."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self.answers: dict[str, Callable[[Properties], Properties]] = {
            "aws:ec2/getInstanceTypeOfferings:getInstanceTypeOfferings": self._offerings,
            "aws:ec2/getInstanceType:getInstanceType": self._instance_type,
            "aws:ec2/getAmi:getAmi": self._ami,
            "aws:ec2/getInstance:getInstance": self._get_instance,
            "aws:ec2/getInstances:getInstances": self._get_instances,
            "aws:pricing/getProduct:getProduct": aws_prices.product,
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
            "burstablePerformanceSupported": kind["BurstablePerformanceSupported"],
        }

    def _ami(self, asked: Properties) -> Properties:
        filters = [{"Name": one["name"], "Values": one["values"]} for one in asked["filters"]]
        images = self._aws.ec2(asked["region"], "describe_images", Owners=asked["owners"], Filters=filters)["Images"]
        if not images:
            raise CloudError("Your query returned no results. Please change your search criteria and try again.")
        if len(images) > 1 and not asked.get("mostRecent"):
            raise CloudError(
                "Your query returned more than one result. Please try a more specific search criteria, or set "
                "`most_recent` attribute to true."
            )
        newest = max(images, key=lambda image: image["CreationDate"])
        return {"id": newest["ImageId"], "architecture": newest["Architecture"]}

    def _get_instance(self, asked: Properties) -> Properties:
        found = self._aws.describe(asked["instanceId"])
        if found is None:
            raise CloudError("Your query returned no results. Please change your search criteria and try again.")
        address = self._aws.address_of(asked["instanceId"])
        return {"id": asked["instanceId"], "publicIp": address, "instanceState": found["State"]["Name"]}

    def _get_instances(self, asked: Properties) -> Properties:
        """List instances; those without an address are missing in publicIps, as the provider has it."""
        filters = [{"Name": one["name"], "Values": one["values"]} for one in asked.get("filters", [])]
        filters += [{"Name": f"tag:{key}", "Values": [value]} for key, value in asked.get("instanceTags", {}).items()]
        for identity in [one for one in self._aws.machines if self._aws.region_of(one) == asked["region"]]:
            self._aws.describe(identity)  # detects machines that shut down
        states = [{"Name": "instance-state-name", "Values": asked.get("instanceStateNames", ["running"])}]
        found = self._aws.ec2(asked["region"], "describe_instances", Filters=filters + states)["Reservations"]
        ids = [one["InstanceId"] for each in found for one in each["Instances"]]
        addresses = [address for one in ids if (address := self._aws.address_of(one))]
        return {"id": asked["region"], "ids": ids, "publicIps": addresses}

    def _spot_price(self, asked: Properties) -> Properties:
        zones = self._aws.ec2(asked["region"], "describe_availability_zones")["AvailabilityZones"]
        return aws_prices.spot_price(asked, [zone["ZoneName"] for zone in zones])
