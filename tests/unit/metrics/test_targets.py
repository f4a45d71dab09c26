"""Scrape targets and marks of a run, as the text that Prometheus reads."""

from __future__ import annotations

import json

import pytest

from benchmark.errors import UsageError
from benchmark.host_layout import NODE_EXPORTER_PORT
from benchmark.inventory import Host
from benchmark.metrics.targets import Endpoint, Mark, marks, targets


def host(name: str, address: str, role: str = "instance") -> Host:
    fields = {"name": name, "address": address, "role": role, "region": name[:-2]}
    return Host.model_validate(fields | {"provider": "local", "specs": "namespace", "host_key": "ssh-ed25519 AAAA"})


HOSTS = (host("us-0", "198.18.0.2", "monitoring"), host("us-1", "198.18.0.3"), host("eu-0", "2001:db8::1"))


def test_every_host_is_a_target_with_its_labels() -> None:
    groups = json.loads(targets(HOSTS, [])["host.json"])
    assert [group["targets"] for group in groups] == [
        [f"198.18.0.2:{NODE_EXPORTER_PORT}"],
        [f"198.18.0.3:{NODE_EXPORTER_PORT}"],
        [f"[2001:db8::1]:{NODE_EXPORTER_PORT}"],
    ]
    assert groups[0]["labels"] == {"job": "host", "host": "us-0", "region": "us", "role": "monitoring"}
    assert groups[2]["labels"] == {"job": "host", "host": "eu-0", "region": "eu", "role": "instance"}


def test_nodes_and_clients_have_separate_files() -> None:
    files = targets(HOSTS, [Endpoint("us-1", 2379, "node"), Endpoint("us-1", 9200, "client", "/load/metrics")])
    (node,) = json.loads(files["node.json"])
    (client,) = json.loads(files["client.json"])
    assert node["targets"] == ["198.18.0.3:2379"]
    assert "__metrics_path__" not in node["labels"]
    assert client["targets"] == ["198.18.0.3:9200"]
    assert client["labels"]["__metrics_path__"] == "/load/metrics"
    assert client["labels"]["job"] == "client"


def test_a_query_string_becomes_parameters_of_the_scrape() -> None:
    path = "/v1/agent/metrics?format=prometheus&names=a%20b&all"
    (node,) = json.loads(targets(HOSTS, [Endpoint("us-1", 8500, "node", path)])["node.json"])
    own = {name: value for name, value in node["labels"].items() if name.startswith("__")}
    assert own == {
        "__metrics_path__": "/v1/agent/metrics",
        "__param_format": "prometheus",
        "__param_names": "a b",
        "__param_all": "",
    }


@pytest.mark.parametrize(
    ("query", "message"), [("match[]=up", r"parameter 'match\[\]', Prometheus takes"), ("a=1&a=2", "'a' twice")]
)
def test_parameters_that_prometheus_cannot_send_are_an_error(query: str, message: str) -> None:
    with pytest.raises(UsageError, match=rf"cannot scrape /federate\?.*{message}"):
        targets(HOSTS, [Endpoint("us-1", 8500, "node", f"/federate?{query}")])


def test_two_nodes_on_one_host_are_two_targets() -> None:
    groups = json.loads(targets(HOSTS, [Endpoint("us-1", 1, "node"), Endpoint("us-1", 2, "node")])["node.json"])
    assert [group["targets"] for group in groups] == [["198.18.0.3:1"], ["198.18.0.3:2"]]


def test_job_without_targets_has_an_empty_file() -> None:
    files = targets(HOSTS, [])
    assert set(files) == {"host.json", "node.json", "client.json"}
    assert json.loads(files["node.json"]) == json.loads(files["client.json"]) == []


def test_stopped_host_is_not_a_target() -> None:
    assert len(json.loads(targets((*HOSTS, host("eu-1", "")), [])["host.json"])) == len(HOSTS)


def test_unknown_host_is_a_usage_error_with_the_existing_ones() -> None:
    with pytest.raises(UsageError, match="'mars-0' to scrape; the hosts are: us-0, us-1, eu-0"):
        targets(HOSTS, [Endpoint("mars-0", 1, "node")])


def test_marks_escape_reserved_characters() -> None:
    lines = marks("run-1", [Mark(1700000000.1239, "fault", "cut", 'a "b" \\ c\nd')]).splitlines()
    assert lines[1] == "# TYPE run_mark_time_seconds gauge"
    assert lines[2] == (
        'run_mark_time_seconds{run="run-1",kind="fault",mark="cut",detail="a \\"b\\" \\\\ c\\nd"} 1700000000.124'
    )
    assert len(lines) == 3
