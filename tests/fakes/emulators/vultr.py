"""An emulated Vultr: its account, its HTTP API and its provider, machines of systemd-nspawn as its servers.

The API's rules are those that are documented: https://www.vultr.com/api/
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fakes.emulators.machine import Image, Machine
from fakes.emulators.provider import Cloud, CloudError, Kind, Properties
from fakes.emulators.vultr_api import Api
from fakes.emulators.vultr_kinds import API_KINDS, KINDS, PLANS, firewall_rule, refusal
from paths import FAKES

from stacks.local.wan.network import WideAreaNetwork

UBUNTU = {"id": "2284", "name": "Ubuntu 24.04 LTS x64", "arch": "x64", "family": "ubuntu"}
PRICES = {"vc2-1c-1gb": 5.0, "vc2-4c-8gb": 40.0, "vc2-8c-16gb": 80.0}
METAL_PRICES = {"vbm-4c-32gb": 120}
"""Per month in USD; a withdrawn plan has none and is not listed, but can still be ordered."""
UFW = FAKES / "standin" / "ufw"


@dataclass(frozen=True)
class Thing:
    """A resource of the account; `kind` is the last word of the SDK's type, such as `SSHKey`."""

    kind: str
    properties: Properties


class Vultr:
    """One account with the token `token`; the service answers as in `year`.

    `faults` by a server's label: `capacity`. A server takes `install_s` seconds to be installed or resized, and gets
    its address after a third of them.
    """

    def __init__(
        self, folder: Path, image: Image, network: WideAreaNetwork, token: str, year: int = 2026, install_s: float = 0.0
    ) -> None:
        self.token, self.year, self.install_s = token, year, install_s
        self.faults: dict[str, str] = {}
        self.machines: dict[str, Machine] = {}
        self.things: dict[str, Thing] = {}
        self._api_key = token
        self._folder, self._image, self._network = folder, image, network
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()
        self._installing: defaultdict[str, float] = defaultdict(lambda: -math.inf)
        self._resizing: dict[str, tuple[float, str]] = {}
        self.api = Api(self, {name: kind(self, f":{name}") for name, kind in API_KINDS.items()})
        self.url = self.api.url

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
        self.api.close()

    def admit(self) -> None:
        """Reject the provider's request if its token is not the account's."""
        if self._api_key != self.token:
            raise refusal("Invalid API token.", 401)

    def add(self, kind: str, properties: Properties) -> str:
        """Store a resource under a new identity."""
        with self._lock:
            number = next(self._numbers)
            identity = str(number) if kind == "FirewallRule" else f"cb676a46-66fd-4dfb-b839-{number:012d}"
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

    def install(self, identity: str) -> None:
        """Begin the installation of a server."""
        self._installing[identity] = time.monotonic()

    def resize(self, identity: str, former: str) -> None:
        """Begin a change of a server's plan, which is `former` until it is over."""
        self._resizing[identity] = (time.monotonic(), former)

    def progress(self, identity: str) -> tuple[bool, bool]:
        """Return whether a server is installed, and whether it has its address."""
        since = time.monotonic() - self._installing[identity]
        return since >= self.install_s, since >= self.install_s / 3

    def plan(self, identity: str) -> str:
        """The plan that a server has at present."""
        began, former = self._resizing.get(identity, (0.0, ""))
        current: str = self.things[identity].properties["plan"]
        return former if former and time.monotonic() - began < self.install_s else current

    def larger_plans(self, identity: str) -> list[str]:
        """The plans that a server can be upgraded to."""
        known = list(PLANS)
        plan = self.things[identity].properties["plan"]
        return known[known.index(plan) + 1 :] if plan in known else []

    def source(self, rule: Properties) -> str:
        """The `source` of a firewall rule in the API's answers: since April 2026 the network itself."""
        return f"{rule['subnet']}/{rule['subnetSize']}" if self.year >= 2026 else ""

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


def _listed(prices: dict[str, Any]) -> dict[str, Properties]:
    return {plan: {"id": plan, "monthlyCost": price} for plan, price in prices.items()}
