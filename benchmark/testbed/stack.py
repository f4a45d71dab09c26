"""Read the outputs of a Pulumi stack: the inventory and the private key."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import InfrastructureError, UsageError

if TYPE_CHECKING:  # its models take time to import, and Pulumi answers meanwhile
    from benchmark.inventory import Inventory

_DEADLINE_S = 60.0


class NoHostsError(UsageError):
    """The stack exists and has no hosts."""


@dataclass(frozen=True)
class Stack:
    """The outputs of a stack; `private_key` is the text of the generated key, None if the settings name a key file."""

    name: str
    inventory: Inventory
    private_key: str | None = field(repr=False)


def project_directory() -> Path:
    """Return the project: the nearest folder upwards with a Pulumi.yaml, else the checkout with this package.

    For an installed package outside any project, it is the current folder.
    """
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[2]):
        if (folder / "Pulumi.yaml").exists():
            return folder
    return here


def selected_stack(project: Path) -> str | None:
    """Return the name of the selected stack, whether or not it is up; None if there is none or Pulumi is missing."""
    return begin_selection(project)()


def begin_selection(project: Path) -> Callable[[], str | None]:
    """Start Pulumi, which finds the selected stack; return a function that waits for its name, or None."""
    pulumi = shutil.which("pulumi")
    if pulumi is None:
        return lambda: None
    ended = begin_command([pulumi, "stack", "--show-name", "--non-interactive"], project, _DEADLINE_S)

    def wait() -> str | None:
        try:
            done = ended()
        except subprocess.TimeoutExpired:
            return None
        return done.stdout.strip() or None if done.returncode == 0 else None

    return wait


def begin_command(
    command: Sequence[str], folder: Path, deadline_s: float
) -> Callable[[], subprocess.CompletedProcess[str]]:
    """Start a command in a folder; return a function that waits for its output.

    The function raises subprocess.TimeoutExpired, with the command killed, `deadline_s` after it was called.
    """
    process = subprocess.Popen(
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )

    def wait() -> subprocess.CompletedProcess[str]:
        try:
            stdout, stderr = process.communicate(timeout=deadline_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()  # its children may keep the pipes open, so not until their end
            raise
        return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)

    return wait


def begin_reading(project: Path, stack: str | None = None) -> Callable[[], Stack]:
    """Start Pulumi, which reads the outputs of `stack` or of the selected one; return a function that waits for them.

    The function raises UsageError if the stack does not exist, NoHostsError if it is not up, InfrastructureError if
    Pulumi hangs.
    UsageError if Pulumi is not installed.
    """
    pulumi = shutil.which("pulumi")
    if pulumi is None:
        raise UsageError("no `pulumi` on PATH; run `. ./env.sh` in the project first, or pass --inventory FILE")
    command = [pulumi, "stack", "output", "--json", "--show-secrets", "--non-interactive"]
    command += ["--stack", stack] if stack else []
    ended = begin_command(command, project, _DEADLINE_S)

    def wait() -> Stack:
        from benchmark.inventory import parse_inventory

        try:
            done = ended()
        except subprocess.TimeoutExpired:
            raise InfrastructureError(f"`pulumi stack output` did not answer within {_DEADLINE_S:.0f} s") from None
        if done.returncode != 0:
            raise UsageError(_explain(done.stderr, stack))
        outputs: dict[str, Any] = json.loads(done.stdout)
        if "inventory" not in outputs:
            name = stack or selected_stack(project)
            raise NoHostsError(f"stack {name} has no hosts; create them with `pulumi up`")
        return Stack(
            name=str(outputs.get("stack", stack or "")),
            inventory=parse_inventory(json.dumps(outputs["inventory"]), "the stack output `inventory`"),
            private_key=outputs.get("ssh_private_key"),
        )

    return wait


def _explain(stderr: str, stack: str | None) -> str:
    reason = " ".join(line.removeprefix("error: ") for line in stderr.strip().splitlines()[-3:])
    if "no stack" in reason:
        problem = f"stack {stack} does not exist" if stack else "no stack is selected"
        return (
            f"{problem}; list stacks with `pulumi stack ls`, or create the local one with `pulumi stack select dev` "
            "and `pulumi up`"
        )
    if "PULUMI_ACCESS_TOKEN" in reason or "login" in reason or "passphrase" in reason:
        return f"Pulumi cannot open the stack ({reason}); run `. ./env.sh` in the project first"
    return f"`pulumi stack output` failed: {reason}"
