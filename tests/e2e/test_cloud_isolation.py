"""Who reaches what: two testbeds in the same clouds, a stranger, and the operator, each trying every port."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from emulated_clouds import SETTINGS, Clouds, connects, emulated_site
from emulators.machine import Machine
from port_scan import Ports, scan, senders
from waiting import wait_for

pytestmark = pytest.mark.e2e

ONE_EACH = SETTINGS.replace("instances: 2", "instances: 1")
SILENT = Ports(frozenset(), 0)
SSH_ONLY = Ports(frozenset({22}), 0)
SSH, NODE_EXPORTER = 22, 9100


@dataclass
class Neighbours:
    """Two testbeds of a host on either cloud, and a machine of nobody's."""

    first: Clouds
    second: Clouds
    stranger: Machine

    def ways(
        self, kind: str, targets: Sequence[str] = ("us-east-1-0", "ewr-0")
    ) -> dict[str, tuple[Machine | None, str]]:
        """Every way to hosts of the first testbed from hosts of a kind: `inside` it, of the other, of nobody."""
        origins: dict[str, dict[str, Machine | None]] = {
            "inside": dict(self.first.machines),
            "outside": {"stranger": self.stranger, **{f"other {n}": m for n, m in self.second.machines.items()}},
            "operator": {"operator": None},
        }
        to = {name: self.first.machines[name] for name in targets}
        return {f"{a} -> {b}": (x, y.address) for a, x in origins[kind].items() for b, y in to.items() if x is not y}


def scans(ways: Mapping[str, tuple[Machine | None, str]]) -> dict[str, Ports]:
    """Go all ways, some at once."""
    with ThreadPoolExecutor(5) as pool:
        return dict(zip(ways, pool.map(lambda ends: scan(ends[1], ends[0]), ways.values()), strict=True))


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


def test_before_a_run_hosts_let_in_the_operators_ssh_and_nothing_else(neighbours: Neighbours) -> None:
    inside, outside, operator = map(neighbours.ways, ("inside", "outside", "operator"))
    expected = dict.fromkeys([*inside, *outside], SILENT) | dict.fromkeys(operator, SSH_ONLY)
    assert scans({**inside, **outside, **operator}) == expected


def test_a_run_opens_its_testbed_to_its_own_hosts_alone(neighbours: Neighbours) -> None:
    first = neighbours.first
    inside, outside, operator = (neighbours.ways(kind, ["ewr-0"]) for kind in ("inside", "outside", "operator"))
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(first.benchmark, "run", "--loads", "50", "--duration", "40s", "--warm-up", "2s")
        wait_for(lambda: run.done() or _measuring(first), "the run measures")
        found = scans({**inside, **outside, **operator})
        assert _measuring(first), "the run went on while the ports were tried"
        run.result()
    assert first.summary()["status"] == "ok"
    (way,) = inside
    assert {SSH, NODE_EXPORTER} < found.pop(way).open
    assert found == dict.fromkeys(outside, SILENT) | dict.fromkeys(operator, SSH_ONLY)


def test_after_a_run_its_ports_are_closed(neighbours: Neighbours) -> None:
    for way, found in scans(neighbours.ways("inside")).items():
        assert found.open == {SSH, NODE_EXPORTER}, way


def test_datagrams_of_strangers_do_not_arrive_either(neighbours: Neighbours) -> None:
    peer, target = neighbours.first.machines.values()
    others = [*neighbours.second.machines.values(), neighbours.stranger]
    assert senders(target, 5005, [*others, peer]) == {peer.address}


def test_operators_that_are_new_get_in_and_old_ones_do_not(neighbours: Neighbours) -> None:
    first, stranger = neighbours.first, neighbours.stranger
    targets = [machine.address for machine in first.machines.values()]
    operator = first.site.operator
    first.stack.up("-c", f"operator_cidrs=[{operator}, {stranger.address}/32]")
    assert not any(connects(stranger, address, SSH) for address in targets)  # the hosts know nothing of it yet
    first.benchmark("check")
    assert all(connects(stranger, address, SSH) for address in targets)
    assert not any(connects(stranger, address, NODE_EXPORTER) for address in targets)
    first.stack.up("-c", f"operator_cidrs=[{operator}]")
    first.benchmark("check")
    assert not any(connects(stranger, address, SSH) for address in targets)


def test_a_testbed_that_is_destroyed_leaves_its_neighbour_alone(neighbours: Neighbours) -> None:
    neighbours.second.stack.destroy()
    assert neighbours.second.machines == {}
    neighbours.first.wait_until_ready()
    neighbours.first.stack.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes")


def _measuring(clouds: Clouds) -> bool:
    events = next(Path(clouds.stack.project).glob("results/first/*/events.jsonl"), None)
    return events is not None and '"measure"' in (text := events.read_text()) and '"stop"' not in text
