"""Run commands in bash whatever the login shell of a host is, and mark where their output begins."""

from __future__ import annotations

BEGIN = b"\x1egeobench\x1e\n"
"""Precedes the output of the command in both of its streams: start-up files of login shells may print, too."""

# `--norc` and SHLVL keep bash, which sshd started, from reading ~/.bashrc again, here and in the command's own shells.
_RUN = (
    r'export SHLVL=2; printf "\036geobench\036\n"; printf "\036geobench\036\n" >&2; '
    r'printf -v script %b "$1"; shift; eval "$script"'
)
_SPECIAL = frozenset("'\\!\n")
"""Characters that sh, csh and fish read differently within single quotes."""


def in_bash(command: str) -> str:
    """Return the command line that runs `command` in bash; sh, bash, zsh, csh and fish read it alike."""
    escaped = "".join(f"\\0{ord(character):03o}" if character in _SPECIAL else character for character in command)
    return f"exec bash --norc -c '{_RUN}' bash '{escaped}'"
