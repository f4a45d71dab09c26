"""The resource under Pulumi's mocks; its provider is tested on a real network in integration/test_wan.py."""

from __future__ import annotations

import pickle
from typing import Any

import pulumi
import pytest
from pulumi.runtime import MockCallArgs, MockResourceArgs, Mocks

from benchmark.settings import Network
from stacks.local.wan.links import links_for
from stacks.local.wan.resource import LocalNetwork, NetworkProvider, with_former_regions


class Recorded(Mocks):
    """Records declared resources."""

    def __init__(self) -> None:
        self.declared: list[MockResourceArgs] = []

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        self.declared.append(args)
        return args.inputs["testbed_id"], {**args.inputs, "identity": "17 4711"}

    def call(self, args: MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        return {}, None


@pytest.fixture
def mocks() -> Recorded:
    mocks = Recorded()
    pulumi.runtime.set_mocks(mocks)
    return mocks


def test_hosts_can_depend_on_the_identity(mocks: Recorded) -> None:
    links = links_for(["us-east-1"], Network())

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def declare() -> pulumi.Output[None]:
        network = LocalNetwork("network", "t", links)
        return network.identity.apply(lambda identity: seen.append(identity))

    seen: list[str] = []
    declare()
    assert seen == ["17 4711"]
    (declared,) = mocks.declared
    assert declared.typ == "pulumi-python:dynamic/geobench:LocalNetwork"
    assert {key: declared.inputs[key] for key in ("testbed_id", "links")} == {
        "testbed_id": "t",
        "links": links.to_json(),
    }


def test_the_state_refers_to_the_provider_instead_of_containing_its_code() -> None:
    """A newer program updates and deletes with its own code."""
    assert len(pickle.dumps(NetworkProvider())) < 200


def test_removed_regions_stay_reachable_until_their_hosts_are_deleted() -> None:
    before, after = links_for(["us-east-1", "eu-west-1"], Network()), links_for(["us-east-1", "sa-east-1"], Network())
    joined = with_former_regions(after, before)
    assert joined.rtt("us-east-1", "sa-east-1") == after.rtt("us-east-1", "sa-east-1")
    assert joined.rtt("us-east-1", "eu-west-1") == before.rtt("us-east-1", "eu-west-1")
    assert joined.rtt("eu-west-1", "sa-east-1") == 0.0
    assert with_former_regions(after, after) == after
