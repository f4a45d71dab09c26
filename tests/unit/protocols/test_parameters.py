"""Parameters, inline or in a file, are validated against the models of the protocol."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from benchmark.errors import SettingsError
from benchmark.protocols.etcd import Etcd, EtcdClient, EtcdNode
from benchmark.protocols.parameters import make_protocol, read_parameters
from benchmark.protocols.remora import RemoraNode
from benchmark.settings import Settings


def test_protocol_is_created_with_parameters_from_the_settings(tmp_path: Path) -> None:
    file = tmp_path / "client.yaml"
    file.write_text("keys: 7\ntimeout: 3s\n")
    settings = Settings(regions=("a",), node_parameters={"heartbeat_ms": 50}, client_parameters=file)
    made = make_protocol(Etcd, settings)
    assert made.node_parameters == EtcdNode(heartbeat_ms=50)
    assert made.client_parameters == EtcdClient(keys=7, timeout=timedelta(seconds=3))


def test_missing_parameters_have_defaults() -> None:
    assert read_parameters("node_parameters", None, EtcdNode) == EtcdNode()


def test_unknown_parameter_is_an_error_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^node_parameters: unknown parameter 'hartbeat_ms'; did you mean 'heartb"):
        read_parameters("node_parameters", {"hartbeat_ms": 50}, EtcdNode)
    file = tmp_path / "n.yaml"
    file.write_text("zzz: 1\n")
    with pytest.raises(
        SettingsError,
        match=r"n\.yaml, line 1, column 6: node_parameters: unknown parameter 'zzz'; known",
    ):
        read_parameters("node_parameters", file, EtcdNode)


def test_all_invalid_parameters_are_listed_at_once() -> None:
    given = {"consensus_parameters": {"batch_size": 0, "batch": 1}, "parallel_proxy": "maybe"}
    with pytest.raises(SettingsError) as error:
        read_parameters("node_parameters", given, RemoraNode)
    assert str(error.value).splitlines() == [
        "node_parameters: consensus_parameters.batch_size: expected at least 1, found 0",
        "node_parameters: unknown parameter 'consensus_parameters.batch'; did you mean 'batch_size'?",
        "node_parameters: parallel_proxy: expected true or false, found 'maybe'",
    ]


def test_missing_file_is_named_in_the_error() -> None:
    with pytest.raises(SettingsError, match=r"cannot read nowhere\.yaml"):
        read_parameters("node_parameters", Path("nowhere.yaml"), EtcdNode)
