"""Artifacts are copied along a tree over regions and hosts."""

from __future__ import annotations

from benchmark.artifacts.distribution import sources
from benchmark.inventory import Host


def host(name: str) -> Host:
    region = name.rpartition("-")[0]
    return Host(name=name, provider="local", region=region, specs="x", address="10.0.0.1", host_key="k")


def parents(*names: str, **rtt_ms: float) -> dict[str, str]:
    """The source of each but the first of `names`; `ab` is the round trip between the regions a and b."""
    root, *receivers = map(host, names)
    known = {pair: ms for (a, b), ms in rtt_ms.items() for pair in ((a, b), (b, a))}
    return {name: source.name for name, source in sources(root, receivers, known).items()}


def test_one_region_is_a_binary_tree() -> None:
    found = parents("a-0", "a-1", "a-2", "a-3", "a-4", "a-5")
    assert found == {"a-1": "a-0", "a-2": "a-0", "a-3": "a-1", "a-4": "a-1", "a-5": "a-2"}


def test_each_region_is_entered_once() -> None:
    names = [f"{region}-{index}" for region in "abcde" for index in range(6)]
    found = parents(*names)
    assert set(found) == set(names[1:])
    entered = [name for name, source in found.items() if name[0] != source[0]]
    assert sorted(entered) == ["b-0", "c-0", "d-0", "e-0"]
    assert max(list(found.values()).count(source) for source in set(found.values())) <= 4


def test_regions_copy_from_the_nearest_available_region() -> None:
    names = ("a-0", "b-0", "c-0", "d-0")
    line = {"ab": 10.0, "bc": 10.0, "cd": 10.0, "ac": 20.0, "bd": 20.0, "ad": 30.0}
    assert parents(*names, **line) == {"b-0": "a-0", "c-0": "b-0", "d-0": "c-0"}
    star = {"ab": 10.0, "ac": 11.0, "ad": 12.0, "bc": 50.0, "bd": 60.0, "cd": 55.0}
    assert parents(*names, **star) == {"b-0": "a-0", "c-0": "a-0", "d-0": "c-0"}


def test_sources_have_no_cycle() -> None:
    found = parents(*[f"{region}-{index}" for index in range(7) for region in "abc"])
    for name in found:
        steps = 0
        while name != "a-0":
            name, steps = found[name], steps + 1
        assert steps <= 5
