"""Build Rust programs and write their configuration files as serde_yaml expects them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated

import yaml
from pydantic import BaseModel, BeforeValidator, Field, PlainSerializer

from benchmark.settings import parse_duration


def _parse(value: object) -> timedelta:
    """Parse the format of serde, {secs, nanos}, or a duration such as 300ms."""
    if (
        isinstance(value, dict)
        and set(value) == {"secs", "nanos"}
        and all(type(part) is int for part in value.values())
    ):
        return timedelta(seconds=value["secs"], microseconds=value["nanos"] / 1000)
    return parse_duration(value)


def _write(value: timedelta) -> dict[str, int]:
    whole = value // timedelta(seconds=1)
    return {"secs": whole, "nanos": (value - timedelta(seconds=whole)) // timedelta(microseconds=1) * 1000}


RustDuration = Annotated[
    timedelta, BeforeValidator(_parse), PlainSerializer(_write, return_type=dict), Field(ge=timedelta(0))
]
"""A duration that is written like std::time::Duration: {secs, nanos}."""


def to_yaml(document: BaseModel | Mapping[str, object]) -> str:
    """Return a configuration file; fields that are None are left out, so that the program uses its default."""
    plain = document.model_dump(mode="json", exclude_none=True) if isinstance(document, BaseModel) else dict(document)
    return yaml.safe_dump(plain, sort_keys=False)


_RUSTUP = """\
[ -f "$HOME/.cargo/env" ] && . "$HOME/.cargo/env"
command -v cargo >/dev/null || {
    curl --proto =https --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal
    . "$HOME/.cargo/env"
}
export CARGO_TARGET_DIR="$BUILD_CACHE/target"
built=$CARGO_TARGET_DIR/release
[ ! -d "$built" ] || find "$built" -maxdepth 1 -type f -delete
locked=--locked
[ -f Cargo.lock ] || locked=
"""
_COLLECT = """\
mkdir -p target/release
find "$built" -maxdepth 1 -type f -perm -u+x -exec cp -t target/release {} +
"""


def cargo_build(*binaries: str) -> str:
    """Return the script that makes a release build of `binaries`, or of all, in target/release of the checkout.

    It installs Rust with rustup (https://rustup.rs) if it is missing, and builds with the versions in Cargo.lock if the
    repository has one. Compiled crates are cached for later builds; programs of earlier builds are not.
    """
    wanted = "".join(f" --bin {shlex.quote(name)}" for name in binaries)
    return f"{_RUSTUP}cargo build --release $locked{wanted}\n{_COLLECT}"
