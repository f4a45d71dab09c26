"""Processes of Mysticeti."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from factories.hosts import inventory
from pydantic import ValidationError

from benchmark.errors import UsageError
from benchmark.plan.placement import endpoints, place
from benchmark.plan.source import Binaries, find_source
from benchmark.protocols.mysticeti import Mysticeti, MysticetiClient, MysticetiNode, authority
from benchmark.protocols.parameters import read_parameters
from benchmark.protocols.process import Plan, Process
from benchmark.settings import Repository


def plan(load: int = 200, committee: int = 4) -> Plan:
    return place(inventory(a=16, b=16), Mysticeti, load, committee)


def mysticeti(node: dict[str, Any] | None = None, client: dict[str, Any] | None = None) -> Mysticeti:
    return Mysticeti(
        read_parameters("node_parameters", node, MysticetiNode),
        read_parameters("client_parameters", client, MysticetiClient),
    )


def load_of(process: Process) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(process.files["load-generator.yaml"])
    return found


def test_all_hosts_generate_the_same_keys_before_replicas_start() -> None:
    replicas = mysticeti().nodes(plan())
    addresses = [host.address for host in plan().nodes]
    assert {replica.prepare for replica in replicas} == {
        (
            "replica", "test-genesis", "--ips", *addresses,
            "--working-directory", "genesis", "--replica-parameters-path", "replica-parameters.yaml",
        )
    }  # fmt: skip


def test_each_replica_has_its_own_key_and_generates_its_load() -> None:
    replicas = mysticeti().nodes(plan())
    assert replicas[2].argv == (
        "replica", "run", "--authority", "2",
        "--public-config-path", "genesis/public-replica-config.yaml",
        "--private-config-path", "genesis/private-replica-config-C.yaml",
        "--load-generator-config-path", "load-generator.yaml",
    )  # fmt: skip
    assert load_of(replicas[2]) == {"load": 50, "transaction_size": 512, "initial_delay": "0s"}
    assert mysticeti().clients(plan()) == ()


def test_ports_depend_on_the_number_of_replicas() -> None:
    replicas = mysticeti().nodes(plan(committee=10))
    assert [replica.ports for replica in replicas][:2] == [(1500, 1510), (1501, 1511)]
    assert replicas[3].ready == "http 1513 /metrics"
    assert [each.port for each in endpoints(replicas)] == list(range(1510, 1520))


@pytest.mark.parametrize(
    ("requested", "committee", "scheduled", "shares"),
    [
        (200, 4, 200, [50, 50, 50, 50]),
        (1000, 10, 1000, [100] * 10),
        (210, 4, 210, [60, 50, 50, 50]),
        (1003, 10, 1000, [100] * 10),
        (1006, 10, 1010, [110] + [100] * 9),
        (20, 4, 20, [10, 10, 0, 0]),
        (3, 4, 10, [10, 0, 0, 0]),
    ],
)
def test_load_is_rounded_to_a_rate_that_replicas_can_generate(
    requested: int, committee: int, scheduled: int, shares: list[int]
) -> None:
    made = plan(requested, committee)
    assert (made.load, made.scheduled_tps, list(made.shares)) == (requested, scheduled, shares)
    replicas = mysticeti().nodes(made)
    assert [load_of(replica)["load"] for replica in replicas] == shares
    # Without this file a replica generates no load.
    assert [("load-generator.yaml" in replica.argv) for replica in replicas] == [share > 0 for share in shares]


def test_dedicated_clients_are_an_error() -> None:
    assert plan().clients == ()
    with pytest.raises(UsageError, match="generate the load themselves"):
        place(inventory(a=8), Mysticeti, 200, 4, dedicated_clients=2)


def test_program_is_built_from_its_repository_or_supplied() -> None:
    assert find_source(Mysticeti, Mysticeti.build, None, commit="885ae9f") == Repository(
        url="https://github.com/asonnino/mysticeti", commit="885ae9f"
    )
    found = find_source(Mysticeti, Mysticeti.build, None, binaries=Path("bin"), commit="885ae9f")
    assert found == Binaries(Path("bin"), "885ae9f")


def test_throughput_is_the_median_of_replicas() -> None:
    assert (Mysticeti.metrics.job, Mysticeti.metrics.aggregation) == ("node", "median")


def test_replicas_after_z_have_two_letters() -> None:
    assert [authority(index) for index in (0, 25, 26, 27, 51, 52, 701)] == ["A", "Z", "AA", "AB", "AZ", "BA", "ZZ"]
    assert mysticeti().nodes(plan(300, 27))[26].argv[7] == "genesis/private-replica-config-AA.yaml"


def parameters(**node: Any) -> dict[str, Any]:
    replica = mysticeti(node).nodes(plan())[0]
    found: dict[str, Any] = yaml.safe_load(replica.files["replica-parameters.yaml"])
    return found


def test_parameters_have_the_format_of_the_program() -> None:
    assert parameters() == {"dag": {}, "consensus": {"protocol": "mysticeti", "leader_count": 2}}
    assert parameters(dag={"round_timeout": "1500ms", "fsync": True})["dag"] == {
        "round_timeout": {"secs": 1, "nanos": 500_000_000}, "fsync": True,
    }  # fmt: skip
    assert parameters(consensus={"protocol": "mahi-mahi", "wave_length": 5})["consensus"] == {
        "leader_count": 2, "protocol": "mahi-mahi", "wave_length": 5,
    }  # fmt: skip
    assert parameters(consensus={"protocol": "cordial-miners-asynchronous"})["consensus"] == {
        "protocol": "cordial-miners-asynchronous"
    }


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"dags": {}}, r"unknown parameter 'dags'; did you mean 'dag'\?"),
        ({"dag": {"round_timout": 1}}, r"unknown parameter 'dag.round_timout'; did you mean 'round_timeout'\?"),
        ({"consensus": {"protocol": "mysticeti", "leaders": 3}}, "did you mean 'leader_count'"),
        ({"consensus": {"protocol": "raft"}}, "'raft'"),
        ({"consensus": {"protocol": "mahi-mahi", "wave_length": 3}}, "wave_length.*4 or 5, found 3"),
    ],
)
def test_parameters_that_the_program_would_ignore_are_an_error(node: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        mysticeti(node)


def test_transactions_have_a_minimum_size() -> None:
    with pytest.raises(ValidationError):
        MysticetiClient(transaction_size=16)


@pytest.mark.parametrize(
    ("consensus", "faults"),
    [
        ({}, [1, 3, 16]),
        ({"consensus": {"protocol": "blue-bottle"}}, [0, 1, 9]),
        ({"consensus": {"protocol": "nemo-nemo"}}, [1, 4, 24]),
        ({"consensus": {"protocol": "orcaella", "f": 1, "c": 1}}, [2, 2, 2]),
    ],
)
def test_tolerated_crashes_depend_on_the_consensus(consensus: dict[str, Any], faults: list[int]) -> None:
    made = mysticeti(consensus)
    assert [made.tolerated_faults(nodes) for nodes in (4, 10, 50)] == faults


def test_leaders_are_shown_by_host() -> None:
    assert mysticeti().label_values(plan())["authority"] == dict(
        zip("ABCD", (host.name for host in plan().nodes), strict=True)
    )
