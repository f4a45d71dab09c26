"""What regions of all clouds have in common: what they are asked for, what they give back, what is checked before.

`AwsRegion` and `VultrRegion` take a `CloudRegionArgs` and are a `stacks.Region`. A host's peers are
known only when all hosts of all regions exist, so `admit` is called last, with every address of the testbed.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import pulumi

from benchmark.errors import SettingsError
from benchmark.host_layout import GRAFANA_PORT
from benchmark.inventory import Provider, Role
from benchmark.settings import RegionSpec, Settings
from stacks.cloud.cloud_init import Bootstrap, grafana_password, user_data
from stacks.keys import SshKey

T = TypeVar("T")

_EXAMPLES = {"aws": "m5d.2xlarge", "vultr": "vc2-4c-8gb"}
_CREDENTIALS = {"aws": "~/.aws/credentials", "vultr": "~/.vultr"}


@dataclass(frozen=True)
class CloudHost:
    """A host to be rented: its name, its own public key, and what it does at its first start (a secret)."""

    name: str
    role: Role
    host_key: pulumi.Output[str]
    user_data: pulumi.Output[str]
    grafana_password: pulumi.Output[str] | None
    """Where it runs a Grafana that listens in public."""


@dataclass(frozen=True)
class CloudRegionArgs:
    """What one region of a cloud is asked for."""

    settings: Settings
    region: str
    """The cloud's own name of the region."""
    hosts: Sequence[CloudHost]
    public_key: pulumi.Output[str]
    """The operator's."""
    tags: Mapping[str, pulumi.Input[str]]
    """Put on everything that takes tags."""
    peers: int
    """Hosts of the whole testbed."""

    @property
    def operator_ports(self) -> dict[str, int]:
        """The services that operator_cidrs may reach on the region's hosts, and their TCP ports."""
        public = self.settings.grafana_public and any(host.role == "monitoring" for host in self.hosts)
        return {"ssh": 22} | ({"grafana": GRAFANA_PORT} if public else {})

    @property
    def grafana_password(self) -> pulumi.Output[str] | None:
        """The password of the region's Grafana, if one listens in public; a secret."""
        return self.hosts[0].grafana_password


def cloud_region_args(
    settings: Settings,
    spec: RegionSpec,
    public_key: pulumi.Output[str],
    tags: Mapping[str, pulumi.Input[str]],
    *,
    peers: int,
    monitoring: bool,
) -> CloudRegionArgs:
    """Name a region's hosts and make their keys; `monitoring` makes the first one the monitoring host.

    Raises SettingsError where a field that clouds need is missing.
    """
    check_operators(settings)
    roles: list[Role] = ["instance"] * settings.instances
    if monitoring:
        roles[0] = "monitoring"
    hosts = [_host(settings, spec, index, role, public_key) for index, role in enumerate(roles)]
    return CloudRegionArgs(settings, spec.name, hosts, public_key, tags, peers)


def _host(settings: Settings, spec: RegionSpec, index: int, role: Role, public_key: pulumi.Output[str]) -> CloudHost:
    name = f"{spec.name}-{index}"
    key = SshKey(f"{name}-host-key")
    private: pulumi.Output[str] = pulumi.Output.secret(key.private_key)

    monitoring = role == "monitoring"

    def first_start(keys: list[str]) -> str:
        return user_data(
            Bootstrap.of(settings, name, spec.provider, (keys[0], keys[1], keys[2]), monitoring=monitoring)
        )

    told = pulumi.Output.all(public_key, key.public_key, private).apply(first_start)
    public = monitoring and settings.grafana_public
    return CloudHost(name, role, key.public_key, told, private.apply(grafana_password) if public else None)


def testbed_tags(settings: Settings, expires_at: pulumi.Input[str]) -> dict[str, pulumi.Input[str]]:
    """Return the tags that say whose a resource is and until when; `expires_at` is in ISO 8601."""
    return {"testbed_id": settings.testbed_id, "owner": getpass.getuser(), "expiry": expires_at}


def check_operators(settings: Settings) -> None:
    """Raise SettingsError if nobody could log in; warn if everybody could try to."""
    if not settings.operator_cidrs:
        raise SettingsError(
            "operator_cidrs: found none, expected the networks that may reach the hosts' SSH; "
            "`curl https://checkip.amazonaws.com` shows your address, write it as `operator_cidrs: [ADDRESS/32]`"
        )
    if all(ip_network(network).version == 6 for network in settings.operator_cidrs):
        raise SettingsError(
            f"operator_cidrs: found {', '.join(settings.operator_cidrs)}, expected at least one IPv4 network: "
            "hosts have IPv4 addresses only; `curl -4 https://checkip.amazonaws.com` shows yours"
        )
    for network in settings.operator_cidrs:
        if network.endswith("/0"):
            pulumi.log.warn(f"operator_cidrs: {network} lets the whole internet reach the hosts' SSH")


def spec_of(settings: Settings, provider: Provider) -> str:
    """Return the instance type or plan of one provider; SettingsError if the settings name none."""
    specs = settings.specs
    found = specs.get(provider) if isinstance(specs, dict) else specs
    if not found:
        raise SettingsError(
            f"specs: found none for {provider}, expected a machine's kind, such as {_EXAMPLES[provider]}"
        )
    return found


def credentials_file(settings: Settings, provider: Provider) -> Path | None:
    """Return the file that `token_file` names for this provider, None if the provider's usual place is meant.

    In a testbed over several clouds `token_file` is that of `cloud_provider`. Raises SettingsError if it is missing.
    """
    if settings.token_file is None or provider != settings.cloud_provider:
        return None
    path = settings.token_file.expanduser().absolute()
    if not path.is_file():
        raise SettingsError(
            f"token_file: {path} does not exist; write the credentials of {provider} to it, or leave the field out "
            f"to use {_CREDENTIALS[provider]}"
        )
    return path


def look_up(
    function: str, asked: Mapping[str, Any], opts: pulumi.InvokeOptions, problem: str, remedy: str
) -> pulumi.Output[dict[str, Any]]:
    """Ask a provider what no host can be made without; if it fails, the program ends with `problem`: why; `remedy`."""

    def end(reason: str) -> NoReturn:
        raise pulumi.RunError(f"{problem}: {reason}; {remedy}")

    return _ask(function, asked, opts, end)


def look_up_price(
    function: str, asked: Mapping[str, Any], opts: pulumi.InvokeOptions, what: str
) -> pulumi.Output[dict[str, Any] | None]:
    """Ask a provider for the price of `what`; None and a warning if it fails, for hosts can be had all the same.

    The account may not be allowed to ask, several products may fit, or it is not sold to new customers any more.
    """
    return _ask(function, asked, opts, lambda reason: pulumi.log.warn(f"the price of {what} is unknown: {reason}"))


def _ask(
    function: str, asked: Mapping[str, Any], opts: pulumi.InvokeOptions, failed: Callable[[str], T]
) -> pulumi.Output[dict[str, Any] | T]:
    """Call a function of a provider; the SDK's own would end the program with a traceback."""

    async def ask() -> dict[str, Any] | T:
        try:
            found: dict[str, Any] = await pulumi.runtime.invoke_async(function, dict(asked), opts)
        except Exception as error:  # the SDK raises no other
            reason = str(error)
        else:
            return found
        return failed(reason.rpartition(" returned an error: ")[2])

    return pulumi.Output.from_input(ask())


def total_cost(prices: Sequence[pulumi.Input[float | None]]) -> pulumi.Output[float | None]:
    """Add prices; one that is unknown makes the sum unknown."""

    def add(found: Sequence[float | None]) -> float | None:
        known = [price for price in found if price is not None]
        return round(sum(known), 6) if len(known) == len(found) else None

    return pulumi.Output.all(*prices).apply(add)
