"""Zones that had no capacity lately are remembered for an hour."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stacks.aws.capacity import RECORD, record_shortage, zones_without_capacity


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_shortage_is_remembered_for_its_type_only() -> None:
    assert zones_without_capacity("m5d.large") == frozenset()
    record_shortage("m5d.large", "us-east-1a")
    record_shortage("m5d.large", "us-east-1b")
    assert zones_without_capacity("m5d.large") == {"us-east-1a", "us-east-1b"}
    assert zones_without_capacity("m5d.2xlarge") == frozenset()


def test_a_shortage_is_forgotten_after_an_hour() -> None:
    record_shortage("m5d.large", "us-east-1a")
    old = (datetime.now(UTC) - timedelta(minutes=61)).isoformat()
    RECORD.write_text(json.dumps({"m5d.large us-east-1a": old}))
    assert zones_without_capacity("m5d.large") == frozenset()
    record_shortage("m5d.large", "us-east-1b")
    assert list(json.loads(RECORD.read_text())) == ["m5d.large us-east-1b"]


@pytest.mark.parametrize("text", ["", "[]", '{"m5d.large us-east-1a": "soon"}', '{"m5d.large us-east-1a": 1}', "\x00"])
def test_a_damaged_record_is_ignored(text: str) -> None:
    RECORD.parent.mkdir()
    RECORD.write_text(text)
    assert zones_without_capacity("m5d.large") == frozenset()
    record_shortage("m5d.large", "us-east-1a")
    assert zones_without_capacity("m5d.large") == {"us-east-1a"}
