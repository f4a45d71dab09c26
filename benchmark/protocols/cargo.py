"""Build Rust programs and write their configuration files as serde_yaml expects them."""

from __future__ import annotations

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
"""


def cargo_build(*binaries: str) -> str:
    """Return the script that makes a release build of `binaries` in target/release of the checkout.

    It installs Rust with rustup (https://rustup.rs) if it is missing. Compiled crates are cached for later builds.
    """
    wanted = " ".join(f"--bin {name}" for name in binaries)
    built = " ".join(f'"$CARGO_TARGET_DIR/release/{name}"' for name in binaries)
    return f"{_RUSTUP}cargo build --release {wanted}\nmkdir -p target/release\ncp {built} target/release/\n"
