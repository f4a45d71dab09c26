"""Protocols described in YAML; errors in a description have line and column."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from factories.hosts import inventory
from paths import ROOT

from benchmark.errors import SettingsError, UsageError
from benchmark.host_scripts.load_generator.config import Config
from benchmark.metrics.breakdown import LatencyPart
from benchmark.metrics.foreign_logs import HistogramTags, LatencySource
from benchmark.metrics.names import MetricNames
from benchmark.metrics.request_log import RequestColumns
from benchmark.plan.placement import endpoints, place
from benchmark.protocols.base import Protocol
from benchmark.protocols.parameters import make_protocol
from benchmark.protocols.process import Build
from benchmark.protocols.registry import find_protocol
from benchmark.settings import Settings

EXAMPLES = sorted((ROOT / "assets" / "declared").glob("*.yaml"))
FULL = """\
name: store
summary: a store
packages: [store-server]
build:
  command: make
  outputs: [bin/store]
minimum_nodes: 3
most_nodes: 5
tolerated_faults: minority
leader_metric: store_leads
node_parameters: {fsync: true, level: 3}
client_parameters: {size: 64}
node:
  ports: {peer: 7000, http: 7001}
  environment: {LEVEL: "{{ parameters.level }}"}
  files:
    peers: |
      {% for each in nodes %}
      {{ each.name }} {{ each.address }}:{{ each.ports.peer }}
      {% endfor %}
  prepare: [store, init, --id, "{{ node.index }}"]
  command: [store, --fsync, "{{ parameters.fsync | lower }}", --port, "{{ ports.http }}", 8]
  ready: metric {{ ports.http }} /metrics store_ready
  metrics: "{{ ports.http }}/stats"
  user: store
  grace: 0
client:
  ports: {metrics: 9000}
  command: bench --rate {{ load }} --to {{ nearest.address }}:{{ nearest.ports.http }} --size {{ parameters.size }}
  ready: log ^ready
  metrics: "{{ ports.metrics }}"
metrics: {latency: op_seconds, throughput: ops_total}
"""


def described(folder: Path, text: str) -> type[Protocol]:
    path = folder / "system.yaml"
    path.write_text(text)
    return find_protocol(str(path))


def test_breakdown_names_metrics_of_the_nodes(tmp_path: Path) -> None:
    parts = """
breakdown:
  - {name: fsync, metric: fsync_ms, unit: ms, stage: true}
  - {name: commits, meaning: how leaders were decided, metric: "commits_total{ok='1'}", label: type, kind: counter}
"""
    assert described(tmp_path, FULL + parts).breakdown == (
        LatencyPart(name="fsync", metric="fsync_ms", unit="ms", stage=True),
        LatencyPart(
            name="commits",
            meaning="how leaders were decided",
            metric="commits_total{ok='1'}",
            label="type",
            kind="counter",
        ),
    )
    for wrong, message in (
        (parts.replace("unit: ms", "unit: min"), r"breakdown.0.unit: .*'min'"),
        (parts.replace("label: type", "label: t-ype"), r"breakdown.1.label"),
        (parts.replace("{ok='1'}", "{ok}"), r"breakdown.1.metric: .*LABEL"),
        (parts.replace("stage: true", "stages: true"), r"did you mean 'stage'"),
        (parts.replace("name: commits", "name: fsync"), r"'fsync' is named twice"),
    ):
        with pytest.raises(SettingsError, match=message):
            described(tmp_path, FULL + wrong)
    with pytest.raises(SettingsError, match=r"set `node.metrics` to PORT"):
        described(tmp_path, FULL.replace('  metrics: "{{ ports.http }}/stats"\n', "", 1) + parts)


def made(protocol: type[Protocol], **parameters: Any) -> Protocol:
    return make_protocol(protocol, Settings(regions=("a",), **parameters))


def test_description_becomes_a_protocol(tmp_path: Path) -> None:
    store = described(tmp_path, FULL)
    assert (store.name, store.summary, store.packages) == ("store", "a store", ("store-server",))
    assert (store.minimum_nodes, store.most_nodes, store.leader_metric) == (3, 5, "store_leads")
    assert store.metrics == MetricNames("op_seconds", None, "client", "sum", "ops_total", errors=None)
    assert (store.load_from, store.load_shapes) == ("client", False)
    assert store.build
    assert (store.build.command, store.build.outputs) == ("make", ("bin/store",))
    bare = described(tmp_path, FULL.replace("build:\n  command: make\n  outputs: [bin/store]\n", "build: {}\n"))
    assert bare.build == Build(), "the default build of what the repository has"
    assert [made(store).tolerated_faults(nodes) for nodes in (3, 4, 5)] == [1, 1, 2]


def test_nodes_are_rendered_from_templates(tmp_path: Path) -> None:
    store = made(described(tmp_path, FULL), node_parameters={"fsync": False})
    plan = place(inventory(a=3, b=3), type(store), 100, committee=3)
    second = store.nodes(plan)[1]
    assert second.argv == ("store", "--fsync", "false", "--port", "7001", "8")
    assert second.prepare == ("store", "init", "--id", "1")
    assert second.environment == {"LEVEL": "3"}
    addresses = [host.address for host in plan.nodes]
    assert second.files["peers"] == "".join(f"node-{i} {address}:7000\n" for i, address in enumerate(addresses))
    assert (second.ready, second.ports, second.grace) == ("metric 7001 /metrics store_ready", (7000, 7001), 0)
    assert (second.user, store.clients(plan)[0].user) == ("store", "")
    assert (second.metrics_port, second.metrics_path) == (7001, "/stats")


def test_described_clients_get_their_share_and_nearest_node(tmp_path: Path) -> None:
    store = made(described(tmp_path, FULL), client_parameters={"size": 9})
    plan = place(inventory(a=4, b=3), type(store), 101, committee=3, dedicated_clients=2)
    clients = store.clients(plan)
    scripts = [client.argv[-1] for client in clients]
    assert [re.search(r"--rate (\d+)", script)[1] for script in scripts] == ["51", "50"]  # type: ignore[index]
    regions = {host.address: host.region for host in plan.nodes}
    for client, script in zip(clients, scripts, strict=True):
        address = re.search(r"--to ([\d.]+):7001 --size 9$", script)
        assert address
        assert regions[address[1]] == client.host.region
    assert clients[0].argv[:-1] == ("bash", "-euo", "pipefail", "-c")
    assert [(each.job, each.port) for each in endpoints(clients)] == [("client", 9000)] * 2


@pytest.mark.parametrize(
    ("old", "new", "closed"),
    [
        ("", "", False),
        ("  ready: log", "  closed_loop: true\n  ready: log", True),
        ("--rate {{ load }}", "--threads 8", True),
        ("--rate {{ load }}", "--rate {{ total_load }}", False),
        (
            "--rate {{ load }}",
            "--file rate\n  files: {rate: '{{ load }}'}\n  environment: {TO: x}\n  prepare: ls",
            False,
        ),
        ("bench --rate {{ load }}", "|-\n    workload {# {{ load }} #}", True),
        ("  command: bench --rate {{ load }}", "  closed_loop: false\n  command: bench", False),
    ],
)
def test_a_client_that_does_not_use_the_load_is_a_closed_loop(tmp_path: Path, old: str, new: str, closed: bool) -> None:
    text = FULL.replace(old, new) if old else FULL
    assert described(tmp_path, text).closed_loop is closed


@pytest.mark.parametrize(
    ("declared", "aggregation"),
    [
        ("aggregation: median", "median"),
        ("aggregation: sum", "sum"),
        ("counted_by: every", "median"),
        ("counted_by: one", "sum"),
        ("latency: op_s", "sum"),
    ],
)
def test_aggregation_is_declared_also_under_its_former_name(tmp_path: Path, declared: str, aggregation: str) -> None:
    text = f"name: a\nnode: {{command: [run], metrics: '8000'}}\nmetrics: {{from: node, {declared}}}\n"
    assert described(tmp_path, text).metrics.aggregation == aggregation


def test_metrics_have_a_unit_label_matchers_and_a_counter_of_errors(tmp_path: Path) -> None:
    declared = """latency: 'op{method="Put"}', unit: us, errors: failures_total, error_label: reason"""
    text = f"name: a\nnode: {{command: [run], metrics: '8000'}}\nmetrics: {{from: node, {declared}}}\n"
    expected = MetricNames('op{method="Put"}', None, "node", unit="us", errors="failures_total", error_label="reason")
    assert described(tmp_path, text).metrics == expected


@pytest.mark.parametrize(
    ("declared", "path"),
    [
        ("8500/v1/metrics?format=prometheus", "/v1/metrics?format=prometheus"),
        ("8500?format=prometheus", "/metrics?format=prometheus"),
        ("8500/stats", "/stats"),
        ("8500", "/metrics"),
    ],
)
def test_the_path_of_metrics_may_have_a_query_string(tmp_path: Path, declared: str, path: str) -> None:
    text = f"name: a\nnode: {{command: [run], metrics: '{declared}'}}\nmetrics: {{from: node}}\n"
    protocol = described(tmp_path, text)
    (node,) = made(protocol).nodes(place(inventory(a=2), protocol, 10))
    assert (node.metrics_port, node.metrics_path) == (8500, path)


def test_a_query_string_that_prometheus_cannot_send_has_line_and_column(tmp_path: Path) -> None:
    text = "name: a\nnode: {command: [run], metrics: '8500/federate?match[]=up'}\nmetrics: {from: node}\n"
    with pytest.raises(SettingsError, match=r"system\.yaml, line 2, column 33: cannot scrape /federate"):
        made(described(tmp_path, text))


def test_unknown_aggregation_is_an_error(tmp_path: Path) -> None:
    text = "name: a\nnode: {command: [run], metrics: '8000'}\nmetrics: {from: node, counted_by: some}\n"
    with pytest.raises(SettingsError, match="'sum' or 'median'"):
        described(tmp_path, text)


def test_nodes_that_generate_load_get_their_share_in_steps(tmp_path: Path) -> None:
    text = """\
name: self
load_step: 10
node:
  command: [run, "{{ load }}", "{{ total_load }}"]
  metrics: "8000"
metrics: {from: node, aggregation: median, squared: latency_squared_s}
"""
    protocol = described(tmp_path, text)
    plan = place(inventory(a=4), protocol, 204, committee=3)
    assert [node.argv[1:] for node in made(protocol).nodes(plan)] == [("70", "200"), ("70", "200"), ("60", "200")]
    assert made(protocol).clients(plan) == ()
    assert protocol.metrics == MetricNames(job="node", aggregation="median", errors=None)


def test_load_generator_sends_the_described_request(tmp_path: Path) -> None:
    text = """\
name: http
client_parameters: {keys: 50}
node: {ports: {web: 80}, command: serve}
load:
  method: PUT
  url: http://{{ nodes[0].address }}:{{ ports.web }}/x
  headers: {Accept: "{{ client.region }}"}
  body: '{{ key(parameters.keys, base64=true) }}={{ value(8) }} {{ sequence() }}'
  workload: put
  expect: ^ok
"""
    http = made(described(tmp_path, text), client_parameters={"keys": 7, "timeout": "3s"})
    plan = place(inventory(a=2, b=1), type(http), 10)
    configs = [json.loads(client.files["config.json"]) for client in http.clients(plan)]
    assert [config["rate"] for config in configs] == [5, 5]
    assert configs[1]["requests"] == {
        "method": "PUT",
        "url": f"http://{plan.nodes[0].address}:80/x",
        "headers": {"Accept": "b"},
        "body": "{{key:7:base64}}={{value:8}} {{sequence}}",
        "expect": {"match": "^ok"},
    }
    assert (configs[0]["timeout_s"], configs[0]["workload"]) == (3.0, "put")
    assert type(http).load_shapes


def test_load_generator_sends_several_requests_by_weight(tmp_path: Path) -> None:
    text = """\
name: http
node: {ports: {web: 80}, command: serve}
load:
  - {workload: get, weight: 9, url: "http://{{ nearest.address }}/x"}
  - workload: put
    method: PUT
    url: http://{{ nearest.address }}/x
    body: "{{ key(9, zipf=0.8, base64=true) }} {{ value(uniform=[1, 5]) }} {{ value(zipf=7) }}"
"""
    http = made(described(tmp_path, text))
    plan = place(inventory(a=2, b=1), type(http), 10)
    config = json.loads(http.clients(plan)[0].files["config.json"])
    assert [(each["workload"], each["weight"]) for each in config["requests"]] == [("get", 9), ("put", 1)]
    assert config["requests"][1]["body"] == "{{key:9:zipf=0.8:base64}} {{value:uniform=1-5}} {{value:zipf=7}}"
    assert [workload.name for workload in Config(config).workloads] == ["get", "put"]


@pytest.mark.parametrize(
    ("load", "message"),
    [
        (
            "[{url: 'http://h/'}, {url: 'http://i/'}]",
            "line 3, column 7: load: found several requests with the",
        ),
        ("[{workload: a, url: 'https://h/'}]", "line 3, column 27: load.0.url: found 'https://h/', expected http://"),
        ("[{workload: a, url: 'http://{{ no }}/'}]", "line 3, column 38: 'no' is unknown"),
        ("[{workload: a, url: 'http://h/', weight: 0}]", "load.0.weight: expected more than 0"),
        ("[]", "load: expected at least 1 of them"),
    ],
)
def test_error_in_one_of_several_requests_has_its_place(tmp_path: Path, load: str, message: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(message)):
        made(described(tmp_path, f"name: http\nnode: {{command: serve}}\nload: {load}\n"))


@pytest.mark.parametrize(
    ("old", "new", "at", "message"),
    [
        ("tolerated_faults: minority", "tolerated_fault: minority", "minority", "did you mean 'tolerated_faults'"),
        ("tolerated_faults: minority", "tolerated_faults: most", "most", "found 'most'"),
        ("  grace: 0", "  grace: -1", "-1", "node.grace: expected at least 0, found -1"),
        ("{peer: 7000, http: 7001}", "{peer: 70000, http: 7001}", "70000,", "found 70000"),
        ("  command: [store", "  cmd: [store", "ports:", "node.command is missing"),
        ("    peers: |", "    ../peers: |", "|", "expected a relative path of letters"),
        (
            "each.ports.peer }}",
            "each.ports.pear }}",
            "pear",
            "'pear' is unknown; did you mean 'peer'? known are: http, peer",
        ),
        (
            "{{ ports.http }} /metrics",
            "{{ port.http }} /metrics",
            "port.http }} /m",
            "'port' is unknown; did you mean 'ports'? known are: clients",
        ),
        ("ready: metric", "ready: metrics", "metrics {{", "found 'metrics 7001 /metrics store_ready', expected tcp"),
        ('"{{ ports.http }}/stats"', "stats", "stats", "found 'stats', expected PORT or PORT/PATH"),
        ("--rate {{ load }}", "--rate {{ lode }}", "lode", "'lode' is unknown"),
        ("latency: op_seconds", "latency: op seconds", "op seconds", "expected NAME or NAME{LABEL"),
    ],
)
def test_errors_have_line_and_column(tmp_path: Path, old: str, new: str, at: str, message: str) -> None:
    assert FULL.count(old) == 1
    text = FULL.replace(old, new)
    with pytest.raises(SettingsError) as error:
        made(described(tmp_path, text))
    found = re.search(r"system\.yaml, line (\d+), column (\d+): ", str(error.value))
    assert found, str(error.value)
    assert text.splitlines()[int(found[1]) - 1][int(found[2]) - 1 :].startswith(at), str(error.value)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("field", "at", "message"),
    [
        ("url: https://{{ nearest.address }}/", "https", "load.url: found 'https://192.0.2.1/', expected http://HOST"),
        ("url: http://me:secret@h/", "http", "load.url: found 'http://***@h/', expected http://HOST:PORT/PATH; cred"),
        ("url: http://h:99999/", "http", "load.url: found 'http://h:99999/'"),
        ("{url: http://h/, headers: {Connection: close}}", "{Conn", "load.headers: Connection is set by the generator"),
        ("{url: http://h/, body: '{{ value(0) }}'}", "'{{", "load.body: found placeholder {{value:0}}"),
        ("{url: http://h/, expect: '(ok'}", "'(ok", "load.expect.match: found '(ok', not a regular expression"),
        ("{url: http://h/, expect: {no_match: '['}}", "'['", "load.expect.no_match: found '['"),
        ("{url: http://h/, expect: {not: x}}", "x}}", "unknown field 'load.expect.not'"),
    ],
)
def test_requests_that_the_load_generator_rejects_are_found_when_the_file_is_read(
    tmp_path: Path, field: str, at: str, message: str
) -> None:
    load = f"load: {field}" if field.startswith("{") else f"load:\n  {field}"
    text = f"name: web\nnode: {{command: serve}}\n{load}\n"
    with pytest.raises(SettingsError) as error:
        made(described(tmp_path, text))
    found = re.search(r"system\.yaml, line (\d+), column (\d+): ", str(error.value))
    assert found, str(error.value)
    assert text.splitlines()[int(found[1]) - 1][int(found[2]) - 1 :].startswith(at), str(error.value)
    assert message in str(error.value)
    assert "secret" not in str(error.value)


WRITTEN = FULL.replace('  metrics: "{{ ports.metrics }}"\n', "  WRITES\n").replace(
    "metrics: {latency: op_seconds, throughput: ops_total}\n", ""
)


@pytest.mark.parametrize(
    ("writes", "file", "source"),
    [
        ("latency_log: out.hlog", "out.hlog", HistogramTags()),
        (
            "latency_log: {file: '*.hdr', unit: ns, completed: ['*-rt'], failed: [x]}",
            "*.hdr",
            HistogramTags("ns", ("*-rt",), ("x",)),
        ),
        (
            "requests: {file: 'tx.*', time: [5, 6], latency: 3, unit: us, error: 3, success: '[0-9]*', workload: sql}",
            "tx.*",
            RequestColumns((5, 6), 3, "us", error=3, success="[0-9]*", workload="sql"),
        ),
        (
            "requests: {file: a.csv, time: at, time_of: start, latency: took, unit: ms, only: {kind: '1'}}",
            "a.csv",
            RequestColumns(("at",), "took", "ms", time_of="start", only={"kind": "1"}),
        ),
    ],
)
def test_clients_name_the_files_of_latencies_that_they_write(
    tmp_path: Path, writes: str, file: str, source: LatencySource
) -> None:
    store = made(described(tmp_path, WRITTEN.replace("WRITES", writes)))
    (client, *_) = store.clients(place(inventory(a=4), type(store), 100, committee=3))
    assert (client.latency_log, client.latency_source, client.metrics_port) == (file, source, None)
    assert {process.latency_log for process in store.nodes(place(inventory(a=4), type(store), 100))} == {""}


@pytest.mark.parametrize(
    ("writes", "at", "message"),
    [
        ("latency_log: ../x", "../x", "latency_log.file: expected a relative path"),
        ("latency_log: {file: x, unit: min}", "min", "latency_log.unit: expected 'ns', 'us', 'ms' or 's', found 'min'"),
        ("requests: x", "x", "requests: expected fields as `name: value`"),
        ("requests: {file: x, time: 1, latency: 2}", "{file", "requests.unit is missing"),
        ("requests: {file: x, time: 0, latency: 2, unit: s}", "0,", "expected the number of a column, from 1, or its"),
        ("requests: {file: x, time: [1, 2, 3], latency: 2, unit: s}", "[1", "two: [SECONDS, MICROSECONDS]"),
        ("requests: {file: x, time: at, latency: 2, unit: s}", "{file", "found names and numbers of columns; expected"),
        ("requests: {file: x, time: 1, latency: 2, unit: s, success: ok}", "{file", "found `success` without `error`"),
        ("requests: {file: x, time: 1, latency: 2, unit: s, time_of: now}", "now", "expected 'start' or 'end', found"),
        (
            "latency_log: x\n  requests: {file: x, time: 1, latency: 2, unit: s}",
            "ports",
            "both `latency_log` and `requ",
        ),
    ],
)
def test_errors_in_what_clients_write_have_line_and_column(tmp_path: Path, writes: str, at: str, message: str) -> None:
    text = WRITTEN.replace("WRITES", writes)
    with pytest.raises(SettingsError) as error:
        described(tmp_path, text)
    found = re.search(r"system\.yaml, line (\d+), column (\d+): client", str(error.value))
    assert found, str(error.value)
    assert text.splitlines()[int(found[1]) - 1][int(found[2]) - 1 :].startswith(at), str(error.value)
    assert message in str(error.value)


def test_all_invalid_fields_are_listed_at_once(tmp_path: Path) -> None:
    text = FULL.replace("minimum_nodes: 3", "minimum_nodes: 0").replace("  grace: 0", "  grease: 0")
    with pytest.raises(SettingsError) as error:
        described(tmp_path, text)
    assert [line.split(": ")[1] for line in str(error.value).splitlines()] == [
        "minimum_nodes", "unknown field 'node.grease'; did you mean 'grace'?"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a\nnode: {command: run}\n", "no load generator: expected `load`"),
        ("name: a\nnode: {command: run}\nmetrics: {from: node}\n", "set `node.metrics` to PORT"),
        ("name: a\nnode: {command: run}\nclient: {command: run}\n", "set `client.metrics` to PORT"),
        ("name: a\nnode: {command: run}\nload: {url: x}\nmetrics: {latency: y}\n", "both `load` and `metrics`"),
        ("name: a\nnode: {command: run}\nload: {url: x}\nclient: {command: y}\n", "both `load` and `client`"),
        (
            "name: a\nnode: {command: x, metrics: '1'}\nmetrics: {from: node}\nclient: {command: y, latency_log: x}\n",
            "found `metrics: {from: node}` and a file of latencies of `client`",
        ),
        (
            "name: a\nnode: {command: run}\nmetrics: {latency: x}\nclient: {command: y, latency_log: x}\n",
            "set `client.metrics` to PORT",
        ),
    ],
)
def test_descriptions_without_load_or_metrics_are_rejected(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        described(tmp_path, text)


def test_parameters_have_the_types_of_their_defaults(tmp_path: Path) -> None:
    store = described(tmp_path, FULL)
    with pytest.raises(SettingsError, match=r"node_parameters: level: expected a whole number, found 'high'"):
        made(store, node_parameters={"level": "high"})
    with pytest.raises(SettingsError, match=r"unknown parameter 'sise'; did you mean 'size'"):
        made(store, client_parameters={"sise": 1})


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_complete(path: Path) -> None:
    protocol = find_protocol(str(path))
    plan = place(inventory(a=3, b=3), protocol, 100, committee=3)
    processes = [*made(protocol).nodes(plan), *made(protocol).clients(plan)]
    assert [process.name for process in processes] == [f"{job}-{i}" for job in ("node", "client") for i in range(3)]
    assert len(path.read_text().splitlines()) < 110


def test_example_in_the_docs_is_complete(tmp_path: Path) -> None:
    found = re.search(r"```yaml\n(.*?)```", (ROOT / "docs" / "protocols.md").read_text(), re.DOTALL)
    assert found
    assert len(found[1].splitlines()) < 40
    web = made(described(tmp_path, found[1]))
    assert web.nodes(place(inventory(a=2), type(web), 10))[0].ready == "http 8000 /file"


def test_missing_file_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"cannot read nowhere\.yaml"):
        find_protocol("nowhere.yaml")
