"""Measure `pulumi preview` for the cloud example settings at several sizes: resources and seconds. Needs root.

    python -m tools.performance.preview [--hosts 100 200 500]

The providers are the tests' emulators, which answer look-ups at once: the time is that of the program and of Pulumi's
engine. A real preview also waits for the clouds.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from fakes.emulated_clouds import emulated_site  # noqa: E402
from fakes.pulumi_stack import Stack  # noqa: E402

REGIONS = 10
CLOUDS = ("aws", "vultr")


def resources(output: str) -> int:
    """Return the number of resources to create from the output of a preview."""
    found = re.search(r"\+ (\d+) to create", output)
    if found is None:
        raise ValueError(f"no `+ N to create` in the output of pulumi preview: {output[-500:]}")
    return int(found[1])


@contextmanager
def stack_in_clouds(folder: Path, name: str) -> Iterator[Stack]:
    """Yield a stack that previews against emulated clouds; `name` names both."""
    with emulated_site(folder, name) as site:
        stack = Stack(folder / "stack", name)
        stack.environment |= {**site.environment, "OPERATOR_CIDR": site.operator}
        yield stack


def measure(stack: Stack, cloud: str, hosts: int) -> tuple[int, float]:
    """Preview `hosts` hosts over ten regions; return the number of resources and the time in s."""
    settings = ROOT / "assets" / f"settings.{cloud}.yaml"
    began = time.monotonic()
    output = stack.pulumi("preview", "-c", f"settings={settings}", "-c", f"instances={hosts // REGIONS}")
    return resources(output), time.monotonic() - began


def main() -> None:
    """Print a line for each cloud and size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, nargs="+", default=[100, 200, 500], help="multiples of 10")
    options = parser.parse_args()
    print(f"{'cloud':<6} {'hosts':>6} {'resources':>10} {'seconds':>8}")
    with tempfile.TemporaryDirectory() as folder, stack_in_clouds(Path(folder), "preview") as stack:
        for cloud in CLOUDS:
            for hosts in options.hosts:
                count, seconds = measure(stack, cloud, hosts)
                print(f"{cloud:<6} {hosts:>6} {count:>10} {seconds:>8.1f}", flush=True)


if __name__ == "__main__":
    main()
