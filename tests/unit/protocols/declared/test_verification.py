"""A description names the operations that `--verify` uses; errors have line and column."""

from __future__ import annotations

import re
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from factories.hosts import inventory

from benchmark.errors import SettingsError
from benchmark.plan.placement import place
from benchmark.protocols.base import Protocol
from benchmark.protocols.parameters import make_protocol
from benchmark.protocols.registry import find_protocol
from benchmark.settings import Settings

STORE = """\
name: store
packages: [store]
node_parameters: {table: t}
node: {command: serve, ports: {http: 80}}
load: {url: "http://{{ nearest.address }}/"}
verify:
  read:
    url: http://{{ node.address }}:{{ ports.http }}/{{ parameters.table }}/{{ key() }}
    value: '"v":"([^"]*)"'
    absent: ^404
    base64: true
  write:
    method: PUT
    url: http://{{ node.address }}:{{ ports.http }}/{{ key() }}
    headers: {Accept: "{{ node.region }}"}
    body: "{{ value(base64=true) }}"
    success: ^200
    failed: readonly
  cas:
    command: [swap, "{{ node.address }}", "{{ key() }}", "{{ expected() }}", "{{ value() }}"]
    success: ^0
    mismatch: ^1
"""


def described(folder: Path, text: str) -> Protocol:
    path = folder / "system.yaml"
    path.write_text(text)
    return make_protocol(find_protocol(str(path)), Settings(regions=("a",)))


def test_operations_are_rendered_for_each_node(tmp_path: Path) -> None:
    store = described(tmp_path, STORE)
    plan = place(inventory(a=3), type(store), 10)
    assert store.checks == ("linearizability",)
    first, second = store.key_value_api(plan)
    one, other = plan.nodes
    assert first.read.url == f"http://{one.address}:80/t/{{{{key}}}}"
    assert second.read.url == f"http://{other.address}:80/t/{{{{key}}}}"
    assert (first.read.method, first.read.done, first.read.otherwise) == ("GET", '"v":"([^"]*)"', "^404")
    assert (first.read.base64, first.write.base64) == (True, False)
    assert (first.write.method, first.write.body, first.write.headers) == ("PUT", "{{value:base64}}", {"Accept": "a"})
    assert (first.write.failed, first.write.otherwise) == ("readonly", "")
    assert second.cas is not None
    assert second.cas.command == ("swap", other.address, "{{key}}", "{{expected}}", "{{value}}")
    assert store.packages_on_clients, "commands run there"


def test_compare_and_swap_is_optional(tmp_path: Path) -> None:
    store = described(tmp_path, STORE[: STORE.index("  cas:")])
    assert not store.packages_on_clients
    assert all(each.cas is None for each in store.key_value_api(place(inventory(a=3), type(store), 10)))


def test_a_description_without_operations_has_nothing_to_check(tmp_path: Path) -> None:
    assert described(tmp_path, STORE[: STORE.index("verify:")]).checks == ()


@pytest.mark.parametrize(
    ("old", "new", "at", "message"),
    [
        ("value: '\"v\":\"([^\"]*)\"'", "value: ok", "url: http", "verify.read: found `value: ok`, expected a group"),
        ("    absent: ^404\n", "", "url: http", "verify.read.absent is missing"),
        ("absent: ^404", "absent: (", "(", "verify.read.absent: expected a regular expression: missing )"),
        ("success: ^200", "success: ^200\n    succes: ^200", "^200", "did you mean 'success'"),
        ("{{ value(base64=true) }}", "{{ values() }}", "values", "'values' is unknown; did you mean 'value'"),
        ("{{ value(base64=true) }}", "{{ value(7, 8) }}", "{{ value(7", "takes from 1 to 2 positional arguments"),
        ("command: [swap", "body: x\n    command: [swap", "body", "`headers` and `body` belong to requests"),
        ("    method: PUT\n    url: http", "    method: PUT\n    command: http", "method", "belong to requests"),
        ("    method: PUT\n    url: http", "    method: PUT\n    url: https", "https", "found 'https://192.0.2.1:80/"),
        ("    absent: ^404", "    absent: ^404\n    command: x", "url", "expected either `url` or `command`"),
    ],
)  # fmt: skip
def test_errors_have_line_and_column(tmp_path: Path, old: str, new: str, at: str, message: str) -> None:
    assert STORE.count(old) == 1
    text = STORE.replace(old, new)
    with pytest.raises(SettingsError) as error:
        described(tmp_path, text)
    found = re.search(r"system\.yaml, line (\d+), column (\d+): ", str(error.value))
    assert found, str(error.value)
    assert text.splitlines()[int(found[1]) - 1][int(found[2]) - 1 :].lstrip('"').startswith(at), str(error.value)
    assert message in str(error.value)


AGREES = """\
name: chain
node:
  command: serve
  ports: {http: 80}
  metrics: "{{ ports.http }}/stats?all=1"
  environment: {HOME: "/data"}
load: {url: "http://{{ nearest.address }}/"}
verify:
  agreement: {command: "hash {{ node.name }}", within: 5s}
"""


def test_nodes_are_asked_what_they_agree_on(tmp_path: Path) -> None:
    chain = described(tmp_path, AGREES)
    assert (chain.checks, chain.agreement_within_s, chain.packages_on_clients) == (("agreement",), 5.0, False)
    nodes = chain.nodes(place(inventory(a=3), type(chain), 10))
    assert [node.agreement[-1] for node in nodes] == ["hash node-0", "hash node-1"]
    assert nodes[1].agreement_script() == "export HOME=/data\nexec bash -euo pipefail -c 'hash node-1'\n"


def test_series_of_a_metric_are_what_nodes_agree_on(tmp_path: Path) -> None:
    metrics = '# HELP height h\nheight_total 1\nheight{shard="b"} 2\r\nheight{shard="a"} 7\nother 1\n'
    server = ThreadingHTTPServer(("127.0.0.1", 0), answering(metrics))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        text = AGREES.replace('command: "hash {{ node.name }}"', "metric: height").replace(
            "http: 80", f"http: {server.server_port}"
        )
        chain = described(tmp_path, text)
        node, *_ = chain.nodes(place(inventory(a=3), type(chain), 10))
        done = subprocess.run(
            ["bash", "-c", node.agreement_script()], capture_output=True, text=True, check=True, timeout=30
        )
    finally:
        server.shutdown()
        server.server_close()
    assert done.stdout == 'height{shard="a"} 7\nheight{shard="b"} 2\n'


def answering(metrics: str) -> type[BaseHTTPRequestHandler]:
    """A server with these metrics at one path."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/stats?all=1" else 404)
            self.end_headers()
            self.wfile.write(metrics.encode() if self.path == "/stats?all=1" else b"")

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    return Handler


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('command: "hash {{ node.name }}"', "metric: height, command: x", "expected either `command` or `metric`"),
        ('command: "hash {{ node.name }}"', "metric: he-ight", "expected the name of a metric"),
        ("{{ node.name }}", "{{ nod.name }}", "'nod' is unknown"),
        ('{command: "hash {{ node.name }}", within: 5s}', "null", "expected `read` and `write`, or `agreement`"),
        ('  metrics: "{{ ports.http }}/stats?all=1"\n', "", "set `node.metrics` to PORT"),
    ],
)
def test_errors_in_agreement_are_explained(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = AGREES if "metrics" not in old else AGREES.replace('command: "hash {{ node.name }}"', "metric: height")
    assert text.count(old) == 1
    with pytest.raises(SettingsError, match=re.escape(message)):
        described(tmp_path, text.replace(old, new))
