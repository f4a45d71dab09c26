"""Client of Vultr's API v2: one rate limit for all threads of a process, back-off, pagination, errors in one line.

https://www.vultr.com/api/. The token is read from its file for each request: it is in no state, log or command line.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Literal, TypedDict

from benchmark.errors import InfrastructureError, SettingsError

API = "https://api.vultr.com/v2"
DEFAULT_TOKEN_FILE = Path("~/.vultr")
REQUESTS_PER_SECOND = 20.0
"""Vultr admits 30 from an address; the others are for its Pulumi provider, which runs at the same time."""
Kind = Literal["instances", "bare-metals"]
NO_ADDRESS = ("", "0.0.0.0")
"""Addresses of a server that has none yet."""
Method = Literal["GET", "POST", "PATCH", "DELETE"]

_USER_AGENT = "geobench"  # bot protection in front of the API may reject Python's default
_REQUEST_SECONDS = 30.0
_TRIES = 7
_OVERLOADED = (429, 500, 502, 503, 504)


class Server(TypedDict, total=False):
    """A server in the API's answers; bare metal has no power_status and describes its memory in words."""

    id: str
    label: str
    hostname: str
    region: str
    plan: str
    os_id: int
    main_ip: str
    """`0.0.0.0` until an address is assigned."""
    status: str
    power_status: str
    tags: list[str]
    firewall_group_id: str
    vcpu_count: int
    cpu_count: int
    ram: int | str


class Rule(TypedDict, total=False):
    """A firewall rule in the API's answers. Its `source` repeats the network since April 2026 and is not used."""

    id: int
    ip_type: str
    protocol: str
    subnet: str
    subnet_size: int
    port: str
    notes: str


class _Links(TypedDict, total=False):
    next: str


class _Meta(TypedDict, total=False):
    links: _Links


class _UserData(TypedDict, total=False):
    data: str


class _Upgrades(TypedDict, total=False):
    plans: list[str]


class Reply(TypedDict, total=False):
    """The parts of answers that are read."""

    instance: Server
    bare_metal: Server
    instances: list[Server]
    bare_metals: list[Server]
    firewall_rule: Rule
    firewall_rules: list[Rule]
    user_data: _UserData
    upgrades: _Upgrades
    meta: _Meta


class UnclearError(InfrastructureError):
    """A request that creates something failed in a way that does not show whether Vultr has carried it out."""


class RateLimit:
    """Spaces the requests of all threads; after a 429, all of them pause."""

    def __init__(self, per_second: float) -> None:
        self._gap = 1 / per_second
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Wait for this thread's turn."""
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + self._gap
        if turn > now:
            time.sleep(turn - now)

    def pause(self, seconds: float) -> None:
        """Let no thread send a request for so many seconds."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)


_limit = RateLimit(REQUESTS_PER_SECOND)


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


class VultrApi:
    """Requests with the token in a file. All methods raise InfrastructureError, and SettingsError for the token."""

    def __init__(self, token_file: str | Path) -> None:
        self._token_file = Path(token_file)

    def request(self, method: Method, path: str, body: object = None) -> Reply | None:
        """Send a request and return the answer, or None if what it is about does not exist (404).

        While Vultr is overloaded it is sent again. One that creates something is sent again only if Vultr has certainly
        not carried it out (429); else UnclearError is raised.
        """
        creates = method == "POST" and body is not None
        for attempt in range(_TRIES):
            last, pause = attempt == _TRIES - 1, min(2.0**attempt, 20.0)
            try:
                return self._send(method, path, body)
            except urllib.error.HTTPError as error:
                if error.code == 404 and not creates:
                    return None
                if error.code not in _OVERLOADED or last:
                    raise self._failure(method, path, error) from None
                if creates and error.code != 429:
                    raise UnclearError(str(self._failure(method, path, error))) from None
                if error.code == 429:
                    _limit.pause(_retry_after(error) or pause)
                    continue
            except (OSError, http.client.HTTPException, ValueError) as error:
                reason = f"Vultr: {method} {path}: {error or type(error).__name__}"
                if creates:
                    raise UnclearError(reason) from None
                if last:
                    raise InfrastructureError(reason) from None
            time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def server(self, kind: Kind, identity: str) -> Server | None:
        """Return a server; None if it does not exist."""
        reply = self.request("GET", f"/{kind}/{identity}")
        if reply is None:
            return None
        found = server_in(reply, kind)
        if found is None:
            raise InfrastructureError(f"Vultr: GET /{kind}/{identity}: the answer has no server; try again")
        return found

    def servers(self, kind: Kind) -> list[Server]:
        """Return all servers of the account."""
        found: list[Server] = []
        for reply in self._pages(f"/{kind}"):
            found += (reply.get("instances") if kind == "instances" else reply.get("bare_metals")) or []
        return [server for server in found if "id" in server]

    def rules(self, group: str) -> list[Rule]:
        """Return all rules of a firewall group."""
        found: list[Rule] = []
        for reply in self._pages(f"/firewalls/{group}/rules"):
            found += reply.get("firewall_rules") or []
        return [rule for rule in found if "id" in rule]

    def _pages(self, path: str) -> list[Reply]:
        pages: list[Reply] = []
        cursor = ""
        while True:
            query = urllib.parse.urlencode({"per_page": 500} | ({"cursor": cursor} if cursor else {}))
            reply = self.request("GET", f"{path}?{query}")
            if reply is None:
                return pages
            pages.append(reply)
            before, cursor = cursor, ((reply.get("meta") or {}).get("links") or {}).get("next") or ""
            if cursor in ("", before):
                return pages

    def _send(self, method: Method, path: str, body: object) -> Reply:
        headers = {"Authorization": f"Bearer {read_token(self._token_file)}", "User-Agent": _USER_AGENT}
        if body is not None:
            headers["Content-Type"] = "application/json"
        data = None if body is None else json.dumps(body).encode()
        url = os.environ.get("VULTR_API_URL", API) + path
        request = urllib.request.Request(url, data=data, method=method, headers=headers)
        _limit.wait()
        with urllib.request.urlopen(request, timeout=_REQUEST_SECONDS) as response:
            reply = json.loads(response.read() or b"{}")
        if not isinstance(reply, dict):
            raise ValueError(f"found {type(reply).__name__} for an answer, expected an object")
        found: Reply = reply  # type: ignore[assignment]
        return found

    def _failure(self, method: Method, path: str, error: urllib.error.HTTPError) -> InfrastructureError:
        reason = error.read(500).decode(errors="replace")
        with contextlib.suppress(ValueError, KeyError, TypeError):  # else show the text itself
            reason = str(json.loads(reason)["error"]).rstrip(".")
        remedy = f"check the token in {self._token_file}" if error.code in (401, 403) else "try again"
        return InfrastructureError(f"Vultr: {method} {path}: {error.code} {reason}; {remedy}")


def server_in(reply: Reply, kind: Kind) -> Server | None:
    """Return the server in an answer, if it has one."""
    return reply.get("instance") if kind == "instances" else reply.get("bare_metal")


def _retry_after(error: urllib.error.HTTPError) -> float | None:
    """Return how many seconds Vultr wants to be left alone, at most a minute; None if it does not say."""
    text = error.headers.get("Retry-After", "") if error.headers else ""
    return min(float(text), 60.0) if text.isdecimal() else None
