"""A testbed as the runner holds it: connected, locked for one run at a time, checked."""

from __future__ import annotations

import getpass
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from shlex import join

from benchmark.errors import HostError, LockedError, UsageError
from benchmark.host_layout import PROMETHEUS_PORT
from benchmark.host_scripts import read_script
from benchmark.inventory import Host, Inventory
from benchmark.remote.fleet import Completed, Fleet, Results
from benchmark.settings import Settings
from benchmark.testbed import bootstrap as first_start
from benchmark.testbed import facts as probing
from benchmark.testbed import packages as debian
from benchmark.testbed import reconcile as changed_settings
from benchmark.testbed.facts import Facts

_PROBE_DEADLINE_S = 30.0
_LOCK_DEADLINE_S = 15.0
_PEERS = "sudo -n geobench-peers"


@dataclass(frozen=True)
class Testbed:
    """The hosts of an inventory and the connections to them."""

    inventory: Inventory
    fleet: Fleet
    settings: Settings
    __test__ = False  # pytest would collect the name

    @property
    def running(self) -> tuple[Host, ...]:
        """The hosts that are not stopped."""
        return tuple(host for host in self.inventory.hosts if host.state != "stopped")

    def connect(self) -> None:
        """Open a connection to every running host; HostError names those that cannot be reached."""
        self._all_reached(self.fleet.connect([host.name for host in self.running]))

    def make_ready(self, tell: Callable[[str], None]) -> dict[str, datetime]:
        """Connect to every running host, wait until all are set up, and have them follow the settings.

        Their firewalls let in each other, and Prometheus scrapes as often as it should. Returns when the hosts end
        themselves, by name, for those that do; `tell` is told who is waited for. HostError names those that cannot be
        reached or did not set themselves up: the others keep out the address of a host that is lost, which may be
        somebody else's by now. SettingsError where hosts were made for other settings.
        """
        opened, reports = first_start.connect(self.fleet, self.running, tell)
        admitted = self._admit([host for host in self.running if host.name in opened.ok])
        self._all_reached(opened)
        admitted.raise_for_failures("cannot open the firewalls of hosts to each other:")
        changed_settings.follow(self.fleet, self.settings, reports, tell)
        return {name: report.expires_at for name, report in reports.items() if report.expires_at}

    def _all_reached(self, opened: Results[None]) -> None:
        remedy = lost_hosts_advice(self.inventory.host(name) for name in opened.failed)
        opened.raise_for_failures(f"cannot reach hosts; `python -m benchmark status` shows all. {remedy}:")

    def _admit(self, hosts: Sequence[Host]) -> Results[Completed]:
        """Tell the firewalls of cloud hosts who may come in: `hosts` and the operators of the settings, nobody else.

        A host knows from its creation only the operators that there were. Who tells it stays one of them, so that a
        slip in the settings locks nobody out.
        """
        guarded = [host.name for host in hosts if first_start.is_rented(host)]
        lines = [host.address for host in hosts if _is_address(host.address)]
        lines += [f"operator {network}" for network in self.settings.operator_cidrs]
        teller = '"operator ${SSH_CLIENT%% *}"' if self.settings.operator_cidrs else ""
        command = f"printf '%s\\n' {join(lines)} {teller} | {_PEERS}"
        return self.fleet.run(command, hosts=guarded, deadline=_PROBE_DEADLINE_S) if guarded else Results()

    @contextmanager
    def lock(self, take_over: bool = False) -> Iterator[None]:
        """Hold the testbed until the block is left or this process ends; LockedError says who holds it since when.

        The lock is a file lock on one host, held by a remote command that ends with this side's connection: the
        lock of a runner that was killed is free at once, and that of one that vanished when the host's SSH server
        misses it.
        """
        host = (self.inventory.monitoring or self.running[0]).name
        holder = (
            f"by {getpass.getuser()}@{socket.gethostname()} (process {os.getpid()}) since {datetime.now(UTC):%F %T} UTC"
        )
        words = ["bash", "-c", read_script("lock.sh"), "lock", self.settings.working_dir, holder, str(int(take_over))]
        session = self.fleet.open(join(words), hosts=[host], deadline=_LOCK_DEADLINE_S).raise_for_failures(
            "cannot lock the testbed:"
        )[host]
        try:
            end = time.monotonic() + _LOCK_DEADLINE_S
            answer: list[str] = []
            ended = False
            while not answer and not ended and time.monotonic() < end:
                ended = session.ended  # before the last look: it may have answered and ended at once
                answer = session.read_lines()
                time.sleep(0.002)
            if answer != ["locked"]:
                who = answer[0] if answer else f"no answer within {_LOCK_DEADLINE_S:g} s: {session.stderr.strip()}"
                raise LockedError(
                    f"testbed {self.inventory.testbed_id} is {who}; wait for that run to end, "
                    "or end it with `python -m benchmark stop --force`"
                )
            yield
        finally:
            session.close()

    def probe(self, *, clean: bool, packages: Sequence[str] = (), carriers: Sequence[Host] = ()) -> dict[str, Facts]:
        """Ask every running host for its facts; with `clean`, end there what earlier runs left.

        The first host of each region times the round trips to those of `carriers` that lead the other regions.
        Raises HostError.
        """
        heads: dict[str, Host] = {}
        for host in carriers or self.running:
            heads.setdefault(host.region, host)
        carrying = {host.name for host in carriers}
        commands = {
            host.name: probing.command(
                self.settings.working_dir,
                clean=clean,
                packages=packages if host.name in carrying else (),
                peers=_others(host, heads) if heads.get(host.region) == host else {},
            )
            for host in self.running
        }
        answers = self.fleet.run(commands, stdin=probing.script(), deadline=_PROBE_DEADLINE_S)
        return {
            name: probing.parse(answer.stdout)
            for name, answer in answers.raise_for_failures("hosts failed their check:").items()
        }

    @contextmanager
    def dashboard(self, port: int) -> Iterator[tuple[str, int]]:
        """Lead a local port to Grafana on the monitoring host, or where nothing listens on `port` to Prometheus."""
        host = self.inventory.monitoring
        if host is None:
            raise UsageError("the testbed has no monitoring host; set `monitoring: true` and run `pulumi up`")
        listens = self.fleet.run(f"ss -ltnH | grep -q ':{port} '", hosts=[host.name], deadline=_LOCK_DEADLINE_S).ok
        what, remote = ("grafana", port) if listens else ("prometheus", PROMETHEUS_PORT)
        with self.fleet.tunnel(host.name, remote) as local:
            yield what, local

    def rtt_ms(self, facts: Mapping[str, Facts]) -> dict[tuple[str, str], float]:
        """Return the measured round trips between regions, by ordered pair, in ms."""
        return {
            (host.region, region): milliseconds
            for host in self.running
            for region, milliseconds in facts[host.name].rtt_ms.items()
        }

    def install(self, packages: Mapping[str, Sequence[str]]) -> None:
        """Install Debian packages by host; HostError with the last lines where it fails."""
        commands = {host: debian.install_command(names) for host, names in packages.items()}
        self.fleet.run(commands, deadline=debian.INSTALL_DEADLINE_S).raise_for_failures("installation failed:")

    def check(self, ports: Mapping[str, Sequence[int]], facts: Mapping[str, Facts]) -> None:
        """Raise HostError if any host cannot take part: its ports are in use, its disk is full."""
        bad = {
            name: "; ".join(found)
            for name, fact in facts.items()
            if (found := probing.problems(fact, ports.get(name, ())))
        }
        if bad:
            raise HostError("hosts are not fit for a run:", bad)


def lost_hosts_advice(hosts: Iterable[Host]) -> str:
    """Say what to do about hosts that cannot be reached."""
    providers = {host.provider for host in hosts}
    advice = []
    if "machines" in providers:
        advice.append(
            "Machines of your own have to be on and to let you in: pulumi does not start them, it takes their "
            "address, port, user and host_key from the settings"
        )
    if providers - {"machines"}:
        advice.append("`pulumi refresh` finds out whether hosts still exist, `pulumi up` makes missing ones anew")
    if "vultr" in providers:
        advice.append(
            "Where that fails with `instance not found`, docs/clouds.md has the way out, under `A server that Vultr no "
            "longer has`"
        )
    return ". ".join(advice)


def _others(host: Host, heads: Mapping[str, Host]) -> dict[str, Host]:
    return {region: head for region, head in heads.items() if head != host}


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
