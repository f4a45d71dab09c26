"""Print errors, warnings and notes to standard error, in colour only where the terminal shows it."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import termios

import click

# Control characters but newline and tab, those that change the direction of text, and bytes that are no text.
_UNPRINTABLE = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


_COLOURS = re.compile("\x1b\\[[0-9;]*m")


def printable(text: str) -> str:
    """Escape what would act on a terminal, and drop colours: texts come from logs and hosts."""
    plain = _COLOURS.sub("", text.replace("\r\n", "\n"))
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], plain)


def error(text: str) -> None:
    """Print an error."""
    _print(f"error: {text}", "red")


def warning(text: str) -> None:
    """Print a warning."""
    _print(f"warning: {text}", "yellow")


def note(text: str) -> None:
    """Print progress or advice."""
    _print(text, None)


def terminal_is_gone() -> bool:
    """Return whether standard output or error is a terminal that has hung up."""
    for descriptor in (1, 2):
        try:
            termios.tcgetattr(descriptor)
        except termios.error as error:
            if error.args[0] == errno.EIO:
                return True
    return False


def _print(text: str, colour: str | None) -> None:
    # click knows neither NO_COLOR (no-color.org) nor dumb terminals.
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    with contextlib.suppress(OSError):  # the terminal went away; nobody reads this, and it must not end a run
        click.secho(printable(text), fg=colour, err=True, color=False if plain else None)
