"""The logs of a run's processes, as they are in its folder: HOST/PROCESS.log.gz."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from benchmark.errors import UsageError
from benchmark.results.log_findings import LIMIT

SUFFIX = ".log.gz"


def find_logs(folder: Path, process: str | None) -> list[Path]:
    """Return the logs in a run's folder of logs, all or that of `process`; UsageError names the existing ones."""
    found = sorted(folder.glob(f"*/{process or '*'}{SUFFIX}"))
    if not found:
        have = ", ".join(sorted(log_name(path) for path in folder.glob(f"*/*{SUFFIX}"))) or "none"
        raise UsageError(f"no logs of {process or 'any process'} in {folder}; existing ones: {have}")
    return found


def log_name(path: Path) -> str:
    """Return the name of the process that wrote a log."""
    return path.name.removesuffix(SUFFIX)


def read_log(path: Path, limit: int = 2 * LIMIT) -> str:
    """Return the text of a log, of an overlong one the first `limit` characters; invalid bytes are replaced.

    UsageError if the file is damaged: it comes from a host.
    """
    try:
        with gzip.open(path, "rt", encoding="utf-8", errors="replace") as file:
            return file.read(limit)
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"cannot read the log {path}: {error}") from None
