"""A local host as a resource of the stack: what of it pulumi creates, compares, refreshes and deletes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, ResourceProvider, UpdateResult

from benchmark.inventory import Role
from stacks.errors import plain_errors
from stacks.local.host.filesystem import HostConfig
from stacks.local.host.host import Host
from stacks.local.wan.network import WideAreaNetwork

DEAD = "dead"
"""Found as the `state` of a host that should run and does not."""

_COMPARED = ("region", "role", "network", "operator_key", "host_key", "files", "state")
_IDENTITY = ("testbed_id", "name")


class LocalHostProvider(ResourceProvider):
    """Creates, compares, refreshes and deletes local hosts; pulumi calls it from several threads."""

    serialize_as_secret_always = False

    @plain_errors
    def create(self, props: dict[str, Any]) -> CreateResult:
        running = props["state"] == "running"
        address = _host(props).create(_config(props), running)
        return CreateResult(f"{props['testbed_id']}/{props['name']}", _outputs(props, address))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        return ReadResult(id_, {**props, "state": _found_state(props)})

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        replaces = [name for name in _IDENTITY if olds.get(name) != news.get(name)]
        changes = [name for name in _COMPARED if olds.get(name) != news.get(name)]
        if _found_state(olds) == DEAD:
            # Its disk was mounted volatile, so what a crash left on it cannot be trusted: a new host, not a restart.
            replaces.append("state")
        return DiffResult(changes=bool(changes or replaces), replaces=replaces, delete_before_replace=True)

    @plain_errors
    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        host = _host(news)
        if news["state"] == "running":
            return UpdateResult(_outputs(news, host.start(_config(news))))
        host.stop()
        return UpdateResult(_outputs(news, _olds["address"]))

    @plain_errors
    def delete(self, _id: str, props: dict[str, Any]) -> None:
        _host(props).remove()


@dataclass(frozen=True)
class HostArgs:
    """What a local host is made from; a change of any restarts it on the files it has."""

    testbed_id: str
    name: str
    region: str
    role: Role
    network: pulumi.Input[str]
    """Identity of the running network; another one means that this host's device is gone."""
    operator_key: pulumi.Input[str]
    host_key: pulumi.Input[str]
    host_private_key: pulumi.Input[str]
    """A secret; it is not among the outputs."""
    files: Mapping[str, str]
    state: str


class LocalHost(Resource, module="geobench", name="LocalHost"):
    """A host of a local testbed, deleted before one of its name is made anew."""

    address: pulumi.Output[str]

    def __init__(self, name: str, args: HostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        secret = pulumi.ResourceOptions(additional_secret_outputs=["host_private_key"])
        props = {**vars(args), "address": None}
        super().__init__(LocalHostProvider(), name, props, pulumi.ResourceOptions.merge(secret, opts))


def _host(props: Mapping[str, Any]) -> Host:
    return Host(WideAreaNetwork(props["testbed_id"]), props["name"])


def _found_state(props: Mapping[str, Any]) -> str:
    dead = props["state"] == "running" and not _host(props).is_running()
    return DEAD if dead else str(props["state"])


def _config(props: Mapping[str, Any]) -> HostConfig:
    return HostConfig(
        props["name"],
        props["region"],
        props["role"],
        props["operator_key"],
        props["host_private_key"],
        props["files"],
    )


def _outputs(props: Mapping[str, Any], address: str) -> dict[str, Any]:
    return {**{name: props[name] for name in (*_IDENTITY, *_COMPARED)}, "address": address}
