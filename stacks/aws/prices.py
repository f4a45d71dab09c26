"""What a host on AWS costs an hour, from Amazon's own price list; None where it does not say, never a guess.

Traffic is not included: it depends on what a benchmark sends.
https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/price-changes.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import pulumi

from stacks.cloud.region_args import look_up_price

HOURS_PER_MONTH = 730.0
"""By which Amazon turns a price per GB and month into one per hour."""
PUBLIC_IPV4_USD = 0.005
"""Per address and hour, the same in every region: https://aws.amazon.com/vpc/pricing/"""


def hourly_price(
    region: str, instance_type: str, disk_gb: int, zone: str, *, spot: bool, running: bool, opts: pulumi.InvokeOptions
) -> pulumi.Output[float | None]:
    """Return what one host costs in USD an hour: instance, public address and root disk; None if any is unknown.

    A stopped host keeps its disk only.
    """
    disk = _disk(region, disk_gb, opts)
    if not running:
        return disk
    instance = _spot(region, instance_type, zone, opts) if spot else _on_demand(region, instance_type, opts)
    return pulumi.Output.all(disk, instance).apply(
        lambda prices: None if None in prices else float(sum(prices)) + PUBLIC_IPV4_USD
    )


def parse_price(product: str, unit: str) -> float | None:
    """Read the on-demand price from a product of the price list (JSON); None unless it is exactly one, in USD per unit.

    A price of zero is what the list gives for what is sold elsewhere: unknown too.
    """
    try:
        terms = json.loads(product)["terms"]["OnDemand"]
        (term,) = terms.values()
        (dimension,) = term["priceDimensions"].values()
        price = float(dimension["pricePerUnit"]["USD"])
        return price if dimension["unit"] == unit and price > 0 else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _on_demand(region: str, instance_type: str, opts: pulumi.InvokeOptions) -> pulumi.Output[float | None]:
    fields = {
        "regionCode": region,
        "instanceType": instance_type,
        "operatingSystem": "Linux",
        "tenancy": "Shared",
        "preInstalledSw": "NA",
        "capacitystatus": "Used",
        "licenseModel": "No License required",
        "marketoption": "OnDemand",
    }
    return _product(fields, "Hrs", opts, f"{instance_type} in {region}")


def _disk(region: str, disk_gb: int, opts: pulumi.InvokeOptions) -> pulumi.Output[float | None]:
    fields = {"regionCode": region, "productFamily": "Storage", "volumeApiName": "gp3"}
    price = _product(fields, "GB-Mo", opts, f"disks in {region}")
    return price.apply(lambda usd: None if usd is None else usd * disk_gb / HOURS_PER_MONTH)


def _product(
    fields: Mapping[str, str], unit: str, opts: pulumi.InvokeOptions, what: str
) -> pulumi.Output[float | None]:
    asked = {
        "filters": [{"field": field, "value": value} for field, value in fields.items()],
        "serviceCode": "AmazonEC2",
    }
    answer = look_up_price("aws:pricing/getProduct:getProduct", asked, opts, what)
    return answer.apply(lambda found: parse_price(found["result"], unit) if found else None)


def _spot(region: str, instance_type: str, zone: str, opts: pulumi.InvokeOptions) -> pulumi.Output[float | None]:
    asked = {
        "instanceType": instance_type,
        "availabilityZone": zone,
        "filters": [{"name": "product-description", "values": ["Linux/UNIX"]}],
        "region": region,
    }
    answer = look_up_price("aws:ec2/getSpotPrice:getSpotPrice", asked, opts, f"{instance_type} in {zone}")
    return answer.apply(lambda found: float(found["spotPrice"]) or None if found else None)
