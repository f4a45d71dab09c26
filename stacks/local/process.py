"""Processes named by a file with pid and start time, as a pid alone may be reused."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from pathlib import Path
from typing import NamedTuple

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Search path of programs, whatever the caller's is."""


class Process(NamedTuple):
    """A process of this machine; the pair is unique until the machine reboots."""

    pid: int
    started: int
    """Clock ticks since boot (field 22 of /proc/PID/stat)."""


def find_process(file: Path) -> Process | None:
    """Return the process that `file` names as `PID STARTED`; None if it has ended or nothing valid is there."""
    try:
        pid, started = map(int, file.read_text(encoding="utf-8").split())
        state, *fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    return Process(pid, started) if int(fields[18]) == started and state not in "ZX" else None


def kill_process(file: Path, timeout_s: float) -> bool:
    """Kill the process that `file` names, if any, and wait; False if it has not ended after `timeout_s`."""
    process = find_process(file)
    if process is None:
        return True
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        if find_process(file) != process:  # the pid was reused before the descriptor was opened
            return True
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        return bool(select.select([descriptor], [], [], timeout_s)[0])
    finally:
        os.close(descriptor)
