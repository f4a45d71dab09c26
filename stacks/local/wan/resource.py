"""The emulated network as a Pulumi resource, on the machine that runs the Pulumi program.

`identity` is an input of every host: it changes when the network is recreated (the emulator died, the machine
rebooted). Then the hosts, whose interfaces are gone with it, are replaced.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TypedDict

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, ResourceProvider, UpdateResult

from stacks.errors import hide_traceback
from stacks.local.owner import Owner, find_owner, require_owner
from stacks.local.root import as_root
from stacks.local.wan.links import Direction, Links
from stacks.local.wan.network import WideAreaNetwork


class NetworkProps(TypedDict):
    """Properties of the resource; see LocalNetwork."""

    testbed_id: str
    stack: str
    """Name of the stack that owns the testbed; missing in states of earlier releases."""
    links: str
    """JSON of `Links`."""
    subnet: str
    operator_address: str
    identity: str
    metrics_directory: str


class NetworkProvider(ResourceProvider):
    """Creates, changes and removes the network of a local testbed; its id is the testbed's."""

    @hide_traceback
    @as_root
    def create(self, props: NetworkProps) -> CreateResult:
        """Start the emulator and claim a subnet. InfrastructureError if the testbed belongs to another stack."""
        network = WideAreaNetwork(props["testbed_id"])
        network.start(Links.from_json(props["links"]), Owner.here(props["stack"]))
        return CreateResult(props["testbed_id"], _outputs(props, network))

    @hide_traceback
    @as_root
    def read(self, id_: str, props: NetworkProps) -> ReadResult:
        """Report the network as deleted (an empty id) if its emulator has died; the next update recreates it."""
        network = WideAreaNetwork(id_)
        return ReadResult(id_, _outputs(props, network)) if network.running() else ReadResult("", {})

    @hide_traceback
    @as_root
    def diff(self, id_: str, olds: NetworkProps, news: NetworkProps) -> DiffResult:
        """Replace the network if the testbed's id changed or the emulator has died; change its links in place."""
        replaced = [] if olds["testbed_id"] == news["testbed_id"] else ["testbed_id"]
        if not replaced and WideAreaNetwork(id_).identity() != olds["identity"]:
            replaced = ["identity"]
        changed = bool(replaced) or olds["links"] != news["links"] or find_owner(id_) is None
        stable = ["testbed_id", "subnet", "operator_address", "identity", "metrics_directory"]
        return DiffResult(changed, replaced, [] if replaced else stable, delete_before_replace=True)

    @hide_traceback
    @as_root
    def update(self, id_: str, olds: NetworkProps, news: NetworkProps) -> UpdateResult:
        """Apply new links to the running emulator; hosts stay attached."""
        network = WideAreaNetwork(id_)
        links = with_former_regions(Links.from_json(news["links"]), Links.from_json(olds["links"]))
        network.start(links, Owner.here(news["stack"]))
        return UpdateResult(_outputs(news, network))

    @hide_traceback
    @as_root
    def delete(self, id_: str, props: NetworkProps) -> None:
        """Stop the emulator and remove everything it created."""
        if "stack" in props:
            require_owner(id_, Owner.here(props["stack"]))
        WideAreaNetwork(id_).stop()


def with_former_regions(links: Links, former: Links) -> Links:
    """Add the regions of `former` to `links`, as Pulumi deletes the hosts of a removed region only afterwards."""
    directions = {**former.directions, **links.directions}
    for source, target in product({*links.regions, *former.regions}, repeat=2):
        directions.setdefault(f"{source}->{target}", Direction(0.0))  # between hosts about to be deleted and new ones
    return replace(links, directions=directions)


class LocalNetwork(Resource, module="geobench", name="LocalNetwork"):
    """The network that a local testbed's hosts attach to."""

    testbed_id: pulumi.Output[str]
    links: pulumi.Output[str]
    subnet: pulumi.Output[str]
    """Such as `198.18.0.0/20`."""
    operator_address: pulumi.Output[str]
    """The machine's own address in the subnet."""
    identity: pulumi.Output[str]
    """The emulator's process id and start time; an input of every host."""
    metrics_directory: pulumi.Output[str]
    """Folder of the emulator's own metrics, for node exporter's textfile collector."""

    def __init__(self, name: str, testbed_id: str, links: Links, opts: pulumi.ResourceOptions | None = None) -> None:
        outputs = dict.fromkeys(("subnet", "operator_address", "identity", "metrics_directory"))
        inputs = {"testbed_id": testbed_id, "stack": pulumi.get_stack(), "links": links.to_json(), **outputs}
        super().__init__(NetworkProvider(), name, inputs, opts)


def _outputs(props: NetworkProps, network: WideAreaNetwork) -> dict[str, object]:
    return {
        "testbed_id": props["testbed_id"],
        "stack": props.get("stack", ""),
        "links": props["links"],
        "subnet": network.subnet,
        "operator_address": network.operator_address,
        "identity": network.identity(),
        "metrics_directory": str(network.directory / "metrics"),
    }
