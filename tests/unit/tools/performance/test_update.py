"""The cloud that answers at once, with which updates are measured."""

from __future__ import annotations

from collections import Counter

from tools.performance.update import instant_cloud


def test_instances_are_listed_by_region_and_queries_are_counted() -> None:
    queries: Counter[str] = Counter()
    cloud = instant_cloud(queries)
    kind = cloud.kinds["aws:ec2/instance:Instance"]
    identity, _ = kind.create({"region": "us-east-1"})
    ask = cloud.functions["aws:ec2/getInstances:getInstances"]
    assert ask({"region": "us-east-1"})["ids"] == [identity]
    assert ask({"region": "eu-west-1"}) == {"ids": [], "publicIps": []}
    assert queries == {"getInstances": 2}
    kind.delete(identity)
    assert ask({"region": "us-east-1"})["ids"] == []
