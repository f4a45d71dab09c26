"""The command line: the only package that prints, and the only one that knows click and rich."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from benchmark.cli import messages
from benchmark.cli.commands import COMPLETE_VARIABLE, cli
from benchmark.errors import StorageError, TestbedError, UsageError

_MULTIPLE = ("--loads", "--faults", "--phases")
_RENAMED = {"--profile": "--load-shape"}
"""Options of earlier versions and their present names."""
_AGAIN_S = 0.02


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; exit code 0 done, 1 failed, 2 bad usage, 3 infrastructure, 130 interrupted."""
    _interrupt_once()
    program = "geobench" if Path(sys.argv[0]).name == "geobench" else "python -m benchmark"
    words = repeat_option(sys.argv[1:] if arguments is None else arguments)
    code = 0
    try:
        reject_empty(words)
        if COMPLETE_VARIABLE in os.environ:
            import_module("benchmark.cli.completion")  # registers how bash is answered
        cli.main(words, prog_name=program, complete_var=COMPLETE_VARIABLE, standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        if isinstance(error, click.NoSuchOption) and error.option_name in _RENAMED:
            message = f"No such option '{error.option_name}'; it is called '{_RENAMED[error.option_name]}' now."
            error = click.NoSuchOption(error.option_name, message, ctx=error.ctx)
        error.show()
        code = 2
    except TestbedError as error:
        messages.error(str(error))
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        messages.note("interrupted")
        code = 130
    except OSError as error:
        code = 130 if messages.terminal_is_gone() else 1 if error.errno == errno.EPIPE else StorageError.exit_code
        if code == StorageError.exit_code:
            where = f"{error.filename}: " if error.filename else ""
            messages.error(f"{where}{error.strerror or error}")
        _discard_output()
    if messages.terminal_is_gone():
        _discard_output()
    sys.exit(code)


def _discard_output() -> None:
    """Keep the interpreter from flushing output that nobody takes, which would fail and change the exit code."""
    for stream in (sys.stdout, sys.stderr):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def reject_empty(words: Sequence[str]) -> None:
    """Raise UsageError for an empty argument, such as `--name ''` of an unset variable: it must not mean "not given".

    What follows `ssh HOST` is the command of another program.
    """
    for before, word in pairwise(["", *words]):
        takes_value = before.startswith("--") and "=" not in before
        if not word or (word.startswith("--") and word.endswith("=")):
            option = word or (before if takes_value else "an argument")
            raise UsageError(f"{option.rstrip('=')} is empty; give it a value or omit it")
        if words[0] == "ssh" and before and not takes_value and not word.startswith("-"):
            return


def repeat_option(arguments: Sequence[str]) -> list[str]:
    """Write `--loads 200 1000`, or `--loads=200 1000`, as `--loads 200 --loads 1000`, which click can parse."""
    found: list[str] = []
    option = None
    for argument in arguments:
        if argument.startswith("-"):
            name, equals, _ = argument.partition("=")
            option = name if name in _MULTIPLE else None
            first = option is not None and not equals
            found.append(argument)
        elif option and not first:
            found += [option, argument]
        else:
            found.append(argument)
            first = False
    return found


def _interrupt_once() -> None:
    """Interrupt on the first Ctrl-C, SIGTERM or SIGHUP; further ones must not break the clean-up.

    SIGHUP stays ignored under nohup.
    """
    signals = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signals.append(signal.SIGHUP)

    def interrupt(number: int, frame: FrameType | None) -> None:
        while frame:
            if frame.f_code.co_name == "__del__":  # Python ignores exceptions in finalizers: try again outside
                threading.Timer(_AGAIN_S, os.kill, (os.getpid(), number)).start()
                return
            frame = frame.f_back
        for each in signals:
            signal.signal(each, lambda *_: messages.note("cleaning up, one moment"))
        raise KeyboardInterrupt

    for each in signals:
        signal.signal(each, interrupt)
