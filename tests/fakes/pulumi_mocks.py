"""Run part of the testbed program without an engine and record the declared resources."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi.runtime.mocks import MockCallArgs, MockMonitor, MockResourceArgs, Mocks, set_mocks


class _Engine(Mocks):
    """Creates everything at once; values that a provider would compute are derived from the resource's name."""

    def __init__(self) -> None:
        self.resources: list[MockResourceArgs] = []

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        self.resources.append(args)
        computed = {
            "public_key": f"ssh-ed25519 {args.name}",
            "private_key": f"PRIVATE {args.name}",
            "created_at": "2030-01-01T00:00:00+00:00",
            "address": "198.18.0.9",
            "identity": "1 2",
        }
        return f"{args.name}-id", {**computed, **{k: v for k, v in args.inputs.items() if v is not None}}

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        raise AssertionError(f"no provider function is expected to be called, found {args.token}")


@dataclass(frozen=True)
class Declared:
    """The declared resources of a program, and its result (an output is awaited)."""

    resources: list[MockResourceArgs]
    urns: list[str]
    value: Any

    def of_type(self, name: str) -> list[MockResourceArgs]:
        """The resources whose type ends with `:NAME`, in the order of declaration."""
        return [resource for resource in self.resources if resource.typ.endswith(f":{name}")]

    def urn(self, name: str, kind: str) -> str:
        """The URN of the resource `name` of a type that ends with `:KIND`."""
        (found,) = (urn for urn in self.urns if urn.endswith(f":{kind}::{name}"))
        return found


def declare(program: Callable[[], Any]) -> Declared:
    """Run `program` and return its declared resources."""
    engine = _Engine()
    monitor = MockMonitor(engine)
    set_mocks(engine, project="geobench", stack="test", monitor=monitor)
    found: list[Any] = []

    def run() -> pulumi.Output[None]:
        # An output of what the program returned, but for objects that merely hold outputs.
        returned = program()
        awaited = returned if isinstance(returned, pulumi.Output) else pulumi.Output.from_input(None)
        return awaited.apply(lambda value: found.append(value if awaited is returned else returned))

    pulumi.runtime.test(run)()  # type: ignore[no-untyped-call]
    return Declared(engine.resources, list(monitor.resources), found[0])
