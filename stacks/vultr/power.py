"""Halt and start Vultr servers through the API, as Vultr's Pulumi provider cannot.

https://www.vultr.com/api/#tag/instances and #tag/baremetal. The token is read from its file for each request and never
stored. A halted server is billed like a running one; only `pulumi destroy` ends the cost.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Literal, TypedDict

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, ResourceProvider, UpdateResult

from benchmark.errors import InfrastructureError, SettingsError
from stacks.errors import hide_traceback

API = "https://api.vultr.com/v2"
DEFAULT_TOKEN_FILE = Path("~/.vultr")
Kind = Literal["instances", "bare-metals"]

_USER_AGENT = "geobench"  # bot protection in front of the API may reject Python's default
_REQUEST_SECONDS = 30.0
_POWER_SECONDS = 300.0
_POLL_SECONDS = 2.0
_TRIES = 6


class Power(TypedDict):
    """Properties of the resource."""

    server: str
    kind: Kind
    state: str
    """running or stopped."""
    token_file: str


class _Server(TypedDict, total=False):
    status: str
    power_status: str


class _Reply(TypedDict, total=False):
    instance: _Server
    bare_metal: _Server


def read_token(path: Path) -> str:
    """Return the token in a file; SettingsError if the file is missing or does not hold exactly one word."""
    try:
        words = path.expanduser().read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise SettingsError(
            f"cannot read Vultr's token from {path}: {reason}; create a token at "
            f"https://my.vultr.com/settings/#settingsapi, write it to {path} and `chmod 600 {path}`"
        ) from None
    if len(words) != 1:
        raise SettingsError(f"{path}: found {len(words)} words, expected Vultr's token and nothing else")
    return words[0]


class VultrPower(Resource, module="geobench", name="VultrPower"):
    """Whether a server runs; `state` is `running` or `stopped`."""

    state: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        server: pulumi.Input[str],
        kind: Kind,
        state: str,
        token_file: Path | None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {"server": server, "kind": kind, "state": state, "token_file": str(token_file or DEFAULT_TOKEN_FILE)}
        super().__init__(VultrPowerProvider(), name, props, opts)


class VultrPowerProvider(ResourceProvider):
    """Starts or halts a server and reads its state; deleting the resource does not change the server."""

    serialize_as_secret_always = False

    @hide_traceback
    def create(self, props: Power) -> CreateResult:
        _switch(props, before="running")
        return CreateResult(props["server"], {**props})

    @hide_traceback
    def read(self, id_: str, props: Power) -> ReadResult:
        state = _state(props)
        return ReadResult(id_ if state else None, {**props, "state": props["state"] if state == "active" else state})

    @hide_traceback
    def diff(self, _id: str, olds: Power, news: Power) -> DiffResult:
        replaces = [name for name in ("server", "kind") if olds.get(name) != news.get(name)]
        changed = any(olds.get(name) != news.get(name) for name in ("state", "token_file"))
        return DiffResult(changes=bool(replaces) or changed, replaces=replaces, delete_before_replace=True)

    @hide_traceback
    def update(self, _id: str, olds: Power, news: Power) -> UpdateResult:
        _switch(news, before=olds["state"])
        return UpdateResult({**news})


def _switch(props: Power, before: str) -> None:
    """Start or halt the server and wait until it is done; `before` is the state of bare metal, which reports none."""
    wanted, kind, server = props["state"], props["kind"], props["server"]
    deadline = time.monotonic() + _POWER_SECONDS
    while (found := _state(props)) == "pending":  # still being installed: it cannot be halted yet
        _wait(deadline, f"server {server} to be installed")
    if found is None:
        raise InfrastructureError(f"Vultr has no server {server} any more; `pulumi up --refresh` replaces it")
    if wanted in (found, before if found == "active" else ""):
        return
    _request(props, "POST", f"/{kind}/{server}/{'start' if wanted == 'running' else 'halt'}")
    while _state(props) not in (wanted, "active"):
        _wait(deadline, f"server {server} to be {wanted}")


def _wait(deadline: float, what: str) -> None:
    if time.monotonic() > deadline:
        raise InfrastructureError(f"waited {_POWER_SECONDS:.0f} s for {what}; check it in Vultr's console, then retry")
    time.sleep(_POLL_SECONDS)


def _state(props: Power) -> str | None:
    """Return running, stopped or pending, or active for bare metal; None if the server does not exist."""
    reply = _request(props, "GET", f"/{props['kind']}/{props['server']}")
    if reply is None:
        return None
    server = reply["instance"] if props["kind"] == "instances" else reply["bare_metal"]
    return "pending" if server.get("status") == "pending" else str(server.get("power_status", "active"))


def _request(props: Power, method: str, path: str) -> _Reply | None:
    """Send a request, and again while Vultr is overloaded; None if the server does not exist."""
    token = read_token(Path(props["token_file"]))
    url = os.environ.get("VULTR_API_URL", API) + path
    for attempt in range(_TRIES):
        headers = {"Authorization": f"Bearer {token}", "User-Agent": _USER_AGENT}
        request = urllib.request.Request(url, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=_REQUEST_SECONDS) as response:
                reply: _Reply = json.loads(response.read() or b"{}")
                return reply
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            if error.code not in (429, 500, 502, 503, 504) or attempt == _TRIES - 1:
                reason = error.read(500).decode(errors="replace")
                with contextlib.suppress(ValueError, KeyError, TypeError):  # else show the text itself
                    reason = str(json.loads(reason)["error"]).rstrip(".")
                remedy = f"check the token in {props['token_file']}" if error.code in (401, 403) else "try again"
                raise InfrastructureError(f"Vultr: {method} {path}: {error.code} {reason}; {remedy}") from None
        except OSError as error:
            if attempt == _TRIES - 1:
                raise InfrastructureError(f"Vultr: {method} {path}: {error}") from None
        time.sleep(min(2.0**attempt, 20.0))
    return None
