"""Hourly price of an AWS host from Amazon's price list; None if the list has no price, never a guess.

Traffic is not included: it depends on what a benchmark sends.
https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/price-changes.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TypedDict

import pulumi

from stacks.cloud.region_args import look_up_price

HOURS_PER_MONTH = 730.0
"""Amazon's factor between a price per GB and month and one per hour."""
PUBLIC_IPV4_USD = 0.005
"""Per address and hour, the same in every region: https://aws.amazon.com/vpc/pricing/"""


class _Product(TypedDict):
    result: str


class _SpotPrice(TypedDict):
    spotPrice: str


def hourly_price(
    region: str, instance_type: str, disk_gb: int, zone: str, *, spot: bool, running: bool, opts: pulumi.InvokeOptions
) -> pulumi.Output[float | None]:
    """Return what one host costs in USD per hour: instance, public address and root disk; None if any is unknown.

    A stopped host is billed for its disk only.
    """

    def listed(fields: Mapping[str, str], unit: str, what: str) -> pulumi.Output[float | None]:
        filters = [{"field": field, "value": value} for field, value in {"regionCode": region, **fields}.items()]
        query = {"filters": filters, "serviceCode": "AmazonEC2"}
        product = look_up_price(_Product, "aws:pricing/getProduct:getProduct", query, opts, what)
        return product.apply(lambda found: parse_price(found["result"], unit) if found else None)

    gigabyte = listed({"productFamily": "Storage", "volumeApiName": "gp3"}, "GB-Mo", f"disks in {region}")
    disk = gigabyte.apply(lambda usd: None if usd is None else usd * disk_gb / HOURS_PER_MONTH)
    if not running:
        return disk
    if spot:
        query = {
            "instanceType": instance_type,
            "availabilityZone": zone,
            "filters": [{"name": "product-description", "values": ["Linux/UNIX"]}],
            "region": region,
        }
        what = f"{instance_type} in {zone}"
        offer = look_up_price(_SpotPrice, "aws:ec2/getSpotPrice:getSpotPrice", query, opts, what)
        instance = offer.apply(lambda found: float(found["spotPrice"]) or None if found else None)
    else:
        fields = {
            "instanceType": instance_type,
            "operatingSystem": "Linux",
            "tenancy": "Shared",
            "preInstalledSw": "NA",
            "capacitystatus": "Used",
            "licenseModel": "No License required",
            "marketoption": "OnDemand",
        }
        instance = listed(fields, "Hrs", f"{instance_type} in {region}")
    return pulumi.Output.all(disk, instance).apply(
        lambda prices: None if None in prices else float(sum(prices)) + PUBLIC_IPV4_USD
    )


def parse_price(product: str, unit: str) -> float | None:
    """Read the on-demand price from a product of the price list (JSON); None unless it is exactly one, in USD per unit.

    The list gives zero for products that are sold elsewhere: that is unknown too.
    """
    try:
        terms = json.loads(product)["terms"]["OnDemand"]
        (term,) = terms.values()
        (dimension,) = term["priceDimensions"].values()
        price = float(dimension["pricePerUnit"]["USD"])
        return price if dimension["unit"] == unit and price > 0 else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
