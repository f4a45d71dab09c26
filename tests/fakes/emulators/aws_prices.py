"""The queried part of Amazon's price list: a list of products, of which filters must select exactly one.

https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_pricing_GetProducts.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import boto3
from fakes.emulators.provider import CloudError, Properties

PRICES = {"m5d.2xlarge": 0.504, "m5d.large": 0.126}
GP3_USD = 0.088
SPOT_PART = 0.3
SPOT_SYSTEMS = {"Linux/UNIX": 1.0, "Red Hat Enterprise Linux": 1.3, "SUSE Linux": 1.5, "Windows": 1.9}
"""Operating systems of spot instances, and their price relative to Linux."""

_INSTANCE = {
    "productFamily": "Compute Instance",
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "preInstalledSw": "NA",
    "capacitystatus": "Used",
    "licenseModel": "No License required",
    "marketoption": "OnDemand",
}
# Each differs in one attribute, so that a missing filter finds several products.
_OTHER_INSTANCES = [
    {"operatingSystem": "Windows"},
    {"operatingSystem": "RHEL"},
    {"tenancy": "Dedicated"},
    {"preInstalledSw": "SQL Std"},
    {"capacitystatus": "UnusedCapacityReservation"},
    {"capacitystatus": "AllocatedCapacityReservation"},
    {"licenseModel": "Bring your own license"},
    {"marketoption": "CapacityBlock"},
]
_DISK = {"productFamily": "Storage", "volumeApiName": "gp3"}
_OTHER_DISKS = [
    {"volumeApiName": "gp2"},
    {"productFamily": "System Operation"},
    {"productFamily": "Provisioned Throughput"},
]


def product(asked: Properties) -> Properties:
    """Answer getProduct with the provider's messages."""
    fields = [(one["field"], one["value"]) for one in asked["filters"]]
    found = [one for one in _products(asked["serviceCode"]) if all(one[0].get(name) == value for name, value in fields)]
    if not found:
        raise CloudError("Pricing product query did not return any elements")
    if len(found) > 1:
        raise CloudError(f"Pricing product query not precise enough. Returned {len(found)} elements")
    attributes, unit, price = found[0]
    dimension = {"unit": unit, "pricePerUnit": {"USD": f"{price:.10f}"}}
    terms = {
        "OnDemand": {"A.B": {"priceDimensions": {"A.B.C": dimension}}},
        "Reserved": {"A.D": {"priceDimensions": {"A.D.C": {**dimension, "pricePerUnit": {"USD": "0.0000000000"}}}}},
    }
    told = {"product": {"attributes": attributes}, "serviceCode": asked["serviceCode"], "terms": terms}
    return {"id": "price", "result": json.dumps(told)}


def _products(service: str) -> Iterator[tuple[dict[str, str], str, float]]:
    """Return attributes, unit and price in USD of all products of a service."""
    if service != "AmazonEC2":
        return
    for region in boto3.session.Session().get_available_regions("ec2"):
        for kind, price in PRICES.items():
            for factor, other in enumerate([{}, *_OTHER_INSTANCES], 1):
                yield {**_INSTANCE, "regionCode": region, "instanceType": kind, **other}, "Hrs", price * factor
        for factor, other in enumerate([{}, *_OTHER_DISKS], 1):
            yield {**_DISK, "regionCode": region, **other}, "GB-Mo", GP3_USD * factor


def spot_price(asked: Properties, zones: list[str]) -> Properties:
    """Answer getSpotPrice for a region of these zones, each of which has a price for each system."""
    fields = {"availability-zone": [asked["availabilityZone"]]} if "availabilityZone" in asked else {}
    fields |= {"instance-type": [asked["instanceType"]]} if "instanceType" in asked else {}
    fields |= {one["name"]: one["values"] for one in asked.get("filters", [])}
    found = [
        price * SPOT_PART * factor
        for kind, price in PRICES.items()
        for zone in zones
        for system, factor in SPOT_SYSTEMS.items()
        if _fits(fields, {"instance-type": kind, "availability-zone": zone, "product-description": system})
    ]
    if len(found) != 1:
        number = "multiple EC2 Spot Price History results" if found else "no EC2 Spot Price History"
        raise CloudError(f"{number} found matching criteria; try different search")
    return {"id": "spot", "spotPrice": f"{found[0]:.6f}"}


def _fits(fields: dict[str, list[str]], known: dict[str, str]) -> bool:
    unknown = fields.keys() - known.keys()
    if unknown:
        raise CloudError(f"InvalidParameterValue: The filter '{min(unknown)}' is invalid")
    return all(known[name] in values for name, values in fields.items())
