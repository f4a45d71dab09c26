"""The HTTP API of the emulated Vultr: servers, their power, firewall rules, pagination and the rate limit.

https://www.vultr.com/api/ and, for what changed in 2026, the issues 722 and 753 of
https://github.com/vultr/terraform-provider-vultr.
"""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from fakes.emulators.provider import CloudError, Properties
from fakes.emulators.vultr_kinds import METAL, PLANS, VultrKind

if TYPE_CHECKING:
    from fakes.emulators.vultr import Vultr

REQUESTS_PER_SECOND = 30
"""More, per client address, are answered 429."""
PER_PAGE, MOST_PER_PAGE = 100, 500
NOT_FOUND = {"error": "Not found.", "status": 404}
_SERVER_FIELDS = {
    "plan": "plan",
    "region": "region",
    "os_id": "osId",
    "label": "label",
    "hostname": "hostname",
    "tags": "tags",
    "sshkey_id": "sshKeyIds",
    "firewall_group_id": "firewallGroupId",
}
_RULE_FIELDS = {
    "ip_type": "ipType",
    "protocol": "protocol",
    "subnet": "subnet",
    "subnet_size": "subnetSize",
    "port": "port",
    "notes": "notes",
}
_CHANGEABLE = {"plan", "label", "tags", "firewall_group_id"}


@dataclass(frozen=True)
class Request:
    """A request with its parsed address and body."""

    method: str
    path: str
    query: dict[str, str]
    body: Properties


Answer = tuple[int, Properties]


class Refused(Exception):
    """An answer that ends a request."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Api:
    """Serves an account at `url`.

    The first `busy` requests are answered 429, as are those above the rate limit; the first `silent` orders of servers
    are carried out and answered 503.
    """

    def __init__(self, vultr: Vultr, kinds: dict[str, VultrKind]) -> None:
        self.busy = 0
        self.silent = 0
        self.limit = REQUESTS_PER_SECOND
        self.requests: list[str] = []
        """METHOD PATH of every request."""
        self.agents: set[str | None] = set()
        self.throttled = 0
        """Requests above the rate limit."""
        self._vultr, self._kinds = vultr, kinds
        self._recent: deque[float] = deque()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=[0.05], daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, address: str, authorization: str | None, body: bytes = b"") -> Answer:
        """Answer a request; the rate limit applies before authentication."""
        self.requests.append(f"{method} {address}")
        if self._overloaded():
            return 429, {"error": "Too many requests", "status": 429}
        if authorization != f"Bearer {self._vultr.token}":
            return 401, {"error": "Invalid API token.", "status": 401}
        parts = urlsplit(address)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        try:
            request = Request(method, parts.path, query, json.loads(body or b"{}"))
            return self._route(request)
        except Refused as error:
            return error.code, {"error": str(error), "status": error.code}
        except CloudError as error:  # `error creating server: {"error":"…","status":400}`
            found: Properties = json.loads(str(error)[str(error).index("{") :])
            return found["status"], found

    def _overloaded(self) -> bool:
        with self._lock:
            if self.busy:
                self.busy -= 1
                return True
            now = time.monotonic()
            while self._recent and self._recent[0] < now - 1:
                self._recent.popleft()
            if len(self._recent) >= self.limit:
                self.throttled += 1
                return True
            self._recent.append(now)
            return False

    def _route(self, request: Request) -> Answer:
        routes: list[tuple[str, Callable[..., Answer]]] = [
            (r"GET /(instances|bare-metals)", self._list_servers),
            (r"POST /(instances|bare-metals)", self._order),
            (r"GET /(instances|bare-metals)/([^/]+)", self._get_server),
            (r"PATCH /(instances|bare-metals)/([^/]+)", self._change_server),
            (r"DELETE /(instances|bare-metals)/([^/]+)", self._delete_server),
            (r"POST /(instances|bare-metals)/([^/]+)/(start|halt)", self._power),
            (r"GET /(instances|bare-metals)/([^/]+)/user-data", self._user_data),
            (r"GET /(instances|bare-metals)/([^/]+)/vpc2", self._vpc2),
            (r"GET /(instances)/([^/]+)/upgrades", self._upgrades),
            (r"GET /firewalls/([^/]+)/rules", self._list_rules),
            (r"POST /firewalls/([^/]+)/rules", self._create_rule),
            (r"GET /firewalls/([^/]+)/rules/([^/]+)", self._get_rule),
            (r"DELETE /firewalls/([^/]+)/rules/([^/]+)", self._delete_rule),
        ]
        for pattern, action in routes:
            if found := re.fullmatch(pattern, f"{request.method} {request.path}"):
                return action(request, *found.groups())
        return 404, NOT_FOUND

    # Servers

    def _list_servers(self, request: Request, kind: str) -> Answer:
        known = [key for key in list(self._vultr.machines) if self._vultr.has(_kind_of(kind), key)]
        servers = [self._describe(kind, key) for key in known]
        filters = [(name, request.query[name]) for name in ("label", "region", "hostname") if name in request.query]
        servers = [one for one in servers if all(one.get(name) == value for name, value in filters)]
        return 200, _page(kind.replace("-", "_"), servers, request.query)

    def _order(self, request: Request, kind: str) -> Answer:
        inputs = _renamed(request.body, _SERVER_FIELDS)
        inputs["userData"] = base64.b64decode(request.body.get("user_data", "")).decode()
        identity, _ = self._kinds[_kind_of(kind)].create(inputs)
        if self.silent:
            self.silent -= 1
            return 503, {"error": "Service unavailable", "status": 503}
        made = self._describe(kind, identity)
        return 202, {_one(kind): {**made, "default_password": "V0ULTR-R00T-PASSW0RD"}}

    def _get_server(self, request: Request, kind: str, identity: str) -> Answer:
        self._must_have(kind, identity)
        return 200, {_one(kind): self._describe(kind, identity)}

    def _change_server(self, request: Request, kind: str, identity: str) -> Answer:
        self._must_have(kind, identity)
        if unknown := sorted(request.body.keys() - _CHANGEABLE):
            raise Refused(400, f"Invalid {unknown[0]}")
        before = self._vultr.things[identity].properties
        self._kinds[_kind_of(kind)].update(identity, {**before, **_renamed(request.body, _SERVER_FIELDS)})
        return 202, {_one(kind): self._describe(kind, identity)}

    def _delete_server(self, request: Request, kind: str, identity: str) -> Answer:
        self._must_have(kind, identity)
        self._kinds[_kind_of(kind)].delete(identity)
        return 204, {}

    def _power(self, request: Request, kind: str, identity: str, action: str) -> Answer:
        self._must_have(kind, identity)
        self._vultr.power(identity, action)
        return 204, {}

    def _user_data(self, request: Request, kind: str, identity: str) -> Answer:
        self._must_have(kind, identity)
        text: str = self._vultr.things[identity].properties["userData"]
        return 200, {"user_data": {"data": base64.b64encode(text.encode()).decode()}}

    def _vpc2(self, request: Request, kind: str, identity: str) -> Answer:
        self._must_have(kind, identity)
        if self._vultr.year >= 2026:
            return 404, NOT_FOUND
        return 200, {"vpcs": [], "meta": {"total": 0, "links": {"next": "", "prev": ""}}}

    def _upgrades(self, request: Request, kind: str, identity: str) -> Answer:
        self._must_have(kind, identity)
        return 200, {"upgrades": {"plans": self._vultr.larger_plans(identity)}}

    def _must_have(self, kind: str, identity: str) -> None:
        if not self._vultr.has(_kind_of(kind), identity) or identity not in self._vultr.machines:
            raise Refused(404, "instance not found" if kind == "instances" else "Invalid server.")

    def _describe(self, kind: str, identity: str) -> Properties:
        known, machine = self._vultr.things[identity].properties, self._vultr.machines[identity]
        installed, addressed = self._vultr.progress(identity)
        plan = self._vultr.plan(identity)
        found: Properties = {
            "id": identity,
            **{name: known[own] for name, own in _SERVER_FIELDS.items() if own in known and name != "sshkey_id"},
            "plan": plan,
            "main_ip": machine.address if addressed else "0.0.0.0",
            "status": "active" if installed else "pending",
            "tags": sorted(known.get("tags") or []),
        }
        if kind == "bare-metals":
            cpus, memory = METAL[plan]
            found.pop("hostname", None)
            return {**found, "cpu_count": cpus, "ram": f"{memory} MB"}
        cpus, memory = PLANS[plan]
        power = "running" if machine.running and installed else "stopped"
        return {
            **found,
            "firewall_group_id": known.get("firewallGroupId") or "",
            "vcpu_count": cpus,
            "ram": memory,
            "power_status": power,
            "server_status": "ok" if installed else "none",
        }

    # Firewall rules

    def _list_rules(self, request: Request, group: str) -> Answer:
        if not self._vultr.has("FirewallGroup", group):
            raise Refused(404, "Firewall group not found")
        things = list(self._vultr.things.items())
        own = [key for key, one in things if one.kind == "FirewallRule" and one.properties["firewallGroupId"] == group]
        return 200, _page("firewall_rules", [self._rule(key) for key in own], request.query)

    def _create_rule(self, request: Request, group: str) -> Answer:
        inputs = {**_renamed(request.body, _RULE_FIELDS), "firewallGroupId": group}
        identity, _ = self._kinds["FirewallRule"].create(inputs)
        return 201, {"firewall_rule": self._rule(identity)}

    def _get_rule(self, request: Request, group: str, number: str) -> Answer:
        self._must_have_rule(group, number)
        return 200, {"firewall_rule": self._rule(number)}

    def _delete_rule(self, request: Request, group: str, number: str) -> Answer:
        self._must_have_rule(group, number)
        self._kinds["FirewallRule"].delete(number)
        return 204, {}

    def _must_have_rule(self, group: str, number: str) -> None:
        known = self._vultr.things.get(number)
        if known is None or known.properties.get("firewallGroupId") != group:
            raise Refused(404, "Firewall rule not found")

    def _rule(self, number: str) -> Properties:
        known = self._vultr.things[number].properties
        found = {name: "" if known.get(own) is None else known[own] for name, own in _RULE_FIELDS.items()}
        source = self._vultr.source(known)
        return {**found, "id": int(number), "type": found["ip_type"], "action": "accept", "source": source}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                api.agents.add(self.headers["User-Agent"])
                code, answer = api.answer(self.command, self.path, self.headers["Authorization"], body)
                self.send_response(code)
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode() if answer else b"")

            do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler


def _kind_of(kind: str) -> str:
    return "Instance" if kind == "instances" else "BareMetalServer"


def _one(kind: str) -> str:
    return "instance" if kind == "instances" else "bare_metal"


def _renamed(body: Properties, names: dict[str, str]) -> Properties:
    return {own: body[name] for name, own in names.items() if name in body}


def _page(key: str, found: list[Any], query: dict[str, str]) -> Properties:
    """Cut a list into pages; the cursor of the next one is empty at the end."""
    per_page = int(query.get("per_page") or PER_PAGE)
    if not 1 <= per_page <= MOST_PER_PAGE:
        raise Refused(400, f"per_page must be between 1 and {MOST_PER_PAGE}")
    start = int(base64.b64decode(query.get("cursor", "")) or 0)
    following = start + per_page
    cursor = base64.b64encode(str(following).encode()).decode() if following < len(found) else ""
    return {key: found[start:following], "meta": {"total": len(found), "links": {"next": cursor, "prev": ""}}}
