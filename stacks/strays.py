"""List cloud hosts with the tag of a testbed that its stack does not know, and remove them.

    python -m stacks.strays [--stack STACK] [--json] [--remove ID …]

`kill -9` of `pulumi up` leaves such hosts, and so does the loss of a state. A provider that rents hosts has a module
`stacks.PROVIDER.strays` with two functions, which raise TestbedError:

- `find(settings) -> list[Stray]`: all hosts of the account with the tag `testbed_id` of the settings;
- `remove(settings, stray) -> None`: terminate one.

`pulumi up` should adopt what an interrupted update left: tag a host as unconfirmed until the state has it, and look for
an unconfirmed one that equals the order before ordering (see stacks/vultr/server.py).
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from benchmark.errors import InfrastructureError, TestbedError, UsageError
from benchmark.settings import Settings, stack_settings

_DEADLINE_S = 60.0


@dataclass(frozen=True)
class Stray:
    """A host of the account."""

    provider: str
    id: str
    """The provider's, by which the stack knows its hosts."""
    name: str
    region: str
    address: str
    """Empty if it has none."""

    def __str__(self) -> str:
        known = ", ".join(text for text in (self.name, self.region, self.address) if text)
        # The names come from the account, where anybody with access may have written anything.
        return "".join(one for one in f"{self.provider} {self.id} ({known})" if one.isprintable())


def find(settings: Settings, known: set[str]) -> list[Stray]:
    """Return the hosts with the testbed's tag whose id is not `known`. Raises TestbedError."""
    found: list[Stray] = []
    for provider in dict.fromkeys(spec.provider for spec in settings.region_specs):
        if find_spec(f"stacks.{provider}.strays"):
            found += import_module(f"stacks.{provider}.strays").find(settings)
    return [stray for stray in found if stray.id not in known]


def remove(settings: Settings, strays: Sequence[Stray], wanted: Sequence[str]) -> None:
    """Terminate the strays with the `wanted` ids. UsageError, before anything is removed, if one is no stray."""
    by_id = {stray.id: stray for stray in strays}
    if missing := [identity for identity in wanted if identity not in by_id]:
        raise UsageError(
            f"{', '.join(missing)}: no host of testbed {settings.testbed_id} that its stack does not know; "
            f"found {', '.join(by_id) or 'none'}"
        )
    for identity in wanted:
        import_module(f"stacks.{by_id[identity].provider}.strays").remove(settings, by_id[identity])
        print(f"removed {by_id[identity]}")  # noqa: T201


def state_ids(stack: str) -> set[str]:
    """Return the ids of all resources in the state of a stack. UsageError if Pulumi fails."""
    return known_ids(_pulumi("export", "--stack", stack))


def known_ids(export: str) -> set[str]:
    """Return the ids of all resources in an exported state."""
    try:
        resources = json.loads(export)["deployment"].get("resources") or []
        return {str(resource["id"]) for resource in resources if "id" in resource}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InfrastructureError("`pulumi stack export` printed no state") from None


def _pulumi(*arguments: str) -> str:
    program = shutil.which("pulumi")
    if program is None:
        raise UsageError("no `pulumi` on PATH; run `. ./env.sh` in the project first")
    done = subprocess.run(
        [program, "stack", *arguments, "--non-interactive"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_DEADLINE_S,
        check=False,
    )
    if done.returncode != 0:
        reason = " ".join(line.removeprefix("error: ") for line in done.stderr.strip().splitlines()[-3:])
        raise UsageError(f"`pulumi stack` failed: {reason}")
    return done.stdout


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m stacks.strays", description="List cloud hosts of a testbed that its stack does not know."
    )
    parser.add_argument("--stack", help="stack of the testbed [default: the selected stack]")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--remove", nargs="+", metavar="ID", default=[], help="terminate these")
    options = parser.parse_args(arguments)
    try:
        name = options.stack or _pulumi("--show-name").strip()
        settings = stack_settings(Path.cwd(), name.rpartition("/")[2])
        found = find(settings, state_ids(name))
        if options.remove:
            remove(settings, found, options.remove)
        elif options.json:
            print(json.dumps([{**asdict(stray), "text": str(stray)} for stray in found]))  # noqa: T201
        else:
            print("\n".join(map(str, found)) or "none")  # noqa: T201
    except (TestbedError, subprocess.TimeoutExpired) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code if isinstance(error, TestbedError) else 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
