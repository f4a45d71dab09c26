"""How errors of dynamic resources look: pulumi shows the traceback of whatever a provider raises."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from benchmark.errors import TestbedError

P = ParamSpec("P")
T = TypeVar("T")


def plain_errors(method: Callable[P, T]) -> Callable[P, T]:
    """Show what went wrong with the testbed or the machine's disk as its message alone."""

    @functools.wraps(method)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except (TestbedError, OSError):
            sys.tracebacklimit = 0
            raise

    return wrapped
