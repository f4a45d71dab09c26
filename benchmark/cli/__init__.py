"""The command line: the only package that prints, and the only one that knows rich and the option parser."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from benchmark.cli import hosts as _hosts  # noqa: F401 - adds its commands
from benchmark.cli import profile as _profiles  # noqa: F401
from benchmark.cli import report as _reports  # noqa: F401
from benchmark.cli import run as _runs  # noqa: F401
from benchmark.cli import search as _searches  # noqa: F401
from benchmark.cli.commands import cli
from benchmark.errors import TestbedError

_MULTIPLE = ("--loads",)


def spread(arguments: Sequence[str]) -> list[str]:
    """Write `--loads 200 1000` as `--loads 200 --loads 1000`, which the option parser understands."""
    found: list[str] = []
    option = None
    for argument in arguments:
        if argument.startswith("-"):
            option = argument if argument in _MULTIPLE else None
            fresh = option is not None
            found.append(argument)
        elif option and not fresh:
            found += [option, argument]
        else:
            found.append(argument)
            fresh = False
    return found


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; exit code 0 done, 1 failed, 2 bad usage, 3 infrastructure, 130 interrupted."""
    _interrupt_once()
    program = "geobench" if Path(sys.argv[0]).name == "geobench" else "python -m benchmark"
    try:
        cli.main(spread(sys.argv[1:] if arguments is None else arguments), prog_name=program, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except TestbedError as error:
        click.secho(f"error: {error}", fg="red", err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.secho("interrupted", err=True)
        sys.exit(130)
    sys.exit(0)


def _interrupt_once() -> None:
    """Let the first Ctrl-C, SIGTERM or hang-up interrupt; further ones must not break the cleaning up."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, lambda *_: click.secho("cleaning up, one moment", err=True))
        raise KeyboardInterrupt

    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, interrupt)
