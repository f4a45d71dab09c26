"""Exceptions of this project, each with an exit code.

    TestbedError                 1  anything below
    ├── UsageError               2  the command line or a settings file is wrong
    │   └── SettingsError        2  file, field, what was found, what is accepted
    ├── InfrastructureError      3  a host, the network or the monitoring failed
    │   ├── HostError            3  one or several named hosts
    │   └── LockedError          3  another run holds the testbed
    ├── StorageError             3  this machine's disk does not take the results
    ├── SystemFailure            1  the system under test failed; contains its last log lines
    └── Interrupted            130  Ctrl-C or SIGTERM

A message states what was found, what was expected and what to do next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal


class TestbedError(Exception):
    """Base class of all errors that this project raises intentionally."""

    exit_code = 1
    __test__ = False  # pytest would collect the name


class UsageError(TestbedError):
    """A command or a file of the user is invalid."""

    exit_code = 2


class SettingsError(UsageError):
    """A settings file or a stack's configuration is invalid."""


class InfrastructureError(TestbedError):
    """The testbed, not the system under test, failed."""

    exit_code = 3


class HostError(InfrastructureError):
    """One or several hosts failed; `hosts` maps each name to its reason."""

    def __init__(self, message: str, hosts: Mapping[str, str]) -> None:
        self.hosts = dict(hosts)
        shown = [f"  {name}: {reason}" for name, reason in list(self.hosts.items())[:5]]
        if len(self.hosts) > 5:
            shown.append(f"  and {len(self.hosts) - 5} more")
        super().__init__("\n".join([message, *shown]))


class LockedError(InfrastructureError):
    """Another run holds the testbed."""


class StorageError(TestbedError):
    """The results cannot be written to this machine's disk."""

    exit_code = 3


class SystemFailure(TestbedError):
    """The system under test died, did not become ready or was not built."""

    def __init__(self, message: str, *, process: str = "", log_tail: str = "") -> None:
        self.process = process
        shown = "".join(f"\n  {line}" for line in log_tail.splitlines())
        whose = f"\nlast log lines of {process}:" if "\n" in message else "; its last log lines:"
        super().__init__(f"{message}{whose}{shown}" if shown else message)


class Interrupted(TestbedError):
    """The run was stopped by Ctrl-C or SIGTERM."""

    exit_code = 130


FailureKind = Literal["infrastructure", "system", "tool"]
"""What failed: the testbed, the system under test, or this program and its input."""


def failure_kind(error: BaseException) -> FailureKind:
    """Return what failed according to an error."""
    if isinstance(error, InfrastructureError):
        return "infrastructure"
    return "system" if isinstance(error, SystemFailure) else "tool"
