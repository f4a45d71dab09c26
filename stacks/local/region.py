"""The local provider: regions of hosts on this machine, joined by an emulated wide area network."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import pulumi

from benchmark.errors import SettingsError
from benchmark.host_layout import DISK_FILE
from benchmark.inventory import EmulatedRoundTrip, Host, HostCapabilities, HostDisk, HostHelp
from stacks.keys import SshKey
from stacks.local.host.host import NAME
from stacks.local.host.resource import DiskProps, HostArgs, LocalHost
from stacks.local.owner import Owner, require_owner
from stacks.local.requirements import check_machine
from stacks.local.wan.addresses import state_folder
from stacks.local.wan.links import links_for
from stacks.local.wan.resource import LocalNetwork
from stacks.monitoring import monitoring_files
from stacks.region import Plan


class LocalRegion(pulumi.ComponentResource):
    """The hosts of one region, named `REGION-INDEX`, on the testbed's network."""

    capabilities = HostCapabilities(
        help=HostHelp(
            login_rejected="Set ssh_private_key_file to the matching key, or run `pulumi up` to install this one"
        )
    )
    hourly_cost_usd: float | None = 0.0
    grafana_password: pulumi.Output[str] | None = None

    def __init__(
        self, name: str, plan: Plan, network: LocalNetwork, round_trips: Mapping[str, EmulatedRoundTrip]
    ) -> None:
        super().__init__("geobench:local:Region", name)
        self.round_trips = {pair: wanted for pair, wanted in round_trips.items() if pair.startswith(f"{name}/")}
        self.hosts = [self._host(f"{name}-{index}", name, plan, network) for index in range(plan.settings.instances)]
        self.register_outputs({})

    def authorize_ingress(self, addresses: Mapping[str, pulumi.Input[str]]) -> None:
        """Do nothing: hosts of one network accept traffic from each other, and from nobody else."""

    def _host(self, name: str, region: str, plan: Plan, network: LocalNetwork) -> pulumi.Output[Host]:
        settings, role = plan.settings, plan.role(name)
        files = monitoring_files(settings.scrape_interval) if role == "monitoring" else {}
        disk: DiskProps | None = None
        if settings.disk.durable:
            folder = str(PurePosixPath("/root", settings.working_dir))
            disk = DiskProps(size=settings.disk.size, folder=folder, bandwidth=settings.disk.bandwidth or 0)
            files = {**files, DISK_FILE: f"{settings.disk.describe(settings.working_dir)}\n"}
        key = SshKey(name, pulumi.ResourceOptions(parent=self))
        args = HostArgs(
            testbed_id=settings.testbed_id,
            stack=pulumi.get_stack(),
            name=name,
            region=region,
            role=role,
            network=network.identity,
            operator_key=plan.operator.public_key,
            host_key=key.public_key,
            host_private_key=pulumi.Output.secret(key.private_key),
            files=files,
            disk=disk,
            state=settings.state,
        )
        host = LocalHost(name, args, pulumi.ResourceOptions(parent=self))

        def describe(address: str, host_key: str, operator_address: str) -> Host:
            return Host(
                name=name,
                provider="local",
                region=region,
                specs="namespace",
                address=address if settings.state == "running" else "",
                host_key=host_key,
                role=role,
                state=settings.state,
                cpus=os.cpu_count(),
                memory_mb=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20,
                disk=HostDisk(
                    working_dir=settings.working_dir,
                    durable=settings.disk.durable,
                    size=settings.disk.size,
                    bandwidth=settings.disk.bandwidth,
                ),
                capabilities=self.capabilities.model_copy(update={"through": operator_address}),
            )

        known = pulumi.Output.all(host.address, key.public_key, network.operator_address)
        return known.apply(lambda values: describe(*values))


def regions(plan: Plan, names: Sequence[str]) -> list[LocalRegion]:
    """Declare the network and the regions `names` on it.

    Raises SettingsError for a name that cannot be part of a hostname, InfrastructureError for an unsuitable machine or
    if the testbed belongs to another stack.
    """
    for name in names:
        if not NAME.fullmatch(f"{name}-{plan.settings.instances - 1}"):
            raise SettingsError(
                f"regions: {name!r} cannot be the name of a local region, as it is part of hostnames; use at most 60 "
                "ASCII letters, digits, '.', '_' and '-', starting with a letter or digit"
            )
    check_machine(state_folder(), plan.settings.disk)
    require_owner(plan.settings.testbed_id, Owner.here(pulumi.get_stack()))
    links = links_for(names, plan.settings.network)
    network = LocalNetwork("network", plan.settings.testbed_id, links)
    round_trips = links.round_trips()
    return [LocalRegion(name, plan, network, round_trips) for name in names]
