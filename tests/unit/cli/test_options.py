"""Options override settings; the two sides of a comparison; requests that can be compared."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from benchmark.cli.options import apply_overrides, make_request
from benchmark.errors import SettingsError, UsageError
from benchmark.plan.request import RunOptions, request_to_dict
from benchmark.plan.source import describe
from benchmark.settings import Settings

OPTIONS: dict[str, Any] = RunOptions().model_dump()


def settings(**fields: Any) -> Settings:
    return Settings.model_validate({"regions": ["a", "b"]} | fields)


def test_options_override_settings() -> None:
    asked = OPTIONS | {"duration": timedelta(seconds=7), "dedicated_clients": 2, "warm_up": timedelta(seconds=3)}
    request = make_request(settings(benchmark_duration="3m", dedicated_clients=1), Path("r"), asked, (10,))
    assert (request.duration_s, request.dedicated_clients, request.warm_up_s) == (7, 2, 3)
    assert request.find_warm_up is False


@pytest.mark.parametrize(
    ("fields", "asked", "expected"),
    [
        ({}, {}, (15, True)),
        ({"warm_up": "2s"}, {}, (2, False)),
        ({"warm_up": 0}, {}, (0, False)),
        ({}, {"load_shape": "ramp"}, (15, False)),
    ],
)
def test_the_warm_up_is_detected_unless_it_is_set(
    fields: dict[str, Any], asked: dict[str, Any], expected: tuple[float, bool]
) -> None:
    request = make_request(settings(**fields), Path("r"), OPTIONS | asked, (10,))
    assert (request.warm_up_s, request.find_warm_up) == expected


def test_overrides_set_options_and_nested_fields() -> None:
    base = settings(node_parameters={"heartbeat_ms": 100, "snapshot_count": 5})
    words = ["committee=3", "node_parameters.heartbeat_ms=50", "duration=9s"]
    changed, own = apply_overrides(base, OPTIONS, words)
    assert changed.node_parameters == {"heartbeat_ms": 50, "snapshot_count": 5}
    assert (own["committee"], own["duration"]) == (3, timedelta(seconds=9))
    assert base.node_parameters == {"heartbeat_ms": 100, "snapshot_count": 5}
    assert OPTIONS["committee"] is None


def test_an_override_may_be_a_settings_file(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("regions: [a, b]\nnode_parameters: {heartbeat_ms: 70}\n")
    changed, own = apply_overrides(settings(dedicated_clients=2), OPTIONS, [str(tmp_path / "b.yaml"), "committee=5"])
    assert changed.node_parameters == {"heartbeat_ms": 70}
    assert changed.dedicated_clients == 2
    assert own["committee"] == 5


def test_credentials_of_a_repository_stay_out_of_the_request() -> None:
    base = settings(repository={"url": "https://secret-token@example.org/x", "commit": "main"})
    changed, own = apply_overrides(base, OPTIONS, ["commit=abc"])
    assert changed.repository == base.repository
    assert own["commit"] == "abc"
    request = make_request(settings(), Path("r"), OPTIONS, (10,))
    assert request_to_dict(request)["source"] is None
    assert "secret-token" not in (describe(base.repository) or "")
    assert (describe(base.repository) or "").endswith("example.org/x at main")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("comittee=3", "comittee=3: unknown field 'comittee'; did you mean 'committee'?"),
        ("instnces=3", "did you mean 'instances'?"),
        ("network.los=3", "unknown field 'network.los'; did you mean 'loss'?"),
        ("committee=three", "found 'three', expected a whole number"),
        ("committee=²", "found '²', expected a whole number"),
        ("dedicated_clients=x", "found 'x', expected a whole number"),
        ("instances=[1", "instances: found '[1', line 1, column 3: not YAML"),
        ("name=2026-02-30", "name: found '2026-02-30': not YAML: day is out of range"),
        ("protocol.x=1", "protocol.x: protocol is 'etcd', which has no fields; set protocol=VALUE"),
        ("regions.0=x", "regions is ('a', 'b'), which has no fields"),
        ("repository.url.x=1", "repository.url.x: url is 'https://example.org/x', which has no fields"),
        ("repository=[https://token@example.org/", "found '[https://example.org/'"),
    ],
)
def test_reports_mistakes(word: str, message: str) -> None:
    base = settings(repository={"url": "https://token@example.org/x"})
    with pytest.raises((SettingsError, UsageError), match=re.escape(message)) as found:
        apply_overrides(base, OPTIONS, [word])
    assert "token" not in str(found.value)


def test_reports_all_mistakes_of_a_side_together() -> None:
    with pytest.raises(SettingsError) as found:
        apply_overrides(settings(), OPTIONS, ["instances=many", "disk_gb=1"])
    assert [line.partition(": ")[2].partition(":")[0] for line in str(found.value).splitlines()] == [
        "instances", "disk_gb",
    ]  # fmt: skip


def test_requests_differ_where_settings_changed() -> None:
    before = request_to_dict(make_request(settings(), Path("r"), OPTIONS, (10, 20)))
    after = request_to_dict(make_request(settings(node_parameters={"heartbeat_ms": 7}), Path("r"), OPTIONS, (10, 20)))
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"node_parameters", "parameters"}
    assert before["loads"] == [10, 20]
