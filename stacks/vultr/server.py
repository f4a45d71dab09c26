"""Vultr servers as resources on the API: Vultr's Pulumi provider cannot read them any more.

It asks for the VPC 2.0 networks of a server at every read, which the API answers 404 since 2026:
https://github.com/vultr/terraform-provider-vultr/issues/753

Life of a server. It is ordered with the tag `unconfirmed` and not waited for, since Pulumi runs four operations of
these resources at once: `VultrPower` waits for all of them together. `VultrCensus` removes the tag when Pulumi's state
has the servers. If an update is killed in between, the next one finds the server by its label, tag and first-boot
script, and adopts it instead of ordering another one.
"""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypedDict

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, ResourceProvider, UpdateResult

from benchmark.errors import InfrastructureError
from stacks.errors import hide_traceback
from stacks.strays import Stray
from stacks.vultr.api import DEFAULT_TOKEN_FILE, NO_ADDRESS, Kind, Server, UnclearError, VultrApi, server_in

UNCONFIRMED = "unconfirmed"
"""Tag of a server from its order until the state has it."""
GONE = "Vultr has no server {server} any more; `pulumi up --refresh` replaces it"

_ORDERS = 3
_DIGEST = "sha256:"
_FIXED = ("kind", "region", "os_id", "hostname", "ssh_key_ids", "user_data")
_CHANGEABLE = ("plan", "label", "tags", "firewall_group_id")


class ServerProps(TypedDict):
    """Properties of the resource: those of an order, https://www.vultr.com/api/#operation/create-instance."""

    kind: Kind
    token_file: str
    plan: str
    region: str
    os_id: int
    hostname: str
    label: str
    tags: list[str]
    user_data: str
    """The first-boot script, a secret; among the outputs its digest, as Pulumi writes the whole state at every step."""
    ssh_key_ids: list[str]
    firewall_group_id: str
    """Empty for bare metal."""


class VultrServer(Resource, module="geobench", name="VultrServer"):
    """A server, cloud compute or bare metal. Its address is an output of `VultrPower`."""

    def __init__(self, name: str, props: Mapping[str, object], opts: pulumi.ResourceOptions | None = None) -> None:
        secret = pulumi.ResourceOptions(additional_secret_outputs=["user_data"])
        super().__init__(VultrServerProvider(), name, props, pulumi.ResourceOptions.merge(secret, opts))


class VultrServerProvider(ResourceProvider):
    """Orders, reads, changes and deletes a server."""

    serialize_as_secret_always = False

    @hide_traceback
    def create(self, props: ServerProps) -> CreateResult:
        return CreateResult(_order(VultrApi(props["token_file"]), props), _outputs(props))

    @hide_traceback
    def read(self, id_: str, props: ServerProps) -> ReadResult:
        found = VultrApi(props["token_file"]).server(props["kind"], id_)
        return ReadResult(id_ if found else None, _outputs(props) | (_observed(found, props) if found else {}))

    @hide_traceback
    def diff(self, id_: str, olds: ServerProps, news: ServerProps) -> DiffResult:
        before, after = _outputs(olds), _outputs(news)
        changed = [name for name in (*_FIXED, *_CHANGEABLE, "token_file") if before.get(name) != after.get(name)]
        replaces = [name for name in changed if name in _FIXED or (name == "plan" and olds["kind"] == "bare-metals")]
        if "plan" in changed and not replaces:
            _require_upgrade(id_, olds, news)
        return DiffResult(changes=bool(changed), replaces=replaces)

    @hide_traceback
    def update(self, id_: str, olds: ServerProps, news: ServerProps) -> UpdateResult:
        changes = {name: news.get(name) for name in _CHANGEABLE if olds.get(name) != news.get(name)}
        if changes and VultrApi(news["token_file"]).request("PATCH", f"/{news['kind']}/{id_}", changes) is None:
            raise InfrastructureError(GONE.format(server=id_))
        return UpdateResult(_outputs(news))

    @hide_traceback
    def delete(self, id_: str, props: ServerProps) -> None:
        VultrApi(props["token_file"]).request("DELETE", f"/{props['kind']}/{id_}")


class CensusProps(TypedDict):
    """Properties of the resource."""

    servers: list[str]
    """Of the stack."""
    kind: Kind
    token_file: str
    testbed_id: str


class VultrCensus(Resource, module="geobench", name="VultrCensus"):
    """Compares the servers of a stack with those that the account has.

    `strays` describes servers that an interrupted update has ordered and this one could not adopt.
    """

    strays: pulumi.Output[list[str]]

    def __init__(
        self,
        name: str,
        servers: Sequence[pulumi.Input[str]],
        kind: Kind,
        testbed_id: str,
        token_file: Path | None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        token = str(token_file or DEFAULT_TOKEN_FILE)
        props = {"servers": servers, "kind": kind, "testbed_id": testbed_id, "token_file": token, "strays": None}
        super().__init__(VultrCensusProvider(), name, props, opts)


class VultrCensusProvider(ResourceProvider):
    """Confirms the servers of the stack; deleting the resource changes nothing."""

    serialize_as_secret_always = False

    @hide_traceback
    def create(self, props: CensusProps) -> CreateResult:
        return CreateResult(props["testbed_id"], _take_census(props))

    @hide_traceback
    def diff(self, _id: str, olds: Mapping[str, object], news: CensusProps) -> DiffResult:
        changed = any(olds.get(name) != news.get(name) for name in ("servers", "kind", "testbed_id", "token_file"))
        return DiffResult(changes=changed or olds.get("strays") != _strays(news, _unconfirmed(news)))

    @hide_traceback
    def update(self, _id: str, _olds: CensusProps, news: CensusProps) -> UpdateResult:
        return UpdateResult(_take_census(news))


def _order(api: VultrApi, props: ServerProps) -> str:
    """Order a server, or adopt the one that an interrupted order has left; return its id."""
    kind = props["kind"]
    order = {
        "region": props["region"],
        "plan": props["plan"],
        "os_id": int(props["os_id"]),
        "hostname": props["hostname"],
        "label": props["label"],
        "tags": [*props["tags"], UNCONFIRMED],
        "user_data": _encoded(props["user_data"]),
        "sshkey_id": props["ssh_key_ids"],
        "enable_ipv6": False,
        "activation_email": False,
    }
    if kind == "instances":
        order |= {"firewall_group_id": props["firewall_group_id"], "backups": "disabled"}
    for attempt in range(_ORDERS):
        if adopted := _adopt(api, props, _existing(api, props, fresh=attempt > 0)):
            return adopted
        try:
            reply = api.request("POST", f"/{kind}", order)
        except UnclearError:
            if attempt == _ORDERS - 1:
                raise
            continue  # it may have been carried out: the next listing shows it
        made = server_in(reply or {}, kind)
        if made and "id" in made:
            return made["id"]
    raise InfrastructureError(f"Vultr: POST /{kind}: the answer has no server; `pulumi up` adopts it if it exists")


def _adopt(api: VultrApi, props: ServerProps, existing: Sequence[Server]) -> str | None:
    """Return the id of the server that an interrupted order of the same props has left; None if there is none.

    The first-boot script holds the server's SSH host key, so no other stack has the same.
    """
    kind = props["kind"]
    for server in existing:
        asked = {"label": props["label"], "region": props["region"], "plan": props["plan"]}
        if UNCONFIRMED not in server.get("tags", []) or not asked.items() <= server.items():
            continue
        identity = server["id"]
        reply = api.request("GET", f"/{kind}/{identity}/user-data") or {}
        if (reply.get("user_data") or {}).get("data", "").split() != [_encoded(props["user_data"])]:
            continue
        # The firewall group and the tags may be of a later update than the order; the server may be gone by now.
        group = {"firewall_group_id": props["firewall_group_id"]} if kind == "instances" else {}
        tags = [*props["tags"], UNCONFIRMED]
        if api.request("PATCH", f"/{kind}/{identity}", {"tags": tags, **group}) is not None:
            return identity
    return None


_listings: dict[tuple[str, str], list[Server]] = {}
_listing = threading.Lock()


def _existing(api: VultrApi, props: ServerProps, *, fresh: bool) -> list[Server]:
    """List the account's servers, once for all orders of this update unless `fresh`."""
    key = (props["token_file"], props["kind"])
    with _listing:
        if fresh or key not in _listings:
            _listings[key] = api.servers(props["kind"])
        return _listings[key]


def _outputs(props: ServerProps) -> dict[str, object]:
    """Return inputs or outputs as outputs."""
    text = props["user_data"]
    digest = text if text.startswith(_DIGEST) else _DIGEST + hashlib.sha256(text.encode()).hexdigest()
    return {**props, "user_data": digest}


def _observed(found: Server, props: ServerProps) -> dict[str, object]:
    """Return the properties that the API reports, in the form in which `props` has them."""
    tags = _confirmed_tags(found)
    same = sorted(tags) == sorted(props["tags"])
    names = ["plan", "region", "hostname", "label", "os_id"]
    names += ["firewall_group_id"] if props["kind"] == "instances" else []
    return {"tags": props["tags"] if same else tags} | {name: value for name, value in found.items() if name in names}


_upgrades: dict[tuple[str, str], list[str]] = {}


def _require_upgrade(server: str, olds: ServerProps, news: ServerProps) -> None:
    """Raise InfrastructureError if a server cannot get its new plan: Vultr makes no server smaller."""
    key = (olds["region"], olds["plan"])
    if key not in _upgrades:
        reply = VultrApi(news["token_file"]).request("GET", f"/instances/{server}/upgrades?type=plans")
        if reply is None:
            raise InfrastructureError(GONE.format(server=server))
        _upgrades[key] = (reply.get("upgrades") or {}).get("plans") or []
    if news["plan"] not in _upgrades[key]:
        larger = f"one of {', '.join(_upgrades[key])}" if _upgrades[key] else "none, as it is the largest"
        raise InfrastructureError(
            f"specs: Vultr cannot change {olds['label']} from {olds['plan']} to {news['plan']}, only to {larger}; "
            "`pulumi destroy` and `pulumi up` create new servers of any plan"
        )


def _take_census(props: CensusProps) -> dict[str, object]:
    """Remove the tag from the servers of the stack, and describe the other ones that have it."""
    api, kind, unconfirmed = VultrApi(props["token_file"]), props["kind"], _unconfirmed(props)

    def confirm(server: Server) -> None:
        api.request("PATCH", f"/{kind}/{server['id']}", {"tags": _confirmed_tags(server)})

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(confirm, [one for one in unconfirmed if one["id"] in props["servers"]]))
    return {**props, "strays": _strays(props, unconfirmed)}


def _unconfirmed(props: CensusProps) -> list[Server]:
    """List the testbed's servers that have the tag."""
    tags = {f"testbed_id={props['testbed_id']}", UNCONFIRMED}
    return [one for one in VultrApi(props["token_file"]).servers(props["kind"]) if tags <= {*one.get("tags", [])}]


def _confirmed_tags(server: Server) -> list[str]:
    """Return the tags of a server but the one of its order."""
    return [tag for tag in server.get("tags") or [] if tag != UNCONFIRMED]


def _strays(props: CensusProps, unconfirmed: Sequence[Server]) -> list[str]:
    """Describe the servers with the tag that are not of the stack."""
    return sorted(str(describe(one)) for one in unconfirmed if one["id"] not in props["servers"])


def describe(server: Server) -> Stray:
    """Describe a server for messages."""
    address = server.get("main_ip", "")
    address = "" if address in NO_ADDRESS else address
    return Stray("vultr", server["id"], server.get("label", ""), server.get("region", ""), address)


def _encoded(user_data: str) -> str:
    return base64.b64encode(user_data.encode()).decode()
