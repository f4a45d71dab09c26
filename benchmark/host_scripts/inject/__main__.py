"""Run the script: `python3 inject.pyz serve|heal RUN_DIRECTORY MARK [SSH_CONNECTION…]`."""

from __future__ import annotations

import contextlib
import os
import signal
import sys

from .agent import Agent, serve
from .leftovers import OWN_PID, heal_leftovers, place_state
from .mechanism import ProblemError
from .processes import read_stat


def main(arguments: list[str]) -> int:
    """Serve, or heal what is left; return the exit code."""
    mode, directory, *rest = arguments
    os.chdir(directory)
    if mode == "serve":
        own = read_stat(os.getpid())
        assert own is not None
        place_state()
        OWN_PID.write_text(f"{os.getpid()} {own[2]}\n")
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, lambda *_: sys.exit(1))
        with contextlib.suppress(BrokenPipeError):
            try:
                serve(Agent(rest[0], rest[1:]))
            finally:
                for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                    signal.signal(number, signal.SIG_IGN)
                OWN_PID.unlink(missing_ok=True)
                heal_leftovers()
        return 0
    try:
        heal_leftovers()
    except (ProblemError, OSError, ValueError) as error:
        print(error)
        return 1
    return 0
