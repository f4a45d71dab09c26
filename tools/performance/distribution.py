"""Compare copying an artifact from host to host with uploading it to each host, on local hosts; needs root.

    python -m tools.performance.distribution [--hosts 50] [--megabytes 200] [--state-dir FOLDER]

Hosts are spread over five regions of the emulated network, with real round-trip times. The content is random, so
compression does not help. Both methods end when every host has verified its files. The output has wall times and the
bytes that left the operator. On a real testbed the operator's uplink is slower than this machine's memory, which makes
uploading to each host slower still.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from fakes.local_testbed import LocalTestbed  # noqa: E402

from benchmark.artifacts import store as hosts  # noqa: E402
from benchmark.artifacts.binaries import artifact_name, pack  # noqa: E402
from benchmark.artifacts.distribution import distribute  # noqa: E402

REGIONS = ("us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-northeast-1")
DEADLINE_S = 3600.0


def timed(work: Callable[[], object]) -> float:
    """Return how long `work` takes in seconds."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def compare(testbed: LocalTestbed, megabytes: int, folder: Path) -> None:
    """Print a line for each step of both methods."""
    file = folder / "binary"
    file.write_bytes(secrets.token_bytes(megabytes << 20))
    files = {"binary": file}
    name, packed = artifact_name(files), pack(files)
    working, (root, *others) = testbed.settings.working_dir, testbed.inventory.hosts
    command = hosts.command(working, "store", name)

    rtt_ms = testbed.testbed.round_trips().between_regions()

    def take(receivers: list[str]) -> None:
        testbed.fleet.run(command, hosts=receivers, stdin=packed, deadline=DEADLINE_S).raise_for_failures("store")

    names = [host.name for host in others]
    first = timed(lambda: take([root.name]))
    print(f"operator to one host   {first:8.2f} s  {len(packed) >> 20} MiB left the operator", flush=True)
    between = timed(lambda: distribute(testbed.fleet, working, name, root, others, rtt_ms))
    print(f"host to {len(others)} hosts       {between:8.2f} s  0 MiB", flush=True)
    testbed.fleet.run(f"rm -rf {working}/{hosts.FOLDER}", hosts=names, deadline=60).raise_for_failures("rm")
    each = timed(lambda: take(names))
    print(f"operator to {len(others)} hosts   {each:8.2f} s  {len(packed) * len(others) >> 20} MiB")
    print(f"host to host takes {between / each:.2f} of that time, {(first + between) / each:.2f} with the first upload")


def main() -> None:
    """Create a local testbed and compare both methods on it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hosts", type=int, default=50)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--state-dir", type=Path, help="folder of the hosts' files; needs space for all copies")
    given = parser.parse_args()
    regions = {region: len(range(index, given.hosts, len(REGIONS))) for index, region in enumerate(REGIONS)}
    with tempfile.TemporaryDirectory(dir=given.state_dir) as folder:
        os.environ["GEOBENCH_STATE_DIR"] = f"{folder}/state"
        with LocalTestbed(
            "distribution", {name: count for name, count in regions.items() if count}, Path(folder)
        ) as made:
            compare(made, given.megabytes, Path(folder))


if __name__ == "__main__":
    main()
