"""The emulated AWS price list answers only queries that match exactly one product."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fakes.emulators.aws_prices import GP3_USD, PRICES, product, spot_price
from fakes.emulators.provider import CloudError

from stacks.aws.prices import parse_price

HOST = {
    "regionCode": "eu-west-1",
    "instanceType": "m5d.large",
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "preInstalledSw": "NA",
    "capacitystatus": "Used",
    "licenseModel": "No License required",
    "marketoption": "OnDemand",
}
DISK = {"regionCode": "eu-west-1", "productFamily": "Storage", "volumeApiName": "gp3"}
ZONES = ["eu-west-1a", "eu-west-1b"]


def ask(fields: dict[str, str], service: str = "AmazonEC2") -> str:
    filters = [{"field": field, "value": value} for field, value in fields.items()]
    found: str = product({"filters": filters, "serviceCode": service})["result"]
    return found


@pytest.mark.parametrize(("fields", "unit", "price"), [(HOST, "Hrs", PRICES["m5d.large"]), (DISK, "GB-Mo", GP3_USD)])
def test_complete_filters_find_one_product(fields: dict[str, str], unit: str, price: float) -> None:
    answer = ask(fields)
    assert parse_price(answer, unit) == price
    assert fields.items() <= json.loads(answer)["product"]["attributes"].items()


@pytest.mark.parametrize(("fields", "left_out"), [(some, name) for some in (HOST, DISK) for name in some])
def test_missing_or_misspelt_filter_finds_no_single_product(fields: dict[str, str], left_out: str) -> None:
    with pytest.raises(CloudError, match=r"not precise enough\. Returned \d+ elements"):
        ask({name: value for name, value in fields.items() if name != left_out})
    with pytest.raises(CloudError, match="did not return any elements"):
        ask({name if name != left_out else name.upper(): value for name, value in fields.items()})
    with pytest.raises(CloudError, match="did not return any elements"):
        ask({**fields, left_out: "nonsense"})


def test_other_services_have_other_products() -> None:
    with pytest.raises(CloudError, match="did not return any elements"):
        ask(HOST, "AmazonS3")


SPOT: dict[str, Any] = {
    "instanceType": "m5d.large",
    "availabilityZone": "eu-west-1a",
    "filters": [{"name": "product-description", "values": ["Linux/UNIX"]}],
}


def test_complete_spot_price_query_is_answered() -> None:
    assert float(spot_price(SPOT, ZONES)["spotPrice"]) == pytest.approx(PRICES["m5d.large"] * 0.3)


@pytest.mark.parametrize(
    ("changed", "answer"),
    [
        ({"filters": []}, "multiple"),
        ({"filters": [{"name": "product-description", "values": ["Linux"]}]}, "no EC2 Spot Price History"),
        ({"filters": [{"name": "product", "values": ["Linux/UNIX"]}]}, "The filter 'product' is invalid"),
        ({"availabilityZone": "us-east-1a"}, "no EC2 Spot Price History"),
        ({"availabilityZone": None}, "multiple"),
        ({"instanceType": None}, "multiple"),
        ({"instanceType": "m5d.huge"}, "no EC2 Spot Price History"),
    ],
)
def test_incomplete_or_invalid_spot_price_query_is_rejected(changed: dict[str, Any], answer: str) -> None:
    asked = {name: value for name, value in {**SPOT, **changed}.items() if value is not None}
    with pytest.raises(CloudError, match=answer):
        spot_price(asked, ZONES)
