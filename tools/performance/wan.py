"""Measure how many packets the emulated network moves, and what each costs: packets/s, processor time and delay.

    python -m tools.performance.wan                                    # 10 regions, a host each
    python -m tools.performance.wan --baseline ../main --pairs 3       # alternating with another checkout

Needs root. Hosts are bare network namespaces; two of them send UDP packets of 200 bytes to all others. Scheduling delay
is that of the emulator: how long after it was due a packet was delivered. Senders have a real-time priority below the
emulator's, so other processes on the machine hardly matter.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from benchmark.settings import Network
from stacks.local.wan import network as network_module
from stacks.local.wan.links import links_for
from stacks.local.wan.network import WideAreaNetwork
from tools.accuracy.wan_accuracy import namespaces, processes

ROOT = Path(__file__).resolve().parents[2]
SENDERS = 2

HOST = """
import itertools, os, socket, sys, time
sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); sink.bind(("", 9)); print("ready", flush=True)
rate, addresses = float(sys.argv[1]), sys.argv[2:]
if not rate: time.sleep(3600)
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(5))
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); start = time.monotonic(); payload = bytes(172)
for sent, address in enumerate(itertools.cycle(addresses)):
    ahead = sent / rate - (time.monotonic() - start)
    if ahead > 0.0002: time.sleep(ahead)
    sender.sendto(payload, (address, 9))
"""


class Figures(TypedDict):
    """What was measured at one rate."""

    packets_per_s: float
    cpu_us: float
    """Processor time of the emulator per packet, µs."""
    cores: float
    """Processor time of the emulator per second."""
    p50_ms: float
    p99_ms: float
    """Quantiles of the scheduling delay: the upper bounds of their buckets, ms."""


def measure(rate: float, seconds: float, hosts: int, workers: int | None) -> Figures:
    """Send `rate` packets/s between `hosts` hosts with the emulator of the checkout that Python imports."""
    if workers:
        network_module.WORKERS = workers
    names = [f"r{number}" for number in range(hosts)]
    rtt_ms = {f"{a}/{b}": 20.0 + 7 * (j - i) for i, a in enumerate(names) for j, b in enumerate(names) if i < j}
    network = WideAreaNetwork(f"performance-{os.getpid()}")
    try:
        network.start(links_for(names, Network(rtt_ms=rtt_ms, internet=False)))
        with namespaces(hosts) as pids:
            addresses = [network.claim_address(name) for name in names]
            for name, address, pid in zip(names, addresses, pids, strict=True):
                network.attach(name, name, address, pid)
            commands = []
            for number, (address, pid) in enumerate(zip(addresses, pids, strict=True)):
                others = [other for other in addresses if other != address]
                each = str(rate / SENDERS if number < SENDERS else 0)
                commands.append(["nsenter", f"--net=/proc/{pid}/ns/net", sys.executable, "-c", HOST, each, *others])
            with processes(commands) as started:
                for process in started:
                    assert process.stdout
                    process.stdout.readline()
                time.sleep(0.5)
                before, cpu, begin = samples(network.directory), cpu_seconds(network.directory), time.monotonic()
                time.sleep(seconds)
                after, cpu = samples(network.directory), cpu_seconds(network.directory) - cpu
                seconds = time.monotonic() - begin
    finally:
        network.stop()
    moved = {name: after[name] - before.get(name, 0.0) for name in after}
    packets = moved["wan_packets_total"]
    return Figures(
        packets_per_s=packets / seconds,
        cpu_us=cpu * 1e6 / max(packets, 1),
        cores=cpu / seconds,
        p50_ms=quantile_ms(moved, 0.5),
        p99_ms=quantile_ms(moved, 0.99),
    )


def samples(directory: Path) -> dict[str, float]:
    """Read the emulator's metrics once they have been written again."""
    file = directory / "metrics" / "wan.prom"
    asked, deadline = time.time(), time.monotonic() + 10
    while not file.exists() or file.stat().st_mtime < asked:
        if time.monotonic() > deadline:
            raise SystemExit(f"{file} is no longer written: the emulator has stopped")
        time.sleep(0.01)
    rows = [line.rpartition(" ") for line in file.read_text().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in rows}


def cpu_seconds(directory: Path) -> float:
    """Return the processor time that the processes of the emulator have used."""
    total = 0.0
    for file in directory.glob("worker*.pid"):
        pid = file.read_text(encoding="utf-8").split()[0]
        total += int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1e9
    return total


def quantile_ms(moved: Mapping[str, float], share: float) -> float:
    """Return a quantile of the scheduling delay as the upper bound of its bucket, ms."""
    for name, value in moved.items():
        bound = re.search(r'le="(.+)"', name)
        if bound and value >= share * moved["wan_lateness_seconds_count"]:
            return float(bound[1]) * 1e3
    return float("nan")


def main() -> None:
    """Print a line for each rate, checkout and repetition."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", type=float, nargs="+", default=[20e3, 60e3, 100e3, 150e3, 200e3], metavar="RATE")
    parser.add_argument("--seconds", type=float, default=2.0, help="seconds at each rate (default 2)")
    parser.add_argument("--hosts", type=int, default=10, help="hosts, each in a region of its own (default 10)")
    parser.add_argument("--pairs", type=int, default=1, help="repetitions (default 1)")
    parser.add_argument("--baseline", type=Path, help="another checkout, measured before this one each time")
    parser.add_argument("--workers", type=int, help="processes of the emulator (default: half the processors)")
    parser.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.json:
        print(json.dumps(measure(options.rates[0], options.seconds, options.hosts, options.workers)))
        return
    checkouts = [options.baseline.resolve(), ROOT] if options.baseline else [ROOT]
    print("checkout     packets/s sent    delivered   CPU µs/packet    cores    delay p50        p99")
    for rate in options.rates:
        for _ in range(options.pairs):
            for checkout in checkouts:
                arguments = ["--json", "--rates", str(rate), "--seconds", str(options.seconds)]
                command = [sys.executable, __file__, *arguments, "--hosts", str(options.hosts)]
                command += ["--workers", str(options.workers)] if options.workers else []
                environment = {**os.environ, "PYTHONPATH": str(checkout)}
                done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
                if done.returncode:
                    raise SystemExit(done.stderr)
                found: Figures = json.loads(done.stdout)
                print(
                    f"{'this' if checkout == ROOT else 'baseline':12}{rate:15.0f}{found['packets_per_s']:13.0f}"
                    f"{found['cpu_us']:16.2f}{found['cores']:9.2f}{found['p50_ms']:9.1f} ms{found['p99_ms']:8.1f} ms",
                    flush=True,
                )


if __name__ == "__main__":
    main()
