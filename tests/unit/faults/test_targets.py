"""Words of targets and the nodes that they mean."""

from __future__ import annotations

import pytest
from factories.committees import committee

from benchmark.errors import UsageError
from benchmark.faults.targets import choose

FIVE = committee(a=2, b=2, c=2)
"""node-0 and node-1 in a, node-2 and node-3 in b, node-4 in c."""


def names(target: str, seed: str = "7", **options: object) -> list[str]:
    return [node.name for node in choose(target, FIVE, seed, **options)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("target", "count"),
    [("one", 1), ("minority", 2), ("majority", 3), ("max_faulty", 2), ("halves", 2), ("all", 5), ("4", 4)],
)
def test_words_mean_a_number_of_nodes(target: str, count: int) -> None:
    assert len(names(target)) == count


def test_choice_depends_on_the_seed_only() -> None:
    assert names("minority", "1") == names("minority", "1")
    assert {tuple(names("one", str(seed))) for seed in range(50)} == {(f"node-{i}",) for i in range(5)}


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("node-3", ["node-3"]),
        ("a-1", ["node-1"]),
        ("b", ["node-2", "node-3"]),
        ("c + node-0", ["node-0", "node-4"]),
    ],
)
def test_names_and_regions_can_be_joined(target: str, found: list[str]) -> None:
    assert names(target) == found


def test_leader_and_followers_follow_the_leader() -> None:
    assert names("leader", leader="node-2") == ["node-2"]
    assert names("followers", leader="node-2", busy={"node-0"}) == ["node-1", "node-3", "node-4"]


def test_spared_and_busy_nodes_are_not_chosen() -> None:
    assert names("one", spare=("a", "b")) == ["node-4"]
    assert names("all", spare=("a",)) == ["node-2", "node-3", "node-4"]
    assert names("2", busy={"node-0", "node-1", "node-2"}) == ["node-3", "node-4"]


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("leeder", {}, "unknown target 'leeder'; did you mean 'leader'?"),
        ("mars", {}, "write one, minority, majority, max_faulty, all, leader, followers, a number, a region or a node"),
        ("6", {}, "target 6: it means 6 of 5 nodes, but only 5 are neither spared nor under another fault"),
        ("majority", {"spare": ("a", "c")}, "it means 3 of 5 nodes, but only 2 are"),
        ("0", {}, "target 0: it means none of the 5 nodes"),
        ("a", {"spare": ("a",)}, "target a: it means none of the 5 nodes"),
        ("one", {"spare": ("x",)}, "target one: no node in spared region 'x'; regions are: a, b, c"),
        ("leader", {}, "target leader: no node leads"),
    ],
)
def test_targets_that_mean_no_nodes_are_errors(target: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as error:
        names(target, **options)
    assert message in str(error.value)
