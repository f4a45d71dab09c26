"""A testbed of hosts: connect to it, lock it for one run at a time, check it."""

from __future__ import annotations

import getpass
import os
import socket
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from shlex import join

from benchmark.errors import HostError, InfrastructureError, LockedError, UsageError
from benchmark.host_layout import PEERS_COMMAND, PROMETHEUS_PORT
from benchmark.host_scripts import read_script
from benchmark.inventory import Host, Inventory
from benchmark.metrics.prometheus import Prometheus
from benchmark.remote.deadlines import ANSWER_S, CHANGE_S, QUERY_S
from benchmark.remote.fleet import Completed, Fleet, Results
from benchmark.settings import Settings
from benchmark.testbed import bootstrap, facts, packages, round_trips
from benchmark.testbed.facts import Facts
from benchmark.testbed.reconcile import reconcile
from benchmark.testbed.round_trips import RoundTrips

_PATIENT = partial(Prometheus, patience=timedelta(seconds=30))
"""A client that waits for a Prometheus that restarts: the results of a run depend on it."""
_PROBES, _PROBE_INTERVAL_S = 5, 0.02
_PEERS = f"sudo -n {PEERS_COMMAND}"


@dataclass(frozen=True)
class Testbed:
    """The hosts of an inventory and the connections to them."""

    inventory: Inventory
    fleet: Fleet
    settings: Settings
    open_prometheus: Callable[[str], Prometheus] = _PATIENT
    """Opens the Prometheus at a URL; tests replace it."""
    __test__ = False  # pytest would collect the name

    @classmethod
    @contextmanager
    def open(
        cls, inventory: Inventory, settings: Settings, key: Path | str, retries: int | None = None
    ) -> Iterator[Testbed]:
        """Yield the testbed, not connected yet, and close all connections at the end.

        `key` is the path of a private key, or its text; `retries` overrides ssh_retries.
        InfrastructureError if the emulated network of its hosts is down.
        """
        require_network(inventory)
        fleet = Fleet(
            inventory.hosts,
            inventory.ssh.user,
            key,
            timeout=settings.ssh_timeout,
            retries=settings.ssh_retries if retries is None else retries,
        )
        with fleet:
            yield cls(inventory, fleet, settings)

    @property
    def running(self) -> tuple[Host, ...]:
        """The hosts that are not stopped."""
        return tuple(host for host in self.inventory.hosts if host.state != "stopped")

    @property
    def monitoring(self) -> Host:
        """The monitoring host; UsageError if there is none."""
        host = self.inventory.monitoring
        if host is None:
            raise UsageError(
                f"testbed {self.inventory.testbed_id} has no monitoring host, which dashboards need; "
                "set `monitoring: true` and run `pulumi up`"
            )
        return host

    def connect(self) -> None:
        """Open a connection to every running host; HostError names those that cannot be reached."""
        self._require_all(self.fleet.connect([host.name for host in self.running]))

    def stop(self, force: bool) -> Results[Facts]:
        """Kill what runs left on every host that can be reached; `force` ends a run in progress. Raises LockedError.

        HostError if no host can be reached.
        """
        opened = self.fleet.connect([host.name for host in self.running])
        if not opened.ok:
            self._require_all(opened)
        with self.lock(take_over=force, among=opened.ok):
            cleaned = self.clean(opened.ok)
        return Results(cleaned.ok, opened.failed | cleaned.failed)

    def make_ready(self, report: Callable[[str], None]) -> dict[str, datetime]:
        """Connect to every running host, wait until all have bootstrapped, and apply the current settings to them.

        Returns when hosts terminate, by name, for those that do; `report` gets a line when hosts are waited for.
        HostError names those that cannot be reached or failed to bootstrap; the others no longer admit the address of
        a lost host, which may be somebody else's by now. SettingsError where hosts were created for other settings.
        """
        opened, statuses = bootstrap.connect(self.fleet, self.running, report)
        admitted = self._admit([host for host in self.running if host.name in opened.ok])
        self._require_all(opened)
        admitted.raise_for_failures("could not open the firewalls of hosts to each other:")
        reconcile(self.fleet, self.settings, statuses, report)
        return {name: status.expires_at for name, status in statuses.items() if status.expires_at}

    def _require_all(self, opened: Results[None]) -> None:
        remedy = lost_hosts_advice(self.inventory.host(name) for name in opened.failed)
        opened.raise_for_failures(f"cannot reach hosts; `geobench status` shows all. {remedy}:")

    def _admit(self, hosts: Sequence[Host]) -> Results[Completed]:
        """Have the firewalls of cloud hosts admit `hosts` and the operators of the settings, nobody else.

        A host knows only the operators of its creation. Whoever runs this stays one of them, so that a mistake in the
        settings locks nobody out.
        """
        guarded = [host.name for host in hosts if host.capabilities.ephemeral]
        lines = [host.address for host in hosts if _is_address(host.address)]
        lines += [f"operator {network}" for network in self.settings.operator_cidrs]
        client = '"operator ${SSH_CLIENT%% *}"' if self.settings.operator_cidrs else ""
        command = f"printf '%s\\n' {join(lines)} {client} | {_PEERS}"
        return self.fleet.run(command, hosts=guarded, deadline=CHANGE_S) if guarded else Results()

    @contextmanager
    def lock(self, take_over: bool = False, among: Collection[str] | None = None) -> Iterator[None]:
        """Hold the testbed until the block is left or this process ends; LockedError names the holder.

        `among` are the hosts that can be reached, by default all: runs lock the monitoring host, without which there
        are none.

        The lock is a file lock on one host, held by a remote command that ends with the connection: the lock of a
        runner that was killed is free at once, that of one that vanished when the host's SSH server notices.
        """
        order = [self.inventory.monitoring or self.running[0], *self.running]
        host = next(each.name for each in order if among is None or each.name in among)
        holder = (
            f"by {getpass.getuser()}@{socket.gethostname()} (process {os.getpid()}) since {datetime.now(UTC):%F %T} UTC"
        )
        words = ["bash", "-c", read_script("lock.sh"), "lock", self.settings.working_dir, holder, str(int(take_over))]
        session = self.fleet.open(join(words), hosts=[host], deadline=QUERY_S).raise_for_failures(
            "could not lock the testbed:"
        )[host]
        try:
            end = time.monotonic() + QUERY_S
            answer: list[str] = []
            ended = False
            while not answer and not ended and time.monotonic() < end:
                ended = session.ended  # before the last read: it may have answered and ended at once
                answer = session.read_lines()
                time.sleep(0.002)
            if answer != ["locked"]:
                who = answer[0] if answer else f"not answering within {QUERY_S:g} s: {session.stderr.strip()}"
                raise LockedError(
                    f"testbed {self.inventory.testbed_id} is {who}; wait for that run to end, "
                    "or end it with `geobench stop --force`"
                )
            yield
        finally:
            session.close()

    def probe(self, *, clean: bool, packages: Sequence[str] = (), carriers: Sequence[Host] = ()) -> dict[str, Facts]:
        """Gather the facts of every running host; with `clean`, kill there what earlier runs left.

        The `carriers` report the versions of `packages`. Raises HostError.
        """
        carrying = {host.name for host in carriers}
        commands = {
            host.name: facts.command(
                self.settings.working_dir,
                "remove" if clean else "count",
                packages=packages if host.name in carrying else (),
            )
            for host in self.running
        }
        return self._probed(commands, CHANGE_S).raise_for_failures("could not check hosts:")

    def clean(self, hosts: Iterable[str] | None = None) -> Results[Facts]:
        """Kill what earlier runs left on `hosts`, by default all running ones, and remove their files."""
        command = facts.command(self.settings.working_dir, "remove")
        names = [host.name for host in self.running] if hosts is None else hosts
        return self._probed(dict.fromkeys(names, command), CHANGE_S)

    def kill_leftovers(self, hosts: Iterable[str]) -> Results[Facts]:
        """Kill the processes of the current run on `hosts` and keep their files."""
        command = facts.command(self.settings.working_dir, "kill")
        return self._probed(dict.fromkeys(hosts, command), ANSWER_S)

    def _probed(self, commands: Mapping[str, str], deadline: float) -> Results[Facts]:
        answers = self.fleet.run(commands, stdin=facts.script(), deadline=deadline)
        found = {name: facts.parse(answer.stdout, answer.preamble) for name, answer in answers.ok.items()}
        return Results(found, answers.failed)

    @contextmanager
    def prometheus(self) -> Iterator[Prometheus]:
        """Open a tunnel to the Prometheus of the monitoring host. Raises UsageError, HostError."""
        with (
            self.fleet.tunnel(self.monitoring.name, PROMETHEUS_PORT) as port,
            self.open_prometheus(f"http://127.0.0.1:{port}") as prometheus,
        ):
            yield prometheus

    def monitoring_problem(self) -> str:
        """Return why Prometheus on the monitoring host cannot serve a run; empty if it can.

        The next run sets it up on machines that existed before the testbed.
        """
        if self.inventory.monitoring is None:
            return ""
        try:
            with self.prometheus() as prometheus:
                problem = "" if self.monitoring.capabilities.user_owned else prometheus.problem()
        except HostError as error:  # its sshd may forward no ports
            return "; ".join(error.hosts.values())
        return f"{problem}; restart it (`geobench ssh {self.monitoring.name}`) or the testbed" if problem else ""

    @contextmanager
    def dashboard(self, port: int) -> Iterator[tuple[str, int]]:
        """Open a tunnel to Grafana on the monitoring host, or to Prometheus where nothing listens on `port`.

        Yields which of the two it is and the local port. Raises UsageError, HostError.
        """
        host = self.monitoring
        listens = self.fleet.run(f"ss -ltnH | grep -q ':{port} '", hosts=[host.name], deadline=QUERY_S).ok
        what, remote = ("grafana", port) if listens else ("prometheus", PROMETHEUS_PORT)
        with self.fleet.tunnel(host.name, remote) as local:
            yield what, local

    def round_trips(
        self, among: Sequence[Host] = (), *, probes: int = _PROBES, interval_s: float = _PROBE_INTERVAL_S
    ) -> RoundTrips:
        """Measure the round trips between the regions of `among`, by default of all running hosts, both ways.

        The first host of each region sends `probes` requests to those of the others and to a neighbour.
        """
        hosts = among or self.running
        regions = {host.name: host.region for host in hosts}
        commands = round_trips.commands(hosts, probes, interval_s)
        deadline = 2 * probes * interval_s + QUERY_S
        answers = self.fleet.run(commands, stdin=round_trips.script(), deadline=deadline)
        found: dict[round_trips.Pair, list[round_trips.Sample]] = {}
        failed = dict(answers.failed)
        for name, answer in answers.ok.items():
            try:
                found |= round_trips.parse(regions[name], answer.stdout, set(regions.values()))
            except InfrastructureError as error:
                failed[name] = str(error)
        return RoundTrips(found, failed)

    def install(self, missing: Mapping[str, Sequence[str]]) -> dict[str, dict[str, str]]:
        """Install Debian packages by host and return their versions; HostError with the last lines where it fails."""
        commands = {host: packages.install_command(names) for host, names in missing.items()}
        done = self.fleet.run(commands, deadline=packages.INSTALL_DEADLINE_S).raise_for_failures("installation failed:")
        return {host: packages.parse_versions(answer.stdout) for host, answer in done.items()}

    def problems(self, ports: Mapping[str, Sequence[int]], found: Mapping[str, Facts]) -> dict[str, list[str]]:
        """Return for each host why a run that needs `ports` is not possible there; an empty list where it is."""
        wanted = self.settings.disk.describe(self.settings.working_dir)
        remedy = "run `pulumi up`, or pass the settings of the hosts with --settings"
        result = {name: facts.problems(each, ports.get(name, ())) for name, each in found.items()}
        for name, each in found.items():
            if self.inventory.host(name).provider == "local" and each.disk != wanted:
                # A benchmark on another disk than the one in the settings would measure something else.
                result[name].append(f"its disk is `{each.disk}` and that of the settings `{wanted}`; {remedy}")
        return result

    def check(self, ports: Mapping[str, Sequence[int]], found: Mapping[str, Facts]) -> None:
        """Raise HostError if a run is not possible on any host: its ports are in use, its disk is full."""
        if unfit := {name: "; ".join(texts) for name, texts in self.problems(ports, found).items() if texts}:
            raise HostError("a run is not possible on these hosts:", unfit)


def require_network(inventory: Inventory) -> None:
    """Raise InfrastructureError if this machine is not attached to the emulated network of the hosts."""
    for address in {host.capabilities.through for host in inventory.hosts} - {None}:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind((address, 0))
            except OSError:
                raise InfrastructureError(
                    f"the emulated network of testbed {inventory.testbed_id} is down (this machine has no address "
                    f"{address}); `pulumi up` repairs it and recreates the hosts"
                ) from None


def lost_hosts_advice(hosts: Iterable[Host]) -> str:
    """Return what to do about hosts that cannot be reached."""
    return ". ".join(dict.fromkeys(host.capabilities.help.unreachable for host in hosts))


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
