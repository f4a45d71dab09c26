"""Halts and starts a server of Vultr: its Pulumi provider cannot, so this speaks the API itself.

https://www.vultr.com/api/#tag/instances and #tag/baremetal. The token is read from its file for each request and is
kept nowhere. A halted server costs as much as a running one; only `pulumi destroy` ends the costs.
"""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Literal

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, ResourceProvider, UpdateResult

from benchmark.errors import InfrastructureError, SettingsError
from stacks.errors import plain_errors

API = "https://api.vultr.com/v2"
DEFAULT_TOKEN_FILE = Path("~/.vultr")
Kind = Literal["instances", "bare-metals"]

_USER_AGENT = "geobench"  # networks that guard services from robots refuse the one that Python sends by itself
_REQUEST_SECONDS = 30.0
_POWER_SECONDS = 300.0
_POLL_SECONDS = 2.0
_TRIES = 6


def read_token(path: Path) -> str:
    """Return the token in a file; SettingsError if it is missing or holds anything but one word."""
    try:
        words = path.expanduser().read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise SettingsError(
            f"cannot read Vultr's token from {path}: {reason}; make one at https://my.vultr.com/settings/#settingsapi, "
            f"write it to {path} and `chmod 600 {path}`"
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
    """Brings a server into the wanted state and reads it back; deleting changes nothing on the server."""

    serialize_as_secret_always = False

    @plain_errors
    def create(self, props: dict[str, Any]) -> CreateResult:
        _bring(props, before="running")
        return CreateResult(props["server"], props)

    @plain_errors
    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        state = _state(props)
        return ReadResult(id_ if state else None, {**props, "state": props["state"] if state == "active" else state})

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        replaces = [name for name in ("server", "kind") if olds.get(name) != news.get(name)]
        changed = any(olds.get(name) != news.get(name) for name in ("state", "token_file"))
        return DiffResult(changes=bool(replaces) or changed, replaces=replaces, delete_before_replace=True)

    @plain_errors
    def update(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        _bring(news, before=olds["state"])
        return UpdateResult(news)


def _bring(props: dict[str, Any], before: str) -> None:
    """Start or halt the server and wait until it is; `before` is believed of bare metal, which tells no power state."""
    wanted, kind, server = props["state"], props["kind"], props["server"]
    deadline = time.monotonic() + _POWER_SECONDS
    while (found := _state(props)) == "pending":  # still being installed: it cannot be halted yet
        _wait(deadline, f"server {server} to be installed")
    if found is None:
        raise InfrastructureError(f"Vultr has no server {server} any more; `pulumi up --refresh` makes it anew")
    if wanted in (found, before if found == "active" else ""):
        return
    _request(props, "POST", f"/{kind}/{server}/{'start' if wanted == 'running' else 'halt'}")
    while _state(props) not in (wanted, "active"):
        _wait(deadline, f"server {server} to be {wanted}")


def _wait(deadline: float, what: str) -> None:
    if time.monotonic() > deadline:
        raise InfrastructureError(
            f"waited {_POWER_SECONDS:.0f} s for {what}; look at it in Vultr's console, then retry"
        )
    time.sleep(_POLL_SECONDS)


def _state(props: dict[str, Any]) -> str | None:
    """Return running, stopped or pending, or active for bare metal; None if there is no such server."""
    answer = _request(props, "GET", f"/{props['kind']}/{props['server']}")
    if answer is None:
        return None
    server = answer["instance" if props["kind"] == "instances" else "bare_metal"]
    if server.get("status") == "pending":
        return "pending"
    return str(server.get("power_status", "active"))


def _request(props: dict[str, Any], method: str, path: str) -> dict[str, Any] | None:
    """Send one request, again where Vultr asks to come back later; None where it does not know the server."""
    token = read_token(Path(props["token_file"]))
    url = os.environ.get("VULTR_API_URL", API) + path
    for attempt in range(_TRIES):
        headers = {"Authorization": f"Bearer {token}", "User-Agent": _USER_AGENT}
        request = urllib.request.Request(url, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=_REQUEST_SECONDS) as response:
                body: dict[str, Any] = json.loads(response.read() or b"{}")
                return body
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            if error.code not in (429, 500, 502, 503, 504) or attempt == _TRIES - 1:
                remedy = f"look at the token in {props['token_file']}" if error.code in (401, 403) else "try again"
                raise InfrastructureError(f"Vultr: {method} {path}: {error.code} {_reason(error)}; {remedy}") from None
        except OSError as error:
            if attempt == _TRIES - 1:
                raise InfrastructureError(f"Vultr: {method} {path}: {error}") from None
        time.sleep(min(2.0**attempt, 20.0))
    return None


def _reason(error: urllib.error.HTTPError) -> str:
    text = error.read(500).decode(errors="replace")
    try:
        return str(json.loads(text)["error"]).rstrip(".")
    except (ValueError, KeyError, TypeError):
        return text
