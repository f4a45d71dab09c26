"""What is to be undone on this host, kept in a file, so that it can be undone after the script was killed."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .children import kill
from .disk import remove
from .mechanism import ProblemError
from .nft import delete_table
from .processes import continue_group, read_stat
from .throttle import leave_group, restore_device

STATE, OWN_PID = Path("faults.json"), Path("injector.pid")
UNDO: Mapping[str, Callable[..., None]] = {
    "table": delete_table,
    "continue": continue_group,
    "kill": kill,
    "remove": remove,
    "group": leave_group,
    "device": restore_device,
}
"""What undoes each action that mechanisms name."""


def place_state() -> None:
    """Have the file elsewhere, where this user may write: a fault may fill or stop the disk of this folder."""
    if os.geteuid() == 0 and not os.path.lexists(STATE):
        name = hashlib.sha256(f"{Path.cwd()}".encode()).hexdigest()[:16]
        Path("/run", f"geobench-faults-{name}.json").unlink(missing_ok=True)
        STATE.symlink_to(f"/run/geobench-faults-{name}.json")


def read_state() -> dict[str, list[list[Any]]]:
    """Return what is to be undone, by the fault's id."""
    try:
        found: dict[str, list[list[Any]]] = json.loads(STATE.read_text())
    except FileNotFoundError:
        return {}
    return found


def write_state(state: dict[str, list[list[Any]]]) -> None:
    """Write what is to be undone; the former file is replaced as a whole."""
    file = Path(os.path.realpath(STATE))
    new = file.with_suffix(".new")
    new.write_text(json.dumps(state))
    new.replace(file)


def heal_leftovers() -> None:
    """End a script that still serves, undo what the file says, and remove it. Raises ProblemError."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        pid, start = (int(word) for word in OWN_PID.read_text().split())
        for number in (signal.SIGTERM, signal.SIGKILL):
            end = time.monotonic() + 3
            while (stat := read_stat(pid)) and stat[2] == start and stat[0] != "Z" and time.monotonic() < end:
                os.kill(pid, number)
                time.sleep(0.05)
        OWN_PID.unlink(missing_ok=True)
    undo_leftovers()


def undo_leftovers() -> None:
    """Undo what the file says, and remove it. Raises ProblemError."""
    folder = os.open(".", os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # the script, its watchdog and the next run may do so at the same time
        left, problems = undo_all([action for actions in read_state().values() for action in actions])
        if left:
            write_state({"left": left})
            raise ProblemError("; ".join(problems))
        Path(os.path.realpath(STATE)).unlink(missing_ok=True)
        STATE.unlink(missing_ok=True)
    finally:
        os.close(folder)


def undo_all(actions: Sequence[list[Any]]) -> tuple[list[list[Any]], list[str]]:
    """Undo actions; return those that could not be undone, and why."""
    left, problems = [], []
    for action in actions:
        try:
            UNDO[action[0]](*action[1:])
        except (ProblemError, OSError) as error:
            left.append(action)
            problems.append(str(error))
    return left, problems
