"""Build the checker, a small Go program around porcupine, and run it on the history of a probe workload."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from pydantic import Field, JsonValue, ValidationError

from benchmark.errors import UsageError
from benchmark.model import Finite, StrictModel
from benchmark.results.verification import Verdict, Verification

_SOURCE = Path(__file__).parent / "checker"
_BUILD_S = 300.0
_CHECK_S = 45.0
"""For the search itself; the rest of the time is for reading the history and for the shortest window."""
_LIMIT_S = 60.0


class Window(StrictModel):
    """The operations on one key that no order explains; the content of `violation.json`."""

    key: str
    start_s: Finite
    """Seconds since the load began."""
    end_s: Finite
    before: str
    """Value of the key before the window: `absent`, or `any`."""
    operations: list[dict[str, JsonValue]]
    """As in `history.jsonl`, in the order in which they began."""


class _Answer(StrictModel):
    verdict: Verdict
    reason: str
    operations: int = Field(ge=0)
    timeouts: int = Field(ge=0)
    violation: Window | None


def build_checker() -> Path:
    """Return the checker; it is built once and kept in the cache of this user. UsageError if that fails."""
    sources = [_SOURCE / name for name in ("go.mod", "go.sum", "main.go")]
    digest = hashlib.sha256(b"\0".join(file.read_bytes() for file in sources)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "geobench"
    checker = cache / f"linearizability-checker-{digest}"
    if checker.exists():
        return checker
    least = re.findall(r"^go (\S+)$", sources[0].read_text(encoding="utf-8"), re.MULTILINE)[0]
    advice = f"install Go {least} or later (https://go.dev/dl), which builds the checker of histories once"
    go = shutil.which("go")
    if go is None:
        raise UsageError(f"go is not on PATH: {advice}")
    environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / "build.lock").open("w") as lock, tempfile.TemporaryDirectory(dir=cache) as folder:
            fcntl.flock(lock, fcntl.LOCK_EX)
            built = Path(folder, "checker")
            command = [
                go,
                "build",
                "-mod=readonly",
                "-buildvcs=false",
                "-trimpath",
                "-ldflags=-s -w",
                "-o",
                str(built),
                ".",
            ]
            done = subprocess.run(
                command, cwd=_SOURCE, env=environment, capture_output=True, text=True, timeout=_BUILD_S, check=False
            )
            if done.returncode:
                raise UsageError(f"{' '.join(done.stderr.split())[-300:]}; {advice}")
            built.replace(checker)
    except subprocess.TimeoutExpired:
        raise UsageError(f"go build did not end within {_BUILD_S:g} s") from None
    except OSError as error:
        raise UsageError(f"cannot build the checker in {cache}: {error.strerror}") from None
    return checker


def check_history(history: Path, *, limit_s: float = _LIMIT_S) -> tuple[Verification, Window | None]:
    """Check a history within `limit_s`; return the verdict, and for a violation the operations that show it.

    Whatever prevents the check makes the verdict `unknown`.
    """
    began = time.monotonic()

    def unknown(reason: str) -> tuple[Verification, None]:
        return Verification(verdict="unknown", reason=reason, seconds=time.monotonic() - began), None

    try:
        command = [str(build_checker()), str(history), f"{limit_s * _CHECK_S / _LIMIT_S:.3f}"]
    except UsageError as error:
        return unknown(f"no checker: {error}")
    began = time.monotonic()
    try:
        done = subprocess.run(command, capture_output=True, timeout=limit_s, check=False)
        answer = _Answer.model_validate_json(done.stdout)
    except subprocess.TimeoutExpired:
        return unknown(f"the check did not end within {limit_s:g} s")
    except OSError as error:
        return unknown(f"cannot run the checker: {error.strerror}")
    except ValidationError:
        lines = done.stderr.decode("utf-8", "replace").splitlines()
        return unknown(f"the checker failed with exit code {done.returncode}: {lines[0] if lines else 'no output'}")
    verification = Verification(
        verdict=answer.verdict,
        reason=answer.reason,
        operations=answer.operations,
        timeouts=answer.timeouts,
        seconds=time.monotonic() - began,
    )
    return verification, answer.violation
