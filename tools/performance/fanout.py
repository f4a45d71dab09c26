"""Compare the fleet with Fabric's ThreadingGroup and with OpenSSH processes, over loopback.

    python -m tools.performance.fanout [--hosts 5 50] [--repeat 5]

Each contender opens N connections to the same `sshd` and runs `true` on each, then runs it again on the open
connections (OpenSSH keeps none and connects again). Rounds are interleaved, so that all contenders see the same machine
load. The table has each contender's median in seconds and its ratio to the fleet's.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from fabric import Config, Connection, ThreadingGroup  # noqa: E402
from fakes.sshd import USER, Sshd  # noqa: E402

from benchmark.inventory import Host  # noqa: E402
from benchmark.remote.fleet import Fleet  # noqa: E402
from benchmark.remote.openssh import known_hosts_line, openssh_command  # noqa: E402

Times = tuple[float, float]


def timed(work: Callable[[], object]) -> float:
    """Return how long `work` takes in seconds."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def with_fleet(server: Sshd, hosts: list[Host]) -> Times:
    with Fleet(hosts, USER, server.user_key, timeout=timedelta(seconds=30), retries=0) as fleet:

        def run() -> None:
            fleet.run("true", deadline=60).raise_for_failures("benchmark")

        # A command that finds no connection opens it, as Fabric's group does.
        return timed(run), timed(run)


def with_group(server: Sshd, hosts: list[Host]) -> Times:
    options = {"key_filename": str(server.user_key), "allow_agent": False, "look_for_keys": False}
    group = ThreadingGroup.from_connections(
        Connection(host.address, user=USER, port=host.ssh_port, config=Config(lazy=True), connect_kwargs=options)
        for host in hosts
    )
    # A group keys its results by address, which all connections share here: give each a separate name.
    for host, connection in zip(hosts, group, strict=True):
        connection.original_host = host.name

    def run() -> None:
        group.run("true", hide=True, in_stream=False)

    try:
        return timed(run), timed(run)
    finally:
        group.close()


def with_openssh(server: Sshd, hosts: list[Host]) -> Times:
    known_hosts = server.folder / "known_hosts"
    known_hosts.write_text("".join(map(known_hosts_line, hosts)), encoding="utf-8")
    commands = [openssh_command(host, USER, server.user_key, known_hosts, ["true"]) for host in hosts]

    def run() -> None:
        running = [subprocess.Popen(command, stdin=subprocess.DEVNULL) for command in commands]
        codes = [process.wait() for process in running]
        if any(codes):
            raise SystemExit("an OpenSSH process failed")

    return timed(run), timed(run)


CONTENDERS = {"fleet": with_fleet, "fabric group": with_group, "openssh": with_openssh}


def compare(server: Sshd, count: int, repeat: int) -> None:
    """Print the table for `count` hosts."""
    hosts = [server.host(f"host-{index}") for index in range(count)]
    seen: dict[str, list[Times]] = {name: [] for name in CONTENDERS}
    for _ in range(repeat):
        for name, contender in CONTENDERS.items():
            seen[name].append(contender(server, hosts))
    medians = {
        name: [statistics.median(column) for column in zip(*rounds, strict=True)] for name, rounds in seen.items()
    }
    print(f"\n{count} hosts           connect + command      next command")
    for name, (first, further) in medians.items():
        first_ratio, further_ratio = first / medians["fleet"][0], further / medians["fleet"][1]
        print(f"{name:16} {first:8.3f} s {first_ratio:6.2f} x {further:10.3f} s {further_ratio:6.2f} x")


def main() -> None:
    """Print a table for each number of hosts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hosts", type=int, nargs="+", default=[5, 50])
    parser.add_argument("--repeat", type=int, default=5)
    given = parser.parse_args()
    with Sshd() as server:
        for count in given.hosts:
            compare(server, count, given.repeat)


if __name__ == "__main__":
    main()
