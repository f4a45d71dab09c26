"""Deadlines of remote commands in seconds, by what a command does.

Commands that take as long as their data, such as builds and downloads, have their own in the module that runs them.
"""

from __future__ import annotations

ANSWER_S = 10.0
"""One line, or a file of a few lines."""
QUERY_S = 15.0
"""A command that reads local data."""
CHANGE_S = 30.0
"""A probe, a few files, the reload of a service, the end of all processes."""
INSPECT_S = 60.0
"""A command that reads a lot of data, queries the package manager, or starts a server."""
SET_UP_S = 120.0
"""The files of all processes of a run, or the services of a machine."""
