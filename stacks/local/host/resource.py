"""A local host as a Pulumi resource: how it is created, compared, refreshed and deleted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypedDict

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, ResourceProvider, UpdateResult

from benchmark.inventory import Role
from stacks.errors import hide_traceback
from stacks.local.host.disk import Disk
from stacks.local.host.filesystem import HostConfig
from stacks.local.host.host import Host
from stacks.local.owner import Owner, require_owner
from stacks.local.root import as_root
from stacks.local.wan.network import WideAreaNetwork

DEAD = "dead"
"""The `state` that a refresh finds if a host should run and does not."""

_COMPARED = ("region", "role", "network", "operator_key", "host_key", "files", "disk", "state")
_IDENTITY = ("testbed_id", "name")


class DiskProps(TypedDict):
    """Properties of a host's disk, whose numbers Pulumi passes as floats; a bandwidth of 0 is none."""

    size: float
    folder: str
    bandwidth: float


class HostProps(TypedDict):
    """Properties of the resource; see HostArgs."""

    testbed_id: str
    stack: str
    name: str
    region: str
    role: Role
    network: str
    operator_key: str
    host_key: str
    host_private_key: str
    files: Mapping[str, str]
    disk: DiskProps | None
    state: str
    address: str


class LocalHostProvider(ResourceProvider):
    """Creates, compares, refreshes and deletes local hosts; pulumi calls it from several threads."""

    serialize_as_secret_always = False

    @hide_traceback
    @as_root
    def create(self, props: HostProps) -> CreateResult:
        _require_own(props)
        address = find_host(props).create(_config(props), running=props["state"] == "running")
        return CreateResult(f"{props['testbed_id']}/{props['name']}", _outputs(props, address))

    @hide_traceback
    @as_root
    def read(self, id_: str, props: HostProps) -> ReadResult:
        return ReadResult(id_, {**props, "state": _found_state(props)})

    @hide_traceback
    @as_root
    def diff(self, _id: str, olds: HostProps, news: HostProps) -> DiffResult:
        replaces = [name for name in _IDENTITY if olds.get(name) != news.get(name)]
        changes = [name for name in _COMPARED if olds.get(name) != news.get(name)]
        if _size(olds) != _size(news):
            replaces.append("disk")
        if _found_state(olds) == DEAD:
            # Its layer was mounted volatile, so after a crash it cannot be trusted: replace the host.
            replaces.append("state")
        return DiffResult(changes=bool(changes or replaces), replaces=replaces, delete_before_replace=True)

    @hide_traceback
    @as_root
    def update(self, _id: str, olds: HostProps, news: HostProps) -> UpdateResult:
        _require_own(news)
        host = find_host(news)
        if news["state"] == "running":
            return UpdateResult(_outputs(news, host.start(_config(news))))
        host.stop()
        return UpdateResult(_outputs(news, olds["address"]))

    @hide_traceback
    @as_root
    def delete(self, _id: str, props: HostProps) -> None:
        _require_own(props)
        find_host(props).remove()


@dataclass(frozen=True)
class HostArgs:
    """Inputs of a local host; a change of any field restarts it on its files."""

    testbed_id: str
    stack: str
    """Name of the stack that owns the testbed; missing in states of earlier releases."""
    name: str
    region: str
    role: Role
    network: pulumi.Input[str]
    """Identity of the running network; another one means that this host's device is gone."""
    operator_key: pulumi.Input[str]
    host_key: pulumi.Input[str]
    host_private_key: pulumi.Input[str]
    """A secret; not among the outputs."""
    files: Mapping[str, str]
    disk: DiskProps | None
    """Another size recreates the host; None if all its files are in its layer."""
    state: Literal["running", "stopped"]


class LocalHost(Resource, module="geobench", name="LocalHost"):
    """A host of a local testbed; a replacement is created after it was deleted."""

    address: pulumi.Output[str]

    def __init__(self, name: str, args: HostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        secret = pulumi.ResourceOptions(additional_secret_outputs=["host_private_key"])
        props = {**vars(args), "address": None}
        super().__init__(LocalHostProvider(), name, props, pulumi.ResourceOptions.merge(secret, opts))


def find_host(props: HostProps) -> Host:
    """Return the host that the properties name."""
    return Host(WideAreaNetwork(props["testbed_id"]), props["name"])


def _require_own(props: HostProps) -> None:
    if "stack" in props:
        require_owner(props["testbed_id"], Owner.here(props["stack"]))


def _found_state(props: HostProps) -> str:
    dead = props["state"] == "running" and not find_host(props).is_running()
    return DEAD if dead else props["state"]


def _size(props: HostProps) -> float | None:
    disk = props.get("disk")  # missing in states of earlier releases
    return disk["size"] if disk else None


def _config(props: HostProps) -> HostConfig:
    disk = props.get("disk")
    return HostConfig(
        props["name"],
        props["region"],
        props["role"],
        props["operator_key"],
        props["host_private_key"],
        props["files"],
        Disk(int(disk["size"]), disk["folder"], int(disk["bandwidth"]) or None) if disk else None,
    )


def _outputs(props: HostProps, address: str) -> dict[str, object]:
    kept = (*_IDENTITY, "stack", *_COMPARED)
    return {name: value for name, value in props.items() if name in kept} | {"address": address}
