"""Show errors of dynamic resources as their message alone."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import TypeVar

from benchmark.errors import TestbedError

T = TypeVar("T")


def hide_traceback(method: Callable[..., T]) -> Callable[..., T]:
    """Raise a TestbedError or OSError of a provider's method without the traceback that Pulumi prints.

    The result takes any arguments, as Pulumi passes plain dictionaries, so `method` may declare typed ones.
    """

    @functools.wraps(method)
    def wrapped(*args: object, **kwargs: object) -> T:
        try:
            return method(*args, **kwargs)
        except (TestbedError, OSError):
            sys.tracebacklimit = 0
            raise

    return wrapped
