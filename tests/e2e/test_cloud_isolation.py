"""Isolation: two testbeds in the same clouds, a stranger and the operator each scan every port."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import pytest
from fakes.emulated_clouds import SETTINGS, Clouds, connects, emulated_site
from fakes.emulators.machine import Machine
from fakes.port_scan import Ports, scan, senders
from fakes.runner import Runner, is_measuring
from waiting import wait_for

from benchmark.plan import placement
from benchmark.protocols.etcd import Etcd
from benchmark.protocols.parameters import make_protocol
from benchmark.settings import load_settings

pytestmark = pytest.mark.e2e

ONE_EACH = SETTINGS.replace("instances: 2", "instances: 1")
SILENT = Ports(frozenset(), 0)
SSH_ONLY = Ports(frozenset({22}), 0)
SSH, NODE_EXPORTER = 22, 9100
LOAD = 50


@dataclass
class Neighbours:
    """Two testbeds of a host on either cloud, and a machine of nobody's."""

    first: Clouds
    second: Clouds
    stranger: Machine

    def ways(self, kind: str) -> dict[str, tuple[Machine | None, str]]:
        """The ways to hosts of the first testbed from hosts of a kind: `inside` it, of the other, of nobody.

        From another cloud, a host of the other testbed is as strange as the host of nobody, so that way is left out.
        """
        origins: dict[str, dict[str, Machine | None]] = {
            "inside": dict(self.first.machines),
            "outside": {"stranger": self.stranger, **{f"other {n}": m for n, m in self.second.machines.items()}},
            "operator": {"operator": None},
        }
        to = self.first.machines
        return {
            f"{a} -> {b}": (x, y.address)
            for a, x in origins[kind].items()
            for b, y in to.items()
            if x is not y and a in ("operator", "stranger", f"other {b}", *to)
        }


def scans(ways: Mapping[str, tuple[Machine | None, str]]) -> dict[str, Ports]:
    """Go all ways, some at once."""
    with ThreadPoolExecutor(5) as pool:
        return dict(zip(ways, pool.map(lambda ends: scan(ends[1], ends[0]), ways.values()), strict=True))


def all_but(ports: Set[int]) -> Ports:
    """What a host answers that lets in everything and listens on these ports."""
    return Ports(frozenset(ports), 65535 - len(ports))


@contextmanager
def no_firewall_of_their_own(machines: Sequence[Machine]) -> Iterator[None]:
    """Take away the firewalls of hosts while the block runs."""
    try:
        for machine in machines:
            done = machine.enter(["nft", "delete", "table", "inet", "geobench"])
            assert done.returncode == 0, done.stderr
        yield
    finally:
        restored = [machine.enter(["systemctl", "restart", "geobench-firewall"]) for machine in machines]
        assert [done.stderr for done in restored if done.returncode] == []


@contextmanager
def measuring(clouds: Clouds) -> Iterator[None]:
    """A run that measures while the block runs, however long that takes, and is interrupted then."""
    runner = Runner(clouds.stack)
    before = set(runner.results.glob("2*"))

    def begun() -> bool:
        fresh = set(runner.results.glob("2*")) - before
        return any(is_measuring(folder) for folder in fresh)

    run = runner.start("run", "--loads", str(LOAD), "--duration", "1h", "--warm-up", "2s")
    try:
        wait_for(lambda: run.poll() is not None or begun(), "the run measures")
        assert run.poll() is None, run.communicate()
        yield
        ended = run.poll()
    finally:
        run.send_signal(signal.SIGINT)
        _, err = run.communicate(timeout=120)
    assert (ended, run.returncode) == (None, 130), err


def opened_by_a_run(clouds: Clouds) -> dict[str, list[int]]:
    """The ports that each host listens on for the processes of a run."""
    protocol = make_protocol(Etcd, load_settings(clouds.stack.project / "s.yaml"))
    inventory = clouds.stack.inventory()
    plan = placement.place(inventory, Etcd, LOAD)
    ports = placement.ports([*protocol.nodes(plan), *protocol.clients(plan)])
    return {host.name: ports.get(host.name, []) for host in inventory.hosts}


@pytest.fixture(scope="module")
def neighbours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neighbours]:
    folder = tmp_path_factory.mktemp("neighbours")
    with emulated_site(folder, "neighbours") as site:
        first, second = (Clouds(folder, site, name, ONE_EACH) for name in ("first", "second"))
        stranger = Machine(folder / "stranger", site.image, site.network, "stranger", "ewr")
        try:
            stranger.create("#cloud-config\n{}\n")
            for clouds in (first, second):
                clouds.stack.up()
            for clouds in (first, second):
                clouds.wait_until_ready()
            yield Neighbours(first, second, stranger)
        finally:
            stranger.remove()
            for clouds in (first, second):
                clouds.stack.destroy()


def test_each_emulated_machine_has_its_own_cgroup(neighbours: Neighbours) -> None:
    """Or the systemd of one would take away what that of another starts a unit in."""
    machines = [*neighbours.first.machines.values(), *neighbours.second.machines.values(), neighbours.stranger]
    groups = {machine.enter(["cat", "/proc/1/cgroup"]).stdout for machine in machines}
    assert len(groups) == len(machines)


def test_before_a_run_hosts_admit_only_ssh_from_operators(neighbours: Neighbours) -> None:
    inside, outside, operator = map(neighbours.ways, ("inside", "outside", "operator"))
    expected = dict.fromkeys([*inside, *outside], SILENT) | dict.fromkeys(operator, SSH_ONLY)
    assert scans({**inside, **outside, **operator}) == expected


def test_cloud_firewalls_alone_keep_strangers_out(neighbours: Neighbours) -> None:
    inside, outside, operator = map(neighbours.ways, ("inside", "outside", "operator"))
    targets = list(neighbours.first.machines.values())
    with no_firewall_of_their_own(targets):
        found = scans({**inside, **outside, **operator})
    assert found == dict.fromkeys(outside, SILENT) | dict.fromkeys(operator, SSH_ONLY) | dict.fromkeys(
        inside, all_but({SSH, NODE_EXPORTER})
    )
    assert not any(connects(a, b.address, NODE_EXPORTER) for a in targets for b in targets if a is not b)


def test_run_opens_ports_only_between_its_own_hosts(neighbours: Neighbours) -> None:
    inside, outside, operator = map(neighbours.ways, ("inside", "outside", "operator"))
    with measuring(neighbours.first):
        found = scans({**inside, **outside, **operator})
    opened = opened_by_a_run(neighbours.first)
    assert opened["ewr-0"]
    expected = {way: all_but({SSH, NODE_EXPORTER, *opened[way.split()[-1]]}) for way in inside}
    assert found == expected | dict.fromkeys(outside, SILENT) | dict.fromkeys(operator, SSH_ONLY)


def test_ports_are_closed_after_a_run(neighbours: Neighbours) -> None:
    inside = neighbours.ways("inside")
    assert scans(inside) == dict.fromkeys(inside, all_but({SSH, NODE_EXPORTER}))


def test_datagrams_from_strangers_are_dropped(neighbours: Neighbours) -> None:
    peer, target = neighbours.first.machines.values()
    others = [*neighbours.second.machines.values(), neighbours.stranger]
    assert senders(target, 5005, [*others, peer]) == {peer.address}


def test_new_operators_are_admitted_and_old_ones_are_not(neighbours: Neighbours) -> None:
    first, stranger = neighbours.first, neighbours.stranger
    targets = [machine.address for machine in first.machines.values()]
    operator = first.site.operator
    first.stack.up("-c", f"operator_cidrs=[{operator}]")
    first.benchmark("check")
    first.stack.up("-c", f"operator_cidrs=[{operator}, {stranger.address}/32]")
    assert not any(connects(stranger, address, SSH) for address in targets)  # the hosts know nothing of it yet
    first.benchmark("check")
    for address in targets:
        wait_for(partial(connects, stranger, address, SSH), f"the new operator reaches {address}")
    assert not any(connects(stranger, address, NODE_EXPORTER) for address in targets)
    first.stack.up("-c", f"operator_cidrs=[{operator}]")
    first.benchmark("check")
    assert not any(connects(stranger, address, SSH) for address in targets)


def test_destroy_leaves_a_neighbouring_testbed_alone(neighbours: Neighbours) -> None:
    neighbours.second.stack.destroy()
    assert neighbours.second.machines == {}
    neighbours.first.wait_until_ready()
    neighbours.first.stack.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes")
