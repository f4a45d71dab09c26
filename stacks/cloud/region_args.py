"""Code shared by the regions of all clouds: arguments, checks of the settings, and queries of the provider.

A host's peers are known only when the hosts of all regions are declared, so `authorize_ingress` is called last, with
every address of the testbed.
"""

from __future__ import annotations

import getpass
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_network
from pathlib import Path
from typing import NoReturn, TypeVar

import pulumi

from benchmark.errors import SettingsError
from benchmark.host_layout import GRAFANA_PORT
from benchmark.inventory import Host, HostCapabilities, HostState, Provider, Role
from benchmark.settings import RegionSpec, Settings
from stacks.cloud.cloud_init import LOGIN, Bootstrap, grafana_password, user_data
from stacks.keys import SshKey
from stacks.region import Plan, Region

Answer = TypeVar("Answer")
Otherwise = TypeVar("Otherwise")
CloudRegion = TypeVar("CloudRegion", bound=Region)

_EXAMPLES = {"aws": "m5d.2xlarge", "vultr": "vc2-4c-8gb"}
_CREDENTIALS = {"aws": "~/.aws/credentials", "vultr": "~/.vultr"}


@dataclass(frozen=True)
class CloudHost:
    """A cloud host to create."""

    name: str
    role: Role
    host_key: pulumi.Output[str]
    """Public half of its SSH host key."""
    user_data: pulumi.Output[str]
    """What cloud-init does at the first boot; a secret."""
    grafana_password: pulumi.Output[str] | None
    """A secret; None unless the host runs a public Grafana."""

    def describe(
        self,
        provider: Provider,
        region: str,
        specs: str,
        capabilities: HostCapabilities,
        *,
        host_key: str,
        address: str,
        state: HostState,
        cpus: int,
        memory_mb: int | None,
    ) -> Host:
        """Return the inventory's entry for the created host."""
        return Host(
            name=self.name,
            provider=provider,
            region=region,
            specs=specs,
            address=address,
            ssh_user=LOGIN,
            host_key=host_key,
            role=self.role,
            state=state,
            cpus=cpus,
            memory_mb=memory_mb,
            capabilities=capabilities,
        )


@dataclass(frozen=True)
class CloudRegionArgs:
    """Arguments of one region of a cloud."""

    settings: Settings
    region: str
    """The cloud's own name of the region."""
    hosts: Sequence[CloudHost]
    public_key: pulumi.Output[str]
    """The operator's."""
    tags: Mapping[str, pulumi.Input[str]]
    """Set on every resource that takes tags."""
    peers: int
    """Number of hosts in the whole testbed."""

    @property
    def operator_ports(self) -> dict[str, int]:
        """The services that operator_cidrs may reach on the region's hosts, and their TCP ports."""
        public = self.settings.grafana_public and any(host.role == "monitoring" for host in self.hosts)
        return {"ssh": 22} | ({"grafana": GRAFANA_PORT} if public else {})

    @property
    def grafana_password(self) -> pulumi.Output[str] | None:
        """The password of the region's Grafana if that is public; a secret."""
        return self.hosts[0].grafana_password


def cloud_regions(
    plan: Plan,
    provider: Provider,
    names: Sequence[str],
    component: Callable[[str, CloudRegionArgs, pulumi.ResourceOptions], CloudRegion],
    account: pulumi.ProviderResource,
) -> list[CloudRegion]:
    """Declare the regions `names` of a cloud as `component`s, all of them in `account`. Raises SettingsError."""
    settings = plan.settings
    expires_at = plan.created_at.apply(lambda text: (datetime.fromisoformat(text) + settings.time_to_live).isoformat())
    tags = testbed_tags(settings, expires_at)
    regions = []
    for name in names:
        monitoring = plan.role(f"{name}-0") == "monitoring"
        key, spec = plan.operator.public_key, RegionSpec(provider, name)
        args = cloud_region_args(settings, spec, key, tags, peers=plan.peers, monitoring=monitoring)
        regions.append(component(name, args, pulumi.ResourceOptions(providers=[account])))
    return regions


def cloud_region_args(
    settings: Settings,
    spec: RegionSpec,
    public_key: pulumi.Output[str],
    tags: Mapping[str, pulumi.Input[str]],
    *,
    peers: int,
    monitoring: bool,
) -> CloudRegionArgs:
    """Name a region's hosts and generate their keys; `monitoring` makes the first one the monitoring host.

    Raises SettingsError if a field that clouds need is missing.
    """
    check_operators(settings)
    hosts = [
        _cloud_host(settings, spec, index, public_key, monitoring=monitoring and index == 0)
        for index in range(settings.instances)
    ]
    return CloudRegionArgs(settings, spec.name, hosts, public_key, tags, peers)


def _cloud_host(
    settings: Settings, spec: RegionSpec, index: int, public_key: pulumi.Output[str], *, monitoring: bool
) -> CloudHost:
    name = f"{spec.name}-{index}"
    key = SshKey(f"{name}-host-key")
    private: pulumi.Output[str] = pulumi.Output.secret(key.private_key)

    def first_boot(keys: Sequence[str]) -> str:
        authorized, host_public, host_private = keys
        return user_data(
            Bootstrap.from_settings(
                settings, name, spec.provider, authorized, host_public, host_private, monitoring=monitoring
            )
        )

    return CloudHost(
        name,
        "monitoring" if monitoring else "instance",
        key.public_key,
        pulumi.Output.all(public_key, key.public_key, private).apply(first_boot),
        private.apply(grafana_password) if monitoring and settings.grafana_public else None,
    )


def testbed_tags(settings: Settings, expires_at: pulumi.Input[str]) -> dict[str, pulumi.Input[str]]:
    """Return the tags that name the owner and the expiry of a resource; `expires_at` is in ISO 8601."""
    return {"testbed_id": settings.testbed_id, "owner": getpass.getuser(), "expiry": expires_at}


def check_operators(settings: Settings) -> None:
    """Raise SettingsError if no operator could log in; warn if the whole internet is allowed to connect."""
    if not settings.operator_cidrs:
        raise SettingsError(
            "operator_cidrs: found none, expected the networks that may reach the hosts' SSH; "
            "`curl https://checkip.amazonaws.com` shows your address, write it as `operator_cidrs: [ADDRESS/32]`"
        )
    if all(ip_network(network).version == 6 for network in settings.operator_cidrs):
        raise SettingsError(
            f"operator_cidrs: found {', '.join(settings.operator_cidrs)}, expected at least one IPv4 network, as hosts "
            "have only IPv4 addresses; `curl -4 https://checkip.amazonaws.com` shows yours"
        )
    for network in settings.operator_cidrs:
        if network.endswith("/0"):
            pulumi.log.warn(f"operator_cidrs: {network} allows the whole internet to reach the hosts' SSH")


def spec_of(settings: Settings, provider: Provider) -> str:
    """Return the instance type or plan for one provider; SettingsError if the settings name none."""
    specs = settings.specs
    found = specs.get(provider) if isinstance(specs, dict) else specs
    if not found:
        raise SettingsError(
            f"specs: found none for {provider}, expected an instance type or plan, such as {_EXAMPLES[provider]}"
        )
    return found


def credentials_file(settings: Settings, provider: Provider) -> Path | None:
    """Return the file that `token_file` names for this provider; None means the provider's default location.

    In a testbed over several clouds `token_file` belongs to `cloud_provider`. SettingsError if the file is missing.
    """
    if settings.token_file is None or provider != settings.cloud_provider:
        return None
    path = settings.token_file.expanduser().absolute()
    if not path.is_file():
        raise SettingsError(
            f"token_file: {path} does not exist; write the credentials of {provider} to it, or remove the field to use "
            f"{_CREDENTIALS[provider]}"
        )
    return path


def look_up(
    answer: type[Answer],
    function: str,
    query: Mapping[str, object],
    opts: pulumi.InvokeOptions,
    problem: str,
    remedy: str,
) -> pulumi.Output[Answer]:
    """Query a provider for something that hosts need; on failure the program ends with `problem`: why; `remedy`.

    `answer` is a typed dictionary of the fields of the reply that are read.
    """

    def end(reason: str) -> NoReturn:
        raise pulumi.RunError(f"{problem}: {reason}; {remedy}")

    return _invoke(answer, function, query, opts, end)


def look_up_price(
    answer: type[Answer], function: str, query: Mapping[str, object], opts: pulumi.InvokeOptions, what: str
) -> pulumi.Output[Answer | None]:
    """Query a provider for the price of `what`; on failure warn and return None, as hosts can be created without.

    The account may not have permission, several products may match, or the product may be withdrawn.
    """
    return _invoke(
        answer, function, query, opts, lambda reason: pulumi.log.warn(f"the price of {what} is unknown: {reason}")
    )


def _invoke(
    answer: type[Answer],
    function: str,
    query: Mapping[str, object],
    opts: pulumi.InvokeOptions,
    failed: Callable[[str], Otherwise],
) -> pulumi.Output[Answer | Otherwise]:
    """Call a function of a provider; the SDK's own wrappers would end the program with a traceback."""

    async def call() -> Answer | Otherwise:
        try:
            found: Answer = await pulumi.runtime.invoke_async(function, dict(query), opts)
        except Exception as error:  # the SDK raises no narrower one
            reason = str(error)
        else:
            return found
        return failed(provider_reason(reason))

    return pulumi.Output.from_input(call())


def provider_reason(text: str) -> str:
    """Return the reason in an error of a provider function, on one line, without what the layers above it add.

    https://github.com/pulumi/pulumi-terraform-bridge writes `invoking TOKEN: 1 error occurred:`, then a list.
    """
    reason = re.sub(r"^invoking \S+: ", "", text.rpartition(" returned an error: ")[2].strip())
    reasons = re.split(r"\n\s*\* ", re.sub(r"^\d+ errors? occurred:", "", reason))
    return "; ".join(" ".join(one.split()) for one in reasons if one.strip())


def total_cost(prices: Sequence[pulumi.Input[float | None]]) -> pulumi.Output[float | None]:
    """Add prices; one unknown price makes the sum unknown."""

    def add(found: Sequence[float | None]) -> float | None:
        known = [price for price in found if price is not None]
        return round(sum(known), 6) if len(known) == len(found) else None

    return pulumi.Output.all(*prices).apply(add)
