"""An emulated Vultr: its account, its HTTP API for the power of servers, machines of systemd-nspawn as its servers.

The API's rules are those that are documented: https://www.vultr.com/api/
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from fakes.emulators.machine import Image, Machine
from fakes.emulators.provider import Cloud, CloudError, Kind, Properties
from fakes.emulators.vultr_kinds import KINDS, firewall_rule, refusal
from paths import FAKES

from stacks.local.wan.network import WideAreaNetwork

UBUNTU = {"id": "2284", "name": "Ubuntu 24.04 LTS x64", "arch": "x64", "family": "ubuntu"}
PRICES = {"vc2-1c-1gb": 5.0, "vc2-4c-8gb": 40.0}
METAL_PRICES = {"vbm-4c-32gb": 120}
"""Per month in USD; a withdrawn plan has none and is not listed, but can still be ordered."""
UFW = FAKES / "standin" / "ufw"


@dataclass(frozen=True)
class Thing:
    """A resource of the account; `kind` is the last word of the SDK's type, such as `SSHKey`."""

    kind: str
    properties: Properties


class Vultr:
    """One account with the token `token`.

    `faults` by a server's label: `capacity` or `late`; `busy` counts requests to the HTTP API that are answered 429.
    """

    def __init__(self, folder: Path, image: Image, network: WideAreaNetwork, token: str) -> None:
        self.token = token
        self.faults: dict[str, str] = {}
        self.busy = 0
        self.machines: dict[str, Machine] = {}
        self.things: dict[str, Thing] = {}
        self._api_key = token
        self._folder, self._image, self._network = folder, image, network
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()
        self._api = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._api.server_port}"
        threading.Thread(target=self._api.serve_forever, args=[0.05], daemon=True).start()

    def cloud(self) -> Cloud:
        """The provider of this account."""
        kinds: dict[str, Kind] = {f"vultr:index/{token}": made(self, token) for token, made in KINDS.items()}
        functions: dict[str, Callable[[Properties], Properties]] = {
            "vultr:index/getOs:getOs": lambda asked: self._only(asked, "name", {UBUNTU["name"]: UBUNTU}),
            "vultr:index/getPlan:getPlan": lambda asked: self._only(asked, "id", _listed(PRICES)),
            "vultr:index/getBareMetalPlan:getBareMetalPlan": lambda asked: self._only(
                asked, "id", _listed(METAL_PRICES)
            ),
        }
        return Cloud(kinds, functions, self._configure)

    def close(self) -> None:
        """Stop every machine and delete the account."""
        for machine in self.machines.values():
            machine.remove()
        self._api.shutdown()
        self._api.server_close()

    def admit(self) -> None:
        """Reject the provider's request if its token is not the account's."""
        if self._api_key != self.token:
            raise refusal("Invalid API token.", 401)

    def add(self, kind: str, properties: Properties) -> str:
        """Store a resource under a new identity."""
        with self._lock:
            identity = f"cb676a46-66fd-4dfb-b839-{next(self._numbers):012d}"
            self.things[identity] = Thing(kind, properties)
            return identity

    def put(self, identity: str, properties: Properties) -> None:
        """Update a resource in place."""
        self.things[identity] = Thing(self.things[identity].kind, properties)

    def has(self, kind: str, identity: str) -> bool:
        """Return whether the identity is a resource of this kind."""
        thing = self.things.get(identity)
        return thing is not None and thing.kind == kind

    def boot(self, identity: str, inputs: Properties) -> Machine:
        folder = self._folder / identity
        made = Machine(folder, self._image, self._network, inputs["label"], inputs["region"])
        self.machines[identity] = made
        # As on Vultr's images, a second firewall is active that admits only SSH.
        made.create(inputs["userData"], {f"/etc/ufw/{path.name}": path.read_text() for path in UFW.iterdir()})
        return made

    def rules(self, group: str) -> list[Properties]:
        """The rules of a firewall group."""
        rules = [thing.properties for thing in list(self.things.values()) if thing.kind == "FirewallRule"]
        return [rule for rule in rules if rule["firewallGroupId"] == group]

    def enforce(self) -> None:
        """Apply the rules of its firewall group to every machine; one without a group is open."""
        with self._lock:
            for identity, machine in list(self.machines.items()):
                group = self.things[identity].properties.get("firewallGroupId")
                rules = [firewall_rule(one) for one in self.rules(group)] if group else [("all", "", "0.0.0.0/0")]
                if machine.running:
                    machine.guard(rules)

    def power(self, identity: str, action: str) -> None:
        machine = self.machines[identity]
        if action == "halt" and machine.running:
            machine.stop(keep_address=True)
        elif action == "start" and not machine.running:
            machine.stop(keep_address=True)  # it may have halted itself
            machine.start()
            self.enforce()

    def _configure(self, arguments: Properties) -> None:
        """Store the token as the provider does: it is first checked at the first request."""
        self._api_key = arguments.get("apiKey", "")

    def _only(self, asked: Properties, field: str, known: dict[str, Properties]) -> Properties:
        """Answer as the provider's data sources do: exactly one result, or an error."""
        self.admit()
        wanted = [value for one in asked["filters"] for value in one["values"] if one["name"] == field]
        found = [known[value] for value in wanted if value in known]
        if len(found) != 1:
            raise CloudError("no results were found" if not found else "your search returned too many results")
        return found[0]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        account = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                code, body = account._answer(self.command, self.path, self.headers["Authorization"])
                self.send_response(code)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode() if body else b"")

            do_POST = do_GET  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler

    def _answer(self, method: str, path: str, authorization: str | None) -> tuple[int, Properties]:
        with self._lock:
            if self.busy:  # rate limits apply per client address, before authentication
                self.busy -= 1
                return 429, {"error": "Too many requests", "status": 429}
        if authorization != f"Bearer {self.token}":
            return 401, {"error": "Invalid API token.", "status": 401}
        _, kind, identity, *action = path.split("/")
        machine = self.machines.get(identity)
        if machine is None or kind != ("bare-metals" if self.has("BareMetalServer", identity) else "instances"):
            return 404, {"error": "Invalid instance-id", "status": 404}
        if action and (method != "POST" or action not in (["start"], ["halt"])):
            return 404, {"error": "Invalid request", "status": 404}
        if method == "POST":
            self.power(identity, action[0])
            return 204, {}
        state = {"id": identity, "status": "active"}
        if kind == "instances":
            state["power_status"] = "running" if machine.running else "stopped"
        return 200, {"instance" if kind == "instances" else "bare_metal": state}


def _listed(prices: dict[str, Any]) -> dict[str, Properties]:
    return {plan: {"id": plan, "monthlyCost": price} for plan, price in prices.items()}
