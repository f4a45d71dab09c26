"""Processes of Remora and their configuration files."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from factories.hosts import inventory
from pydantic import ValidationError

from benchmark.errors import UsageError
from benchmark.plan.placement import endpoints, place
from benchmark.protocols.parameters import read_parameters
from benchmark.protocols.process import Plan, Process
from benchmark.protocols.remora import Remora, RemoraClient, RemoraNode


def plan(load: int = 200, committee: int = 2, clients: int = 0, duration_s: float = 75.0) -> Plan:
    made = place(inventory(a=3, b=3), Remora, load, committee, clients)
    return Plan(made.nodes, made.clients, made.load, made.shares, duration_s=duration_s)


def remora(node: dict[str, Any] | None = None, client: dict[str, Any] | None = None) -> Remora:
    return Remora(
        read_parameters("node_parameters", node, RemoraNode), read_parameters("client_parameters", client, RemoraClient)
    )


def config(process: Process, name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(process.files[name])
    return found


def test_committee_of_two_is_one_primary_and_one_proxy() -> None:
    primary, proxy = remora().nodes(plan())
    common = (
        "--validator-config", "validator.yaml", "--benchmark-config", "benchmark.yaml", "--binding-address", "0.0.0.0",
    )  # fmt: skip
    assert primary.argv == ("remora", *common, "primary")
    assert proxy.argv == ("remora", *common, "proxy", "1")
    assert primary.environment == {"RUST_LOG": "info"}
    assert (primary.ports, proxy.ports) == ((18500, 18501, 18502), (18502,))


def test_all_processes_have_the_address_of_the_primary() -> None:
    made = remora()
    first, *others = [config(p, "validator.yaml") for p in (*made.nodes(plan()), *made.clients(plan()))]
    assert first == {
        "proxy_server_address": "198.18.0.3:18500",
        "client_server_address": "198.18.0.3:18501",
        "metrics_address": "198.18.0.3:18502",
        "validator_parameters": {
            "collocated_pre_executors": {"primary": 1, "proxy": 1},
            "consensus_delay_model": {"delay": {"secs": 0, "nanos": 300_000_000}},
            "consensus_parameters": {
                "batch_size": 1000,
                "max_batch_delay": {"secs": 0, "nanos": 100_000_000},
                "max_inflight_batches": 10_000,
            },
        },
        "parallel_proxy": True,
    }
    assert all(other == first for other in others)


@pytest.mark.parametrize(("load", "clients", "shares"), [(200, 1, [200]), (200, 3, [67, 67, 66]), (2, 3, [1, 1])])
def test_load_is_split_over_the_load_generators(load: int, clients: int, shares: list[int]) -> None:
    made = remora().clients(plan(load, clients=clients))
    assert [config(process, "benchmark.yaml")["load"] for process in made] == shares
    assert [each.argv[-2:] for each in made] == [("--metrics-address", "0.0.0.0:18600")] * len(shares)


def test_load_lasts_longer_than_the_run() -> None:
    assert config(remora().clients(plan(duration_s=74.2))[0], "benchmark.yaml")["duration"] == {"secs": 195, "nanos": 0}


def test_nested_parameters_override_defaults() -> None:
    made = remora(
        {"collocated_pre_executors": {"proxy": 4}, "consensus_delay_model": {"delay": {"secs": 1, "nanos": 5000}}},
        {"workload": "SharedObjects"},
    )
    (node, *_), (client, *_) = made.nodes(plan()), made.clients(plan())
    parameters = config(node, "validator.yaml")["validator_parameters"]
    assert parameters["collocated_pre_executors"] == {"primary": 1, "proxy": 4}
    assert parameters["consensus_delay_model"] == {"delay": {"secs": 1, "nanos": 5000}}
    assert parameters["consensus_parameters"]["batch_size"] == 1000
    assert config(client, "benchmark.yaml")["workload"] == "SharedObjects"


def test_durations_may_have_units() -> None:
    parameters = RemoraNode.model_validate({"consensus_parameters": {"max_batch_delay": "1500ms"}})
    assert parameters.model_dump(mode="json")["consensus_parameters"]["max_batch_delay"] == {
        "secs": 1, "nanos": 500_000_000
    }  # fmt: skip
    with pytest.raises(ValidationError, match="is not a duration"):
        RemoraNode.model_validate({"consensus_parameters": {"max_batch_delay": {"secs": 1}}})


def test_metrics_of_nodes_and_load_generators_are_scraped() -> None:
    made = remora()
    found = endpoints([*made.nodes(plan()), *made.clients(plan(clients=1))])
    assert [(each.job, each.port) for each in found] == [("node", 18502), ("node", 18502), ("client", 18600)]


def test_one_node_is_too_few() -> None:
    with pytest.raises(UsageError, match=r"need 3 hosts \(2 nodes"):
        place(inventory(a=4), Remora, 200, 1)


def test_build_outputs_are_the_programs_of_the_commands() -> None:
    build = Remora.build
    assert build
    made = remora()
    run = {process.argv[0] for process in (*made.nodes(plan()), *made.clients(plan()))}
    assert set(build.outputs) == run
