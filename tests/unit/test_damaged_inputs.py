"""Damaged settings, configurations, described systems and inventories: an error or a value, never a traceback."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from factories.hosts import inventory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paths import ROOT

from benchmark.errors import TestbedError
from benchmark.inventory import parse_inventory
from benchmark.orchestrator.manifest import make_placement
from benchmark.plan.deployment import Deployment
from benchmark.plan.placement import place
from benchmark.plan.request import RunOptions, make_request, request_to_dict
from benchmark.protocols.parameters import make_protocol
from benchmark.protocols.registry import find_protocol
from benchmark.settings import Settings, configured_settings, load_settings

SETTINGS = """\
testbed_id: dev
cloud_provider: !custom {ssh_username: me, instances: [{region: a, ip: 192.0.2.1}]}
regions: [us-east-1, eu-west-1]
instances: 4
specs: {aws: m5.large}
network: {rtt_ms: {a/b: 3}, loss: 0.1}
repository: {url: https://x.org/a, commit: main}
build: {command: make, outputs: [a]}
node_parameters: {heartbeat_ms: 10}
client_parameters: {timeout: 3s}
benchmark_duration: {secs: 30, nanos: 0}
load_shape: ramp
operator_cidrs: [192.0.2.0/24]
ssh_private_key_file: ~/x
"""
DESCRIBED = [
    (ROOT / "assets" / "declared" / "redis.yaml").read_text(),
    "name: a\nnode: {ports: {m: 1}, command: run, metrics: '{{ ports.m }}/m?a=b', environment: {A: b}}\n"
    "metrics: {from: node, latency: l, throughput: t}\n",
    "name: a\nnode: {command: run}\nclient: {command: go, closed_loop: true, requests: {file: 'a*', time: [1, 2],\n"
    "  latency: 3, unit: us, error: 4, success: '2??', only: {5: x}, time_of: start, workload: w}}\n",
    "name: a\nnode: {command: run}\n"
    "client: {command: go, latency_log: {file: '*.hdr', unit: ns, completed: [a], failed: ['*-b']}}\n",
]
INVENTORY = inventory(a=2, b=1).model_dump(mode="json")
ODD: list[Any] = [
    *(
        None,
        True,
        0,
        -1,
        3.5,
        float("nan"),
        float("inf"),
        10**30,
        "",
        "x",
        "-x",
        "../..",
        "/",
        "a\nb",
        "a" * 5000,
        "😀",
    ),
    *("{{ x }}", "{% for", "{{ nodes }}", "\0", "\x1b[31m", "\ud800", "9" * 400, "99999999999d", "1e400", "~nobody/x"),
    *("${NOSUCH}", "0s", "::1", "999.1.1.1", "2026-02-30", "2026-11-28T18:34:54", "9999-12-31T23:59:59Z", "aws:x"),
    *(
        [],
        {},
        [[]],
        {"": ""},
        {1: 2},
        ["a", "a"],
        [None],
        {"x": {"y": {"z": 0}}},
        {"!tag": 1},
        {"secs": 1, "nanos": "x"},
    ),
    *("steps:1000000000", "ramp:nan", "x.csv", "/dev/zero", "x.yaml"),
]
FEATURES = [
    *("k: &a [*a]", "k: &b {y: *b}", "<<: [1]", "<<: {a: 1}", "? [a]\n: x", "{a: b}: x", "k: !!bool x", "k: !!int abc"),
    *(
        "k: !!float abc",
        "k: !!timestamp x",
        "k: 2026-02-30",
        "k: !<tag> x",
        "k: !!python/name:os.system x",
        "---",
        "...",
    ),
    *(
        "k: !!binary '*'",
        "k: !!set {a, b}",
        "k: !!omap x",
        "k: !!pairs [x]",
        "k: !!str [a]",
        "k: *nope",
        "- x",
        "k: 0x_",
    ),
    *("k: 1:99:99", "k: .inf", "=: 1", "true: 1", "1: 1", "k: =", "k: {{ x }}", "k: '\\0'", 'k: "\\uD800"', "%TAG ! x"),
    *(
        "k: " + "[" * 400,
        "k: " + "{a: " * 300,
        "k: " + "9" * 5000,
        "\tk: 1",
        "k: |\n\t x",
        "k: !big x",
        "\x00",
        "\x85k: 1",
    ),
]


def paths(document: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value in a document."""
    if path:
        yield path
    for key in document if isinstance(document, dict) else range(len(document)) if isinstance(document, list) else ():
        yield from paths(document[key], (*path, key))  # type: ignore[index]


@st.composite
def changed(draw: st.DrawFn, documents: list[Any]) -> Any:
    """Draw a document of which one to three values are odd, missing or additional."""
    document = copy.deepcopy(draw(st.sampled_from(documents)))
    for _ in range(draw(st.integers(1, 3))):
        if not (known := list(paths(document))):
            break
        *outer, last = draw(st.sampled_from(known))
        inner = document
        for step in outer:
            inner = inner[step]
        action, odd = (
            draw(st.sampled_from(["change", "change", "remove", "add"])),
            copy.deepcopy(draw(st.sampled_from(ODD))),
        )
        if action == "remove":
            del inner[last]
        elif action == "add" and isinstance(inner, dict):
            inner[draw(st.sampled_from(["x", "", "/", "faults", "spot", "\x1b"]))] = odd
        else:
            inner[last] = odd
    return document


@st.composite
def with_feature(draw: st.DrawFn, texts: list[str]) -> str:
    """Draw a text with a line of unusual YAML somewhere, or with a part missing or doubled."""
    text = draw(st.sampled_from(texts))
    lines = text.split("\n")
    at = draw(st.integers(0, len(lines)))
    if draw(st.booleans()):
        key = draw(st.sampled_from(["k", "regions", "instances", "node", "metrics", "name"]))
        return "\n".join([*lines[:at], draw(st.sampled_from(FEATURES)).replace("k:", f"{key}:", 1), *lines[at:]])
    begin, end = sorted(draw(st.lists(st.integers(0, len(text)), min_size=2, max_size=2)))
    return text[:begin] + text[end:] if draw(st.booleans()) else text[:end] + text[begin:]


def bounded(examples: int) -> Any:
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=checks)


def use_settings(folder: Path, text: str) -> None:
    path = folder / "s.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with suppress(TestbedError):
        found = load_settings(path)
        json.dumps(found.model_dump(mode="json"))
        json.dumps(request_to_dict(make_request(found, RunOptions(), (10,), folder)))


def use_described(folder: Path, text: str) -> None:
    path = folder / "s.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with suppress(TestbedError):
        kind = find_protocol(str(path))
        made = make_protocol(kind, Settings(regions=("a",)))
        plan = place(inventory(a=2, b=2), kind, 100)
        deployment = Deployment(plan, made.nodes(plan), made.clients(plan))
        assert make_placement(deployment).model_dump_json()
        assert made.tolerated_faults(3) is not None
        json.dumps(made.definition())


@bounded(40)
@given(changed([yaml.safe_load(SETTINGS.replace("!custom ", ""))]))
def test_settings_with_odd_values(tmp_path: Path, document: Any) -> None:
    use_settings(tmp_path, yaml.safe_dump(document, allow_unicode=True))


@bounded(50)
@given(with_feature([SETTINGS]))
def test_settings_with_odd_yaml(tmp_path: Path, text: str) -> None:
    use_settings(tmp_path, text)


@bounded(100)
@given(st.sampled_from(list(Settings.model_fields)), st.sampled_from([*ODD, *(feature[3:] for feature in FEATURES)]))
def test_odd_values_of_a_stack(tmp_path: Path, field: str, value: object) -> None:
    (tmp_path / "s.yaml").write_text("regions: [a]\n")
    with suppress(TestbedError):
        configured_settings(tmp_path, {"geobench:settings": "s.yaml", f"geobench:{field}": value}, "stack dev")


@bounded(40)
@given(changed([yaml.safe_load(text) for text in DESCRIBED]))
def test_described_systems_with_odd_values(tmp_path: Path, document: Any) -> None:
    use_described(tmp_path, yaml.safe_dump(document, allow_unicode=True))


@bounded(60)
@given(with_feature(DESCRIBED))
def test_described_systems_with_odd_yaml(tmp_path: Path, text: str) -> None:
    use_described(tmp_path, text)


@bounded(100)
@given(changed([INVENTORY]))
def test_inventories_with_odd_values(document: Any) -> None:
    found = error = None
    try:
        found = parse_inventory(json.dumps(document), "x.json")
    except TestbedError as failure:
        error = str(failure)
    if found is None:
        assert error
        assert error.isprintable()
        return
    Settings(testbed_id=found.testbed_id, regions=found.regions)
    with suppress(TestbedError):
        place(found, find_protocol("etcd"), 10)
    for text in (found.testbed_id, *(part for host in found.hosts for part in (host.name, host.region, host.address))):
        assert text.isprintable()
        assert not text.startswith(("-", ".", "/"))
        assert "/" not in text


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", "\ud800", "[" * 100_000, '{"hosts": ' * 1000])
def test_text_that_is_no_inventory_is_an_error(text: str) -> None:
    with pytest.raises(TestbedError):
        parse_inventory(text, "x.json")
