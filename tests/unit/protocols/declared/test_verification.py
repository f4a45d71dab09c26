"""A description names the operations that `--verify` uses; errors have line and column."""

from __future__ import annotations

import re
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
