"""Measure `pulumi up` of Vultr servers that take their time to be installed, and `pulumi destroy`.

    python -m tools.performance.vultr [--hosts 100] [--install 45]

The API is the tests' emulator, with Vultr's rate limit and without machines that boot.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from fakes.vultr_account import idle_vultr_stack  # noqa: E402

REGIONS = ("ewr", "ord", "fra", "lhr", "nrt", "sea", "sto", "bom", "sgp", "syd")


def main() -> None:
    """Print the time of each command, the number of requests, and how many the rate limit rejected."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=100, help="a multiple of 10")
    parser.add_argument("--install", type=float, default=45.0, help="seconds until a server is installed")
    options = parser.parse_args()
    settings = (
        f"cloud_provider: vultr\nregions: [{', '.join(REGIONS)}]\nspecs: vc2-4c-8gb\n"
        f"instances: {options.hosts // len(REGIONS)}\noperator_cidrs: [198.51.100.7/32]\n"
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        idle_vultr_stack(Path(folder), "vultr-many", settings, install_s=options.install) as (stack, vultr),
    ):
        for command in ("up", "up", "refresh", "destroy"):
            began, before, throttled = time.monotonic(), len(vultr.api.requests), vultr.api.throttled
            stack.pulumi(command, "--yes", "--skip-preview")
            seconds, requests = time.monotonic() - began, len(vultr.api.requests) - before
            rejected = vultr.api.throttled - throttled
            print(
                f"{command:<8} {seconds:6.1f} s  {len(vultr.machines)} servers  {requests} requests, {rejected} "
                "above the rate limit",
                flush=True,
            )


if __name__ == "__main__":
    main()
