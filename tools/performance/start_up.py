"""Measure the start-up of commands: seconds and processor time of their process, and of Pulumi where they call it.

    python -m tools.performance.start_up [--repeat 10] [--checkout FOLDER]

Prints for each command the medians and the number of modules that it imports. What is imported is compiled first.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = (
    ("--help",),
    ("run", "--help"),
    ("status", "--help"),
    ("results",),
)
RUNNER = "benchmark.cli.experiments"
"""What `run` imports while Pulumi reads the stack."""


def measure(words: Sequence[str], checkout: Path, cache: Path) -> tuple[float, float, int]:
    """Run Python with `words`; return its seconds, the processor time with children, and the modules it imported."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(cache), "PYTHONDONTWRITEBYTECODE": ""}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run([sys.executable, *words], cwd=checkout, env=environment, capture_output=True, check=False)
    seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    traced = subprocess.run(
        [sys.executable, "-X", "importtime", *words],
        cwd=checkout,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    modules = sum(line.startswith("import time:") for line in traced.stderr.splitlines())
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, modules


def main() -> None:
    """Print a line for each command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--checkout", type=Path, default=ROOT, help="whose commands are measured")
    given = parser.parse_args()
    calls = {" ".join(("geobench", *words)): ("-m", "benchmark", *words) for words in COMMANDS}
    calls[f"import {RUNNER}"] = ("-c", f"import {RUNNER}")
    with tempfile.TemporaryDirectory() as cache, tempfile.TemporaryDirectory() as empty:
        calls["geobench results, folder given"] = ("-m", "benchmark", "results", "--results-dir", empty)
        print(f"{'':36}{'seconds':>8} {'processor s':>12} {'modules':>8}")
        for name, words in calls.items():
            measure(words, given.checkout, Path(cache))
            found = [measure(words, given.checkout, Path(cache)) for _ in range(given.repeat)]
            seconds, processor = (statistics.median(one[index] for one in found) for index in (0, 1))
            print(f"{name:36}{seconds:8.2f} {processor:12.2f} {found[0][2]:8}")


if __name__ == "__main__":
    main()
