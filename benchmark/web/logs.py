"""The end of a process's log: what the runner copies on request, or after the run the collected log."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from benchmark.results.live_feed import TAIL_LIMIT, tail_path
from benchmark.results.run_folder import LOGS

_READ_LIMIT = 64 << 20
"""Bytes of a collected log that are read for its end: it comes from a host, and may expand to any size."""
_CHUNK = 1 << 20


def log_tail(folder: Path, process: str, host: str) -> str | None:
    """Return the end of a log; None if there is none yet. Invalid bytes are replaced."""
    try:
        with gzip.open(folder / LOGS / host / f"{process}.log.gz") as file:
            end, read = b"", 0
            while read < _READ_LIMIT and (chunk := file.read(_CHUNK)):
                read += len(chunk)
                end = (end + chunk)[-TAIL_LIMIT:]
            return end.decode("utf-8", "replace")
    except FileNotFoundError:
        pass
    except (OSError, EOFError, zlib.error) as error:
        return f"cannot read the log: {error}"
    try:
        with tail_path(folder, process).open("rb") as file:
            return file.read(TAIL_LIMIT).decode("utf-8", "replace")
    except OSError:
        return None
