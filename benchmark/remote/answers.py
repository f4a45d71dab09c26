"""Read what scripts printed on hosts, which may print anything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmark.errors import InfrastructureError

_SHOWN = 500


@contextmanager
def reading(what: str, text: str) -> Iterator[None]:
    """Turn errors of the block, which reads `text`, into an InfrastructureError that shows the end of it."""
    try:
        yield
    except (LookupError, ValueError, OverflowError, OSError) as error:
        raise InfrastructureError(f"could not read {what} ({error}); the host printed:\n{text[-_SHOWN:]}") from None
