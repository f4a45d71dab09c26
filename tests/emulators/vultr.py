"""An emulated Vultr: its API's rules as documented, machines of systemd-nspawn as its servers.

The Pulumi provider's resources and, for the power of servers, the HTTP API itself: https://www.vultr.com/api/
"""

from __future__ import annotations

import ipaddress
import itertools
import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from emulators.machine import Image, Machine
from emulators.provider import Cloud, CloudError, Kind, NotReadyError, Properties
from stacks.local.network import WideAreaNetwork

UBUNTU = {"id": "2284", "name": "Ubuntu 24.04 LTS x64", "arch": "x64", "family": "ubuntu"}
PLANS = {"vc2-1c-1gb": (1, 1024, 5.0), "vc2-4c-8gb": (4, 8192, 40.0)}
METAL = {"vbm-4c-32gb": (4, 32768, 120)}
REGIONS = ("ewr", "ord", "fra", "lhr", "nrt", "sea", "sto", "bom", "sgp", "syd")
RULES_PER_GROUP = 50
UFW = Path(__file__).resolve().parents[1] / "standin/ufw"


class Vultr:
    """One account with the token `token`. `faults` by a server's label: `capacity` or `late`."""

    def __init__(self, folder: Path, image: Image, network: WideAreaNetwork, token: str) -> None:
        self.token = token
        self.faults: dict[str, str] = {}
        self.machines: dict[str, Machine] = {}
        self.things: dict[str, Properties] = {}
        self._folder, self._image, self._network = folder, image, network
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()
        self._api = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._api.server_port}"
        threading.Thread(target=self._api.serve_forever, args=[0.05], daemon=True).start()

    def cloud(self) -> Cloud:
        """The provider of this account."""
        kinds: dict[str, Kind] = {f"vultr:index/{token}": kind(self) for token, kind in _KINDS.items()}
        functions: dict[str, Callable[[Properties], Properties]] = {
            "vultr:index/getOs:getOs": lambda asked: _only(asked, "name", {UBUNTU["name"]: UBUNTU}),
            "vultr:index/getPlan:getPlan": lambda asked: _only(
                asked, "id", {plan: {"id": plan, "monthlyCost": price} for plan, (*_, price) in PLANS.items()}
            ),
            "vultr:index/getBareMetalPlan:getBareMetalPlan": lambda asked: _only(
                asked, "id", {plan: {"id": plan, "monthlyCost": price} for plan, (*_, price) in METAL.items()}
            ),
        }
        return Cloud(kinds, functions, self._configure)

    def close(self) -> None:
        """End every machine and forget the account."""
        for machine in self.machines.values():
            machine.remove()
        self._api.shutdown()
        self._api.server_close()

    def add(self, properties: Properties) -> str:
        """Keep something under a new identity."""
        with self._lock:
            identity = f"cb676a46-66fd-4dfb-b839-{next(self._numbers):012d}"
            self.things[identity] = properties
            return identity

    def boot(self, identity: str, inputs: Properties) -> Machine:
        folder = self._folder / identity
        made = Machine(folder, self._image, self._network, inputs["label"], inputs["region"])
        self.machines[identity] = made
        # As on the images of Vultr, a second firewall is on that lets in nothing but SSH.
        made.create(inputs["userData"], {f"/etc/ufw/{path.name}": path.read_text() for path in UFW.iterdir()})
        return made

    def rules(self, group: str) -> list[Properties]:
        """The rules of a firewall group."""
        return [
            thing for thing in list(self.things.values()) if thing.get("firewallGroupId") == group and "subnet" in thing
        ]

    def enforce(self) -> None:
        """Give every machine the rules of its firewall group; one without a group is open."""
        with self._lock:
            for identity, machine in list(self.machines.items()):
                group = self.things[identity].get("firewallGroupId")
                if machine.running:
                    machine.guard([_rule(one) for one in self.rules(group)] if group else [("all", "", "0.0.0.0/0")])

    def power(self, identity: str, action: str) -> None:
        machine = self.machines[identity]
        if action == "halt" and machine.running:
            machine.stop(keep_address=True)
        elif action == "start" and not machine.running:
            machine.start()
            self.enforce()

    def _configure(self, arguments: Properties) -> None:
        if arguments.get("apiKey") != self.token:
            raise CloudError('{"error":"Invalid API token.","status":401}')

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
        if authorization != f"Bearer {self.token}":
            return 401, {"error": "Invalid API token.", "status": 401}
        _, kind, identity, *action = path.split("/")
        machine, metal = self.machines.get(identity), self.things.get(identity, {}).get("plan") in METAL
        if machine is None or kind != ("bare-metals" if metal else "instances"):
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


class _Kind:
    replaces: frozenset[str] = frozenset()
    named: str | None = None

    def __init__(self, vultr: Vultr) -> None:
        self.vultr = vultr

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        self.check(inputs)
        identity = self.vultr.add(inputs)
        return identity, {**inputs, "id": identity}

    def check(self, inputs: Properties) -> None:
        """Refuse what the API refuses."""

    def read(self, identity: str) -> Properties | None:
        return self.vultr.things.get(identity)

    def update(self, identity: str, inputs: Properties) -> Properties:
        self.vultr.things[identity] = inputs
        return {}

    def delete(self, identity: str) -> None:
        del self.vultr.things[identity]


class _SshKey(_Kind):
    def check(self, inputs: Properties) -> None:
        if not inputs["sshKey"].startswith("ssh-"):
            raise CloudError("Invalid SSH key")


class _FirewallGroup(_Kind):
    def delete(self, identity: str) -> None:
        users = [
            m
            for m, thing in self.vultr.things.items()
            if m in self.vultr.machines and thing.get("firewallGroupId") == identity
        ]
        if users:
            raise CloudError("This firewall group is linked to active instances")
        super().delete(identity)


class _FirewallRule(_Kind):
    replaces = frozenset({"firewallGroupId", "ipType", "protocol", "subnet", "subnetSize", "port", "source", "notes"})

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        made = super().create(inputs)
        self.vultr.enforce()
        return made

    def check(self, inputs: Properties) -> None:
        group, protocol = inputs["firewallGroupId"], inputs["protocol"]
        if group not in self.vultr.things:
            raise CloudError("Invalid firewall group")
        if protocol not in ("tcp", "udp", "icmp", "gre", "esp", "ah"):
            raise CloudError(f"Invalid protocol {protocol}")
        if (protocol in ("tcp", "udp")) != bool(inputs.get("port")):
            raise CloudError("Port is required for TCP and UDP, and for nothing else")
        try:
            version = ipaddress.ip_network(f"{inputs['subnet']}/{inputs['subnetSize']}").version
        except ValueError:
            version = None
        if inputs["ipType"] != f"v{version}":
            raise CloudError("Invalid subnet")
        first, _, last = (inputs.get("port") or "1").partition(":")
        if not 1 <= int(first) <= int(last or first) <= 65535:
            raise CloudError("Invalid port")
        same = [one for one in self.vultr.rules(group) if _rule(one) == _rule(inputs)]
        if same:
            raise CloudError("This rule is already defined")
        if len(self.vultr.rules(group)) >= RULES_PER_GROUP:
            raise CloudError(f"You have reached the maximum of {RULES_PER_GROUP} rules")

    def delete(self, identity: str) -> None:
        super().delete(identity)
        self.vultr.enforce()


class _Server(_Kind):
    replaces = frozenset({"region", "sshKeyIds", "userScheme", "hostname"})
    plans: dict[str, Any] = PLANS

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        fault = self.vultr.faults.pop(inputs["label"], "")
        if fault == "capacity":
            raise CloudError(f"Server add failed: {inputs['plan']} is not available in the selected location")
        identity, made = super().create(inputs)
        cpus, memory, _ = self.plans[inputs["plan"]]
        machine = self.vultr.boot(identity, inputs)
        self.vultr.enforce()
        made |= {"mainIp": machine.address, **self.describe(cpus, memory)}
        if fault == "late":
            raise NotReadyError(identity, made, f"error while waiting for Server {identity} to be completed: timeout")
        return identity, made

    def describe(self, cpus: int, memory: int) -> Properties:
        return {"vcpuCount": cpus, "ram": memory}

    def check(self, inputs: Properties) -> None:
        if inputs["region"] not in REGIONS:
            raise CloudError(f"Invalid region {inputs['region']}")
        if inputs["plan"] not in self.plans:
            raise CloudError(f"Invalid plan {inputs['plan']}")
        if inputs["osId"] != int(UBUNTU["id"]):
            raise CloudError("Invalid os_id")
        things, group = self.vultr.things, inputs.get("firewallGroupId")
        if any("sshKey" not in things.get(key, {}) for key in inputs.get("sshKeyIds", [])):
            raise CloudError("Invalid SSH key")
        if group and group not in things:
            raise CloudError("Invalid firewall group")
        if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?", inputs["hostname"]):
            raise CloudError("Invalid hostname")

    def update(self, identity: str, inputs: Properties) -> Properties:
        self.check(inputs)
        if inputs["plan"] != self.vultr.things[identity]["plan"]:
            raise CloudError("a change of the plan is not emulated")
        super().update(identity, inputs)
        self.vultr.enforce()
        return {}

    def read(self, identity: str) -> Properties | None:
        machine = self.vultr.machines.get(identity)
        return {**self.vultr.things[identity], "mainIp": machine.address} if machine else None

    def delete(self, identity: str) -> None:
        self.vultr.machines.pop(identity).remove()
        super().delete(identity)


class _BareMetal(_Server):
    plans = METAL

    def describe(self, cpus: int, memory: int) -> Properties:
        return {"cpuCount": cpus, "ram": f"{memory} MB"}


def _rule(found: Properties) -> tuple[str, str, str]:
    return found["protocol"], (found.get("port") or "").replace(":", "-"), f"{found['subnet']}/{found['subnetSize']}"


def _only(asked: Properties, field: str, known: dict[str, Properties]) -> Properties:
    """Answer as the provider's data sources do: exactly one result, or an error."""
    found = [
        known[value] for one in asked["filters"] for value in one["values"] if one["name"] == field and value in known
    ]
    if len(found) != 1:
        raise CloudError("no results were found" if not found else "your search returned too many results")
    return found[0]


_KINDS: dict[str, type[_Kind]] = {
    "sSHKey:SSHKey": _SshKey,
    "firewallGroup:FirewallGroup": _FirewallGroup,
    "firewallRule:FirewallRule": _FirewallRule,
    "instance:Instance": _Server,
    "bareMetalServer:BareMetalServer": _BareMetal,
}
