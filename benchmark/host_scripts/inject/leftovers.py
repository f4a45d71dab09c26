"""What is to be undone on this host, kept in a file, so that it can be undone after the script was killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .mechanism import ProblemError
from .packets import delete_table
from .processes import continue_group, read_stat

STATE, OWN_PID = Path("faults.json"), Path("injector.pid")
UNDO: Mapping[str, Callable[..., None]] = {"table": delete_table, "continue": continue_group}
"""What undoes each action that mechanisms name."""


def read_state() -> dict[str, list[list[Any]]]:
    """Return what is to be undone, by the fault's id."""
    try:
        found: dict[str, list[list[Any]]] = json.loads(STATE.read_text())
    except FileNotFoundError:
        return {}
    return found


def write_state(state: dict[str, list[list[Any]]]) -> None:
    """Write what is to be undone; the former file is replaced as a whole."""
    new = STATE.with_suffix(".new")
    new.write_text(json.dumps(state))
    new.replace(STATE)


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
    left: list[list[Any]] = []
    problems = []
    for action in [action for actions in read_state().values() for action in actions]:
        try:
            UNDO[action[0]](*action[1:])
        except ProblemError as error:
            left.append(action)
            problems.append(str(error))
    if left:
        write_state({"left": left})
        raise ProblemError("; ".join(problems))
    STATE.unlink(missing_ok=True)
