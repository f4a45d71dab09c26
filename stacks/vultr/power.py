"""Wait for Vultr servers, halt and start them. A halted server is billed; only `pulumi destroy` ends the cost.

https://www.vultr.com/api/#tag/instances and #tag/baremetal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypedDict

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, ResourceProvider, UpdateResult

from benchmark.errors import InfrastructureError
from stacks.errors import hide_traceback
from stacks.vultr.api import DEFAULT_TOKEN_FILE, NO_ADDRESS, Kind, Server, VultrApi
from stacks.vultr.server import GONE

_INSTALL_SECONDS = {"instances": 900.0, "bare-metals": 3600.0}
_POWER_SECONDS = 300.0
_FIRST_BOOT_SECONDS = 60.0
"""A server may be reported as installed or resized, and as stopped, for a moment before it boots."""
_POLL_SECONDS = 2.0


class Power(TypedDict):
    """Inputs of the resource."""

    server: str
    kind: Kind
    state: str
    """running or stopped."""
    plan: str
    """The plan that the server has once its resource is up to date; missing in states of earlier releases."""
    token_file: str


class VultrPower(Resource, module="geobench", name="VultrPower"):
    """Whether a server runs; `state` is `running` or `stopped`. Its outputs exist once it is installed."""

    state: pulumi.Output[str]
    address: pulumi.Output[str]
    cpus: pulumi.Output[int]
    memory_mb: pulumi.Output[int | None]

    def __init__(
        self,
        name: str,
        server: pulumi.Input[str],
        kind: Kind,
        state: str,
        plan: str,
        token_file: Path | None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        token = str(token_file or DEFAULT_TOKEN_FILE)
        computed = {"address": None, "cpus": None, "memory_mb": None}
        props = {"server": server, "kind": kind, "state": state, "plan": plan, "token_file": token, **computed}
        super().__init__(VultrPowerProvider(), name, props, opts)


class VultrPowerProvider(ResourceProvider):
    """Starts or halts a server and reads its state; deleting the resource does not change the server."""

    serialize_as_secret_always = False

    @hide_traceback
    def create(self, props: Power) -> CreateResult:
        found = _booted(props, _installed(props))
        return CreateResult(props["server"], _outputs(props, _switched(props, found, before="running")))

    @hide_traceback
    def read(self, id_: str, props: Power) -> ReadResult:
        found = VultrApi(props["token_file"]).server(props["kind"], props["server"])
        if found is None:
            return ReadResult(None, {**props})
        state = found.get("power_status", props["state"]) if found.get("status") != "pending" else "pending"
        return ReadResult(id_, {**_outputs(props, found), "state": state, "plan": found.get("plan", props.get("plan"))})

    @hide_traceback
    def diff(self, _id: str, olds: Mapping[str, object], news: Power) -> DiffResult:
        replaces = [name for name in ("server", "kind") if olds.get(name) != news.get(name)]
        changed = any(olds.get(name) != news.get(name) for name in ("state", "plan", "token_file"))
        return DiffResult(changes=bool(replaces) or changed, replaces=replaces, delete_before_replace=True)

    @hide_traceback
    def update(self, _id: str, olds: Mapping[str, object], news: Power) -> UpdateResult:
        found = _installed(news)
        if olds.get("plan") != news["plan"] and olds.get("state") == "running":
            found = _booted(news, found)
        return UpdateResult(_outputs(news, _switched(news, found, before=str(olds.get("state")))))


def _installed(props: Power) -> Server:
    """Wait until a server is installed, has its address and its plan, and return it."""

    def ready(server: Server) -> bool:
        addressed = server.get("main_ip", "") not in NO_ADDRESS
        return server.get("status") == "active" and addressed and server.get("plan") == props["plan"]

    seconds = _INSTALL_SECONDS[props["kind"]]
    return _wait(props, ready, seconds, f"server {props['server']} to be installed as {props['plan']}")


def _booted(props: Power, found: Server) -> Server:
    """Wait a moment until an installed or resized server runs."""
    started = time.monotonic()
    while found.get("power_status", "running") != "running" and time.monotonic() - started < _FIRST_BOOT_SECONDS:
        time.sleep(_POLL_SECONDS)
        found = _server(props)
    return found


def _switched(props: Power, found: Server, before: str) -> Server:
    """Start or halt an installed server; `before` is the state of bare metal, which reports none."""
    wanted, kind, server = props["state"], props["kind"], props["server"]
    if wanted == found.get("power_status", before):
        return found
    VultrApi(props["token_file"]).request("POST", f"/{kind}/{server}/{'start' if wanted == 'running' else 'halt'}")
    return _wait(
        props,
        lambda one: one.get("power_status", wanted) == wanted,
        _POWER_SECONDS,
        f"server {server} to be {wanted}",
    )


def _wait(props: Power, condition: Callable[[Server], bool], seconds: float, what: str) -> Server:
    deadline = time.monotonic() + seconds
    while not condition(found := _server(props)):
        if time.monotonic() > deadline:
            raise InfrastructureError(f"waited {seconds:.0f} s for {what}; check it in Vultr's console, then retry")
        time.sleep(_POLL_SECONDS)
    return found


def _server(props: Power) -> Server:
    found = VultrApi(props["token_file"]).server(props["kind"], props["server"])
    if found is None:
        raise InfrastructureError(GONE.format(server=props["server"]))
    return found


def _outputs(props: Power, found: Server) -> dict[str, object]:
    """Return the properties with what the API reports; an address that is not assigned yet is empty."""
    address = found.get("main_ip", "")
    memory = found.get("ram")
    if isinstance(memory, str):  # of bare metal, such as `32768 MB`
        number = memory.partition(" ")[0]
        memory = int(number) if number.isdecimal() else None
    return {
        **props,
        "address": "" if address in NO_ADDRESS else address,
        "cpus": found.get("vcpu_count", found.get("cpu_count")),
        "memory_mb": memory,
    }
