"""The kinds of resources of Vultr: what each rejects, with the provider's messages, and which changes replace it.

Inputs that require a replacement are marked ForceNew in https://github.com/vultr/terraform-provider-vultr (v2.27.1).
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fakes.emulators.provider import CloudError, NotReadyError, Properties

if TYPE_CHECKING:
    from fakes.emulators.vultr import Vultr

UBUNTU_ID = 2284
PLANS = {"vc2-1c-1gb": (1, 1024), "vc2-4c-8gb": (4, 8192), "vc2-8c-16gb": (8, 16384)}
"""By size: the API upgrades servers, and never makes them smaller."""
METAL = {"vbm-4c-32gb": (4, 32768)}
REGIONS = ("ewr", "ord", "fra", "lhr", "nrt", "sea", "sto", "bom", "sgp", "syd")
RULES_PER_GROUP = 50
CONSOLE_TOKEN = "C0NS0LE-T0KEN-0F-THE-TESTS"


def refusal(reason: str, status: int = 400) -> CloudError:
    """Error of the API for an unsupported change."""
    return CloudError(json.dumps({"error": reason, "status": status}, separators=(",", ":")))


class VultrKind:
    """A resource of Vultr; most differ in a check or two."""

    noun: str
    """Its name in the provider's errors."""
    replaces: frozenset[str] = frozenset()
    defaults: Properties = {}
    """Inputs that the provider adds when they are missing."""
    named: str | None = None

    def __init__(self, vultr: Vultr, token: str) -> None:
        self.vultr = vultr
        self.kind = token.rpartition(":")[2]

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        with self._asking("creating"):
            self.check(inputs)
            identity, computed = self.make(inputs)
            return identity, {**inputs, **computed, "id": identity}

    def read(self, identity: str) -> Properties | None:
        with self._asking("getting"):
            return self.look(identity) if self.vultr.has(self.kind, identity) else None

    def update(self, identity: str, inputs: Properties) -> Properties:
        with self._asking("updating"):
            before = self.vultr.things[identity].properties
            fixed = sorted(name for name in self.replaces if before.get(name) != inputs.get(name))
            if fixed:
                raise refusal(f"{', '.join(fixed)} cannot be changed")
            if inputs != before:
                self.check(inputs)
                self.change(identity, inputs)
            return {}

    def delete(self, identity: str) -> None:
        with self._asking("destroying"):
            self.remove(identity)

    def check(self, inputs: Properties) -> None:
        """Reject the inputs that the API rejects."""

    def make(self, inputs: Properties) -> tuple[str, Properties]:
        return self.vultr.add(self.kind, inputs), {}

    def look(self, identity: str) -> Properties:
        return self.vultr.things[identity].properties

    def change(self, identity: str, inputs: Properties) -> None:
        self.vultr.put(identity, inputs)

    def remove(self, identity: str) -> None:
        del self.vultr.things[identity]

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        try:
            self.vultr.admit()
            yield
        except CloudError as error:
            raise CloudError(f"error {what} {self.noun}: {error}") from None


class _SshKey(VultrKind):
    """Keys may share a name: the API identifies them by id, and its documentation does not forbid it."""

    noun = "SSH key"

    def check(self, inputs: Properties) -> None:
        if not inputs["sshKey"].startswith("ssh-"):
            raise refusal("Invalid SSH key")


class _FirewallGroup(VultrKind):
    noun = "firewall group"

    def remove(self, identity: str) -> None:
        users = [self.vultr.things[server].properties for server in list(self.vultr.machines)]
        if any(one.get("firewallGroupId") == identity for one in users):
            raise refusal("This firewall group is linked to active instances")
        super().remove(identity)


class _FirewallRule(VultrKind):
    noun = "firewall rule"
    replaces = frozenset({"firewallGroupId", "ipType", "protocol", "subnet", "subnetSize", "port", "source", "notes"})

    def check(self, inputs: Properties) -> None:
        group, protocol, port = inputs["firewallGroupId"], inputs["protocol"], inputs.get("port") or ""
        if not self.vultr.has("FirewallGroup", group):
            raise refusal("Invalid firewall group", 404)
        if protocol not in ("tcp", "udp", "icmp", "gre", "esp", "ah"):
            raise refusal(f"Invalid protocol {protocol}")
        if (protocol in ("tcp", "udp")) != bool(port):
            raise refusal("Port is required for TCP and UDP, and for nothing else")
        first, _, last = (port or "1").partition(":")
        if not 1 <= int(first) <= int(last or first) <= 65535:
            raise refusal("Invalid port")
        if inputs["ipType"] != f"v{_version(inputs)}":
            raise refusal("Invalid subnet")
        others = [firewall_rule(one) for one in self.vultr.rules(group)]
        if firewall_rule(inputs) in others:
            raise refusal("This rule is already defined")
        if len(others) >= RULES_PER_GROUP:
            raise refusal(f"You have reached the maximum of {RULES_PER_GROUP} rules")

    def make(self, inputs: Properties) -> tuple[str, Properties]:
        made = super().make(inputs)
        self.vultr.enforce()
        return made

    def remove(self, identity: str) -> None:
        super().remove(identity)
        self.vultr.enforce()


class _Server(VultrKind):
    noun = "server"
    replaces = frozenset({"region", "osId", "sshKeyIds", "userData", "userScheme", "hostname"})
    plans = PLANS

    def check(self, inputs: Properties) -> None:
        if inputs["region"] not in REGIONS:
            raise refusal(f"Invalid region {inputs['region']}")
        if inputs["plan"] not in self.plans:
            raise refusal("Invalid plan chosen.")
        if inputs["osId"] != UBUNTU_ID:
            raise refusal("Invalid os_id")
        if not all(self.vultr.has("SSHKey", key) for key in inputs.get("sshKeyIds", [])):
            raise refusal("Invalid SSH key")
        group = inputs.get("firewallGroupId")
        if group and not self.vultr.has("FirewallGroup", group):
            raise refusal("Invalid firewall group")
        if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?", inputs["hostname"]):
            raise refusal("Invalid hostname")

    def make(self, inputs: Properties) -> tuple[str, Properties]:
        fault = self.vultr.faults.pop(inputs["label"], "")
        if fault == "capacity":
            raise refusal(f"Server add failed: {inputs['plan']} is not available in the selected location")
        identity, _ = super().make(inputs)
        machine = self.vultr.boot(identity, inputs)
        self.vultr.install(identity)
        self.vultr.enforce()
        return identity, {"mainIp": machine.address, **self.describe(*self.plans[inputs["plan"]])}

    def describe(self, cpus: int, memory_mb: int) -> Properties:
        console = f"https://my.vultr.com/subs/vps/novnc/api.php?data={CONSOLE_TOKEN}"
        return {"vcpuCount": cpus, "ram": memory_mb, "kvm": console}

    def look(self, identity: str) -> Properties:
        return {**super().look(identity), "mainIp": self.vultr.machines[identity].address}

    def change(self, identity: str, inputs: Properties) -> None:
        former = self.vultr.things[identity].properties["plan"]
        resized = inputs["plan"] != former
        if resized and inputs["plan"] not in self.vultr.larger_plans(identity):
            raise refusal("Unable to change the plan: it is not an upgrade of the current one")
        super().change(identity, inputs)
        if resized:
            self.vultr.resize(identity, former)
        self.vultr.enforce()

    def remove(self, identity: str) -> None:
        self.vultr.machines.pop(identity).remove()
        super().remove(identity)


class _BareMetal(_Server):
    noun = "bare metal server"
    # A new system is installed in place.
    replaces = (_Server.replaces - {"osId"}) | {"plan", "enableIpv6"}
    plans = METAL

    def describe(self, cpus: int, memory_mb: int) -> Properties:
        return {"cpuCount": cpus, "ram": f"{memory_mb} MB"}


class _ProviderServer(_Server):
    """A server as the provider (2.27.1) has it: at every read, it asks for the VPC 2.0 networks of the server.

    https://github.com/vultr/terraform-provider-vultr/issues/753
    """

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        identity, made = super().create(inputs)
        try:
            self.read(identity)
        except CloudError as error:
            raise NotReadyError(identity, made, str(error)) from None
        return identity, made

    def update(self, identity: str, inputs: Properties) -> Properties:
        done = super().update(identity, inputs)
        self.read(identity)
        return done

    def look(self, identity: str) -> Properties:
        if self.vultr.year >= 2026:
            reason = refusal("Not found.", 404)
            raise CloudError(f"error getting list of attached VPCs 2.0: {reason}")
        return super().look(identity)


class _ProviderBareMetal(_ProviderServer, _BareMetal):
    """Bare metal as the provider has it."""


class _ProviderRule(_FirewallRule):
    """A rule as the provider has it: without a `source`, it expects an empty one.

    https://github.com/vultr/terraform-provider-vultr/issues/722
    """

    defaults = {"source": ""}

    def look(self, identity: str) -> Properties:
        found = super().look(identity)
        return {**found, "source": self.vultr.source(found)}

    def make(self, inputs: Properties) -> tuple[str, Properties]:
        identity, _ = super().make(inputs)
        return identity, {"source": self.vultr.source(inputs)}


def firewall_rule(found: Properties) -> tuple[str, str, str]:
    """Return a rule as (protocol, ports, network)."""
    return found["protocol"], (found.get("port") or "").replace(":", "-"), f"{found['subnet']}/{found['subnetSize']}"


def _version(rule: Properties) -> int | None:
    try:
        return ipaddress.ip_network(f"{rule['subnet']}/{rule['subnetSize']}").version
    except ValueError:
        return None


KINDS: dict[str, type[VultrKind]] = {
    "sSHKey:SSHKey": _SshKey,
    "firewallGroup:FirewallGroup": _FirewallGroup,
    "firewallRule:FirewallRule": _ProviderRule,
    "instance:Instance": _ProviderServer,
    "bareMetalServer:BareMetalServer": _ProviderBareMetal,
}
"""As the provider has them, by the end of the SDK's type."""
API_KINDS: dict[str, type[VultrKind]] = {
    "FirewallRule": _FirewallRule,
    "Instance": _Server,
    "BareMetalServer": _BareMetal,
}
"""As the HTTP API has them."""
