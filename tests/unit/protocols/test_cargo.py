"""Durations and files have the format of Rust's serde."""

from __future__ import annotations

from datetime import timedelta

import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from benchmark.protocols.cargo import RustDuration, cargo_build, to_yaml

DURATION: TypeAdapter[timedelta] = TypeAdapter(RustDuration)


@pytest.mark.parametrize(
    ("given", "seconds"), [({"secs": 2, "nanos": 500_000_000}, 2.5), ("250ms", 0.25), ("3m", 180), (0, 0)]
)
def test_durations_are_read_in_serde_format_and_with_units(given: object, seconds: float) -> None:
    assert DURATION.validate_python(given) == timedelta(seconds=seconds)


def test_durations_are_written_exactly() -> None:
    written = DURATION.dump_python(timedelta(days=2, microseconds=1_000_003), mode="json")
    assert written == {"secs": 172_801, "nanos": 3_000}
    assert DURATION.validate_python(written) == timedelta(days=2, microseconds=1_000_003)


@pytest.mark.parametrize("given", [{"secs": 1}, {"secs": 1, "nanos": 0.5}, {"secs": -1, "nanos": 0}, "soon", None])
def test_invalid_duration_is_an_error(given: object) -> None:
    with pytest.raises(ValidationError):
        DURATION.validate_python(given)


def test_files_keep_order_and_quote_ambiguous_text() -> None:
    assert to_yaml({"b": "0s", "a": "1:30"}) == "b: 0s\na: '1:30'\n"
    assert yaml.safe_load(to_yaml({"address": "198.18.0.2:18500"})) == {"address": "198.18.0.2:18500"}


def test_only_requested_binaries_are_built() -> None:
    script = cargo_build("one", "two")
    assert "cargo build --release --bin one --bin two\n" in script
    assert script.endswith('cp "$CARGO_TARGET_DIR/release/one" "$CARGO_TARGET_DIR/release/two" target/release/\n')
