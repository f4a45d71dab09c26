"""Count the resources and the seconds of `pulumi preview` for the example settings of the clouds, at several sizes.

    sudo -E python -m tools.performance.preview [--hosts 100 200 500]

The providers are the tests' emulators: what they answer to look-ups costs no time worth speaking of, so the seconds
are those of the program and of Pulumi's engine. A real preview adds the clouds' own answers.
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
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from fakes.emulated_clouds import emulated_site  # noqa: E402
from fakes.pulumi_stack import Stack  # noqa: E402

REGIONS = 10
CLOUDS = ("aws", "vultr")


def resources(output: str) -> int:
    """Read from a preview's summary how many resources it would create."""
    found = re.search(r"\+ (\d+) to create", output)
    if found is None:
        raise ValueError(f"no `+ N to create` in what pulumi printed: {output[-500:]}")
    return int(found[1])


@contextmanager
def stack_in_clouds(folder: Path, name: str) -> Iterator[Stack]:
    """Give a stack that can be previewed, with settings named on the command line, in emulated clouds of that name."""
    with emulated_site(folder, name) as site:
        stack = Stack(folder / "stack", name)
        stack.environment |= {**site.environment, "OPERATOR_CIDR": site.operator}
        yield stack


def measure(stack: Stack, cloud: str, hosts: int) -> tuple[int, float]:
    """Return the resources of a preview with that many hosts over ten regions, and how long it took (s)."""
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
