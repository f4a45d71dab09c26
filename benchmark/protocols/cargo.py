"""How Rust programs are built, and how they read and write their configuration (serde_yaml)."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, Field, PlainSerializer

from benchmark.settings import parse_duration


def _parse(value: object) -> timedelta:
    """Read what serde writes, {secs, nanos}, or a duration as everywhere else, such as 300ms."""
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
"""A std::time::Duration: {secs, nanos}."""


def to_yaml(document: BaseModel | dict[str, Any]) -> str:
    """Write a configuration file; fields that are None are left out, so that the program's own default holds."""
    plain = document.model_dump(mode="json", exclude_none=True) if isinstance(document, BaseModel) else document
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
    """The script that makes a release build of `binaries` and leaves them in target/release of the checkout.

    Rust comes by rustup (https://rustup.rs) where the host has none; what was compiled is kept for the next commit.
    """
    wanted = " ".join(f"--bin {name}" for name in binaries)
    made = " ".join(f'"$CARGO_TARGET_DIR/release/{name}"' for name in binaries)
    return f"{_RUSTUP}cargo build --release {wanted}\nmkdir -p target/release\ncp {made} target/release/\n"
