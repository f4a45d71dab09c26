"""Which stack owns a local testbed, so that another stack or checkout cannot take its hosts away.

The owner is recorded in the folder of the testbed's network when that is created, and forgotten with the network.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from benchmark.errors import InfrastructureError
from stacks.local.root import as_root
from stacks.local.wan.addresses import state_folder, write_atomically


class Owner(NamedTuple):
    """A stack, and the folder of its Pulumi project."""

    stack: str
    project: str

    @classmethod
    def here(cls, stack: str) -> Owner:
        """Return the owner that `stack` is: Pulumi runs programs and providers in the folder of the project."""
        return cls(stack, str(Path.cwd().resolve()))


def claim(testbed_id: str, owner: Owner) -> None:
    """Record the owner of a testbed. InfrastructureError if it belongs to another one."""
    require_owner(testbed_id, owner)
    file = _file(testbed_id)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, json.dumps(owner._asdict()))


def find_owner(testbed_id: str) -> Owner | None:
    """Return the recorded owner; None if there is none, or if its project no longer exists."""
    try:
        found = json.loads(_file(testbed_id).read_text(encoding="utf-8"))
        owner = Owner(str(found["stack"]), str(found["project"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return owner if Path(owner.project, "Pulumi.yaml").exists() else None


@as_root
def require_owner(testbed_id: str, owner: Owner) -> None:
    """Raise InfrastructureError if the testbed belongs to a stack other than `owner`, which is named."""
    found = find_owner(testbed_id)
    if found is not None and found != owner:
        raise InfrastructureError(
            f"testbed_id: {testbed_id} exists on this machine and belongs to stack {found.stack} of {found.project}; "
            f"choose another name (`pulumi config set testbed_id {testbed_id}-2`), or remove that testbed with "
            f"`pulumi destroy` in {found.project}. If that stack is gone for good, delete {_file(testbed_id)}"
        )


def _file(testbed_id: str) -> Path:
    return state_folder() / testbed_id / "network" / "owner"
