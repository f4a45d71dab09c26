"""Schedules of faults: times, nodes, and conflicts that are found before the run."""

from __future__ import annotations

from dataclasses import replace

import pytest
from factories.committees import committee

from benchmark.errors import UsageError
from benchmark.faults.schedule import ScheduledFault, make_schedule, resolve
from benchmark.faults.targets import Committee
from benchmark.settings import parse_fault

FIVE = committee(a=2, b=2, c=2)


def schedule(*texts: str, nodes: Committee = FIVE, seed: int = 1, duration_s: float = 120) -> list[ScheduledFault]:
    return list(make_schedule([parse_fault(text) for text in texts], nodes, duration_s, seed))


def hit(fault: ScheduledFault) -> tuple[str, ...]:
    assert fault.effect is not None
    return fault.effect.nodes


def test_faults_have_times_and_nodes() -> None:
    faults = schedule("crash:node-1@60s", "pause:b@1500ms-30s")
    assert [(str(each), each.id, hit(each)) for each in faults] == [
        ("pause:b@1.5s-30s", "f2", ("node-2", "node-3")),
        ("crash:node-1@60s", "f1", ("node-1",)),
    ]


def test_faults_that_take_different_things_of_a_host_can_be_combined() -> None:
    texts = ("disk_stall:a@10s-20s", "disk_full:a@10s-20s", "cpu:a,share=10%@10s-20s", "memory:a,share=10%@10s-20s")
    assert {hit(fault) for fault in schedule(*texts)} == {("node-0", "node-1")}


def test_random_faults_take_the_same_of_different_hosts() -> None:
    for seed in range(20):
        first, second = schedule("memory:one,share=10%@1s", "memory:one,share=10%@2s", seed=seed)
        assert hit(first) != hit(second)


def test_same_seed_chooses_the_same_nodes_and_a_fault_can_have_its_own() -> None:
    texts = ("crash:one@10s-20s every 20s", "loss:one,share=10%,seed=9@5s-6s")
    first, again = schedule(*texts), schedule(*texts)
    assert first == again
    chosen = {hit(fault) for seed in range(20) for fault in schedule("crash:one@1s", seed=seed)}
    assert len(chosen) > 1
    assert {schedule(*texts, seed=seed)[0].seed for seed in range(3)} == {9}
    assert len({schedule(*texts, seed=seed)[1].seed for seed in range(3)}) == 3


def test_repeated_faults_end_within_the_window() -> None:
    faults = schedule("pause:one@10s-20s every 50s")
    assert [(each.id, each.start_s, each.end_s) for each in faults] == [
        ("f1-1", 10, 20),
        ("f1-2", 60, 70),
        ("f1-3", 110, 120),
    ]
    assert len(schedule("pause:one@10s-21s every 50s")) == 2
    assert [each.start_s for each in schedule("restart:one@20s every 50s")] == [20, 70]


def test_nodes_are_restarted_one_after_another() -> None:
    faults = schedule("restart:all@10s-60s")
    assert [(each.start_s, each.end_s, hit(each)) for each in faults] == [
        (10.0 * step, 10.0 * step, (f"node-{step - 1}",)) for step in range(1, 6)
    ]


def test_partition_cuts_the_hosts_of_the_target_from_those_of_the_other_nodes() -> None:
    [fault] = schedule("partition:a@0s-9s")
    assert fault.effect is not None
    assert fault.effect.hosts == ("a-0", "a-1")
    both = {(a, b) for a in ("a-0", "a-1") for b in ("b-0", "b-1", "c-0")}
    assert set(fault.effect.links) == both | {(b, a) for a, b in both}
    [out] = schedule("partition:a,one_way=out@0s-9s")
    [into] = schedule("partition:a,one_way=in@0s-9s")
    assert out.effect is not None
    assert into.effect is not None
    assert set(out.effect.links) == both
    assert set(into.effect.links) == {(b, a) for a, b in both}


def test_loss_of_all_affects_every_link_once_and_a_down_host_also_those_to_clients() -> None:
    [loss] = schedule("loss:all,share=5%@0s-9s")
    assert loss.effect is not None
    assert len(set(loss.effect.links)) == len(loss.effect.links) == 20
    [down] = schedule("host_down:c@0s-9s")
    assert down.effect is not None
    assert {("c-0", "c-1"), ("c-1", "c-0"), ("c-0", "a-0")} < set(down.effect.links)


def test_a_bridge_reaches_both_halves_and_these_do_not_reach_each_other() -> None:
    seen = set()
    for seed in range(40):
        [fault] = schedule("partition:bridge@0s-9s", seed=seed)
        assert fault.effect is not None
        (bridge,) = fault.effect.bridge
        seen.add(bridge)
        names = {node.name: node.host.name for node in FIVE.nodes}
        inside, outside = hit(fault), set(names) - {bridge, *hit(fault)}
        assert len(inside) == len(outside) == 2
        cut = {(names[a], names[b]) for a in inside for b in outside}
        assert set(fault.effect.links) == cut | {(b, a) for a, b in cut}
    assert len(seen) == 5
    [fault] = schedule("partition:b,bridge=node-0+node-4@0s-9s")
    assert fault.effect is not None
    assert fault.effect.bridge == ("node-0", "node-4")
    assert {host for link in fault.effect.links for host in link} == {"a-1", "b-0", "b-1"}


@pytest.mark.parametrize("target", ["halves", "minority", "majority", "one", "3"])
@pytest.mark.parametrize("side", ["majority", "minority"])
def test_the_leader_is_on_the_requested_side_of_a_partition(target: str, side: str) -> None:
    [fault] = schedule(f"partition:{target},leader_of={side}@10s-20s")
    assert fault.effect is None
    found = set()
    for seed in range(20):
        inside = hit(resolve(replace(fault, seed=seed), FIVE, [fault], "node-3"))
        assert (len(inside) < 3) == (("node-3" in inside) == (side == "minority"))
        found.add(inside)
    assert len(found) > 2 or (target, side) == ("one", "minority")
    with pytest.raises(UsageError, match="no node leads"):
        resolve(fault, FIVE, [fault], None)


def test_impairments_affect_every_link_of_their_targets_once_in_each_direction() -> None:
    [delay] = schedule("delay:a,delay=10ms@0s-9s")
    [into] = schedule("delay:a,delay=10ms,one_way=in@0s-9s")
    assert delay.effect is not None
    assert into.effect is not None
    everyone = ("a-0", "a-1", "b-0", "b-1", "c-0")
    both = {(a, b) for a in everyone for b in everyone if a != b and {a, b} & {"a-0", "a-1"}}
    assert sorted(delay.effect.links) == sorted(both)
    assert sorted(into.effect.links) == sorted((a, b) for a, b in both if b.startswith("a"))


def test_random_nodes_avoid_those_of_other_faults() -> None:
    faults = schedule("crash:one@10s", "crash:one@20s", "crash:node-0@30s", "crash:2@50s")
    assert sorted(node for fault in faults for node in hit(fault)) == [f"node-{i}" for i in range(5)]


def test_leader_is_chosen_at_injection_as_are_nodes_that_have_to_avoid_it() -> None:
    leader, other = schedule("crash:leader@10s", "pause:one@20s-30s")
    assert leader.effect is other.effect is None
    leader = resolve(leader, FIVE, [leader, other], "node-3")
    assert hit(leader) == ("node-3",)
    found = {hit(resolve(replace(other, seed=seed), FIVE, [leader, other], None)) for seed in range(40)}
    assert found == {("node-0",), ("node-1",), ("node-2",), ("node-4",)}
    second = schedule("crash:leader@20s")[0]
    with pytest.raises(UsageError, match=r"fault crash:leader@20s: target leader: it means none"):
        resolve(replace(second, id="f9"), FIVE, [leader], "node-3")  # still reported to lead, but crashed


@pytest.mark.parametrize(
    "texts",
    [
        ("crash:node-0@10s-20s", "pause:node-0@21s-30s"),
        ("crash:node-0@10s", "partition:halves@10s-30s"),
        ("pause:leader@10s-20s", "pause:followers@30s-40s"),
        ("host_down:node-0@10s", "host_down:node-1@20s"),
        ("crash:node-0@10s", "crash:leader@20s"),
        ("partition:a,one_way=out@10s-20s", "loss:a,share=1%@30s-40s"),
        ("delay:a,delay=9ms@1s-9s", "loss:a,share=1%@1s-9s", "jitter:a,jitter=9ms@1s-9s", "flap:a,period=1s@1s-9s"),
        ("delay:leader,delay=9ms@1s-9s", "loss:a,share=1%@1s-9s", "bandwidth:all,rate=1Mbit@2s-8s"),
        ("delay:node-0,delay=9ms,one_way=in@1s-9s", "delay:node-0,delay=9ms,one_way=out@1s-9s"),
        ("delay:node-0,delay=9ms@1s-9s", "partition:b,bridge=a@1s-9s"),
    ],
)
def test_faults_that_can_be_combined(texts: tuple[str, ...]) -> None:
    assert len(schedule(*texts)) == len(texts)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (
            ("crash:node-0@10s", "pause:a@60s-70s"),
            "faults crash:node-0@10s and pause:a@60s-70s stop node-0 at the same time; "
            "let the first end before the second begins",
        ),
        (("pause:node-0@10s-20s", "crash:node-0@20s"), "stop node-0 at the same time"),
        (("restart:node-0@15s", "pause:node-0@10s-20s"), "stop node-0 at the same time"),
        (("crash:leader@10s", "crash:node-2@20s"), "may stop the same node"),
        (("disk_slow:a,bandwidth=1MB/s@10s-20s", "disk_stall:a@15s-18s"), "take the disk of a-0 at the same time"),
        (("disk_full:node-0@10s-20s", "crash:a@15s-18s"), "stop node-0 at the same time"),
        (("cpu:node-0,share=10%@10s", "cpu:leader,share=10%@20s-30s"), "may take the processors of the same host"),
        (("partition:a@10s-20s", "loss:b,share=1%@15s-25s"), "drop packets from a-0 to b-0 at the same time"),
        (("partition:leader@10s-20s", "loss:b,share=1%@15s-25s"), "may drop packets on the same link"),
        (
            ("delay:a,delay=9ms@1s-9s", "delay:b,delay=9ms@9s-19s"),
            "change the delivery of packets from a-0 to b-0 at the same time",
        ),
        (("delay:leader,delay=9ms@1s-9s", "delay:b,delay=9ms@2s-3s"), "may change the delivery of packets on the same"),
        (("delay:a,delay=9ms@1s-9s", "partition:b@2s-3s"), "change the delivery of packets from a-0 to b-0 at the"),
        (("flap:a,period=1s@1s-9s", "host_down:node-0@2s-3s"), "change the delivery of packets from a-0 to a-1 at the"),
        (("crash:majority@10s", "crash:majority@20s"), "only 2 are neither spared nor under another fault"),
    ],
)
def test_faults_that_cannot_be_combined_are_errors(texts: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError) as error:
        schedule(*texts)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("crash:one@120s", "fault crash:one: it begins at 2m, but the measured window lasts 2m"),
        ("crash:one@10s-3m", "fault crash:one: it ends at 3m, but the measured window lasts 2m"),
        ("crash:one@10s every 30s", "fault crash:one: it is repeated, so it needs an end"),
        ("pause:one@10s-40s every 30s", "fault pause:one: it lasts 30s, so it cannot begin again every 30s"),
        ("restart:one@10s-60s", "only `all`, regions and named nodes can be restarted one after another"),
        ("crash:halves@10s", "fault crash:halves: only partitions have the target halves"),
        ("delay:bridge,delay=9ms@10s", "fault delay:bridge: only partitions have the target bridge"),
        (
            "partition:a,leader_of=majority@10s",
            "fault partition:a: leader_of chooses nodes, so it needs one of the",
        ),
        ("partition:one,bridge=4@10s", "bridge 4: it leaves fewer than two other nodes, so there are no two sides"),
        ("partition:all@10s", "fault partition:all@10s: there are no other nodes to cut it from"),
        ("pause:one@0s-10ms every 20ms", "faults: found 1001 in one run, expected at most 1000"),
        ("crash:one,x=1@10s", "fault crash: unknown parameter 'x'"),
    ],
)
def test_impossible_requests_are_errors(text: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        schedule(text)
    assert message in str(error.value)


def test_a_full_disk_needs_clients_elsewhere_too() -> None:
    with pytest.raises(UsageError, match=r"it would fill the disk of the load generator on a-0; .* or use disk_stall"):
        schedule("disk_full:one@10s", nodes=committee(a=3, dedicated=0))


def test_errors_that_depend_on_the_system() -> None:
    with pytest.raises(UsageError, match="the leader is unknown without a metric"):
        schedule("crash:leader@10s", nodes=committee(a=3, knows_leader=False))
    with pytest.raises(UsageError, match="the leader is unknown without a metric"):
        schedule("partition:halves,leader_of=minority@10s", nodes=committee(a=4, knows_leader=False))
    with pytest.raises(UsageError, match="both sides have 2 nodes, so neither is the majority; omit leader_of"):
        schedule("partition:bridge,leader_of=majority@10s")
    bridge = schedule("partition:one,bridge=node-3,leader_of=majority@10s")[0]
    with pytest.raises(UsageError, match="node-3 leads, but is the bridge, so it is on neither side"):
        resolve(bridge, FIVE, [bridge], "node-3")
    assert hit(resolve(bridge, FIVE, [bridge], "node-0")) != ("node-0",)
