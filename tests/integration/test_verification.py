"""A declared system with failover is read, written and asked what it agrees on while its primary crashes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.local_testbed import LocalTestbed, local_testbed
from paths import ROOT

from benchmark.orchestrator.sweep import run_benchmark
from benchmark.plan.request import Request
from benchmark.protocols.parameters import make_protocol
from benchmark.protocols.registry import find_protocol
from benchmark.results.run_folder import HISTORY
from benchmark.settings import Settings, parse_fault


@pytest.fixture(scope="module")
def testbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTestbed]:
    with local_testbed(tmp_path_factory.mktemp("testbed"), "it-verification", {"us-east-1": 5}) as made:
        yield made


@pytest.mark.quiet  # Sentinel postpones the failover if it is not scheduled for two seconds
def test_redis_fails_over_to_a_replica_and_its_nodes_agree_in_the_end(testbed: LocalTestbed, tmp_path: Path) -> None:
    settings = Settings(regions=("a",), node_parameters={"down_after_ms": 1000})
    request = Request(
        protocol=make_protocol(find_protocol(str(ROOT / "assets" / "declared" / "redis-sentinel.yaml")), settings),
        settings=settings,
        loads=(20,),
        committee=3,
        dedicated_clients=1,
        warm_up_s=2.0,
        duration_s=16.0,
        verify=True,
        faults=(parse_fault("crash:node-0@1s-13s"),),
        results_dir=tmp_path,
    )
    (summary,) = run_benchmark(testbed.testbed, request, lambda _: None, began=time.time())
    folder = tmp_path / testbed.inventory.testbed_id / summary.run_id
    (fault,) = json.loads((folder / "manifest.json").read_text())["faults"]
    assert (fault["problem"], fault["nodes"]) == ("", ["node-0"])
    header, *operations, end = [json.loads(line) for line in (folder / HISTORY).read_text().splitlines()]
    assert end == {"complete": True, "unread": []}
    written = [
        header["started_unix"] + (each["end"] - header["started"]) / 1e9
        for each in operations
        if each["op"] == "write" and each["outcome"] == "ok"
    ]
    assert min(written) < fault["injected"]
    assert any(fault["in_force"] < at < fault["healing"] for at in written), "a replica took over"
    assert {"cas", "read"} <= {each["op"] for each in operations if each["outcome"] == "ok"}
    assert summary.agreement is not None
    assert (summary.agreement.verdict, summary.agreement.reason) == ("ok", "")
    assert len(summary.agreement.answers) == 3
    (digest,) = set(summary.agreement.answers.values())
    assert int(digest, 16), "all have data"
    assert summary.verification is not None
    # Replication is asynchronous: the crash may lose acknowledged writes, but hardly any here.
    assert summary.verification.verdict in ("ok", "violation")
    assert summary.verification.operations == len(operations)
