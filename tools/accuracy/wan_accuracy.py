"""Measure the accuracy of the emulated wide area network: round trips, TCP throughput and scheduling delay.

    python -m tools.accuracy.wan_accuracy                                      # 10 regions, a host each
    python -m tools.accuracy.wan_accuracy --hosts 50 --busy 2 --load 20000

Needs root. Creates a separate testbed without Pulumi, whose hosts are bare network namespaces, and removes it at the
end. Exits with 1 if the median round trip of any pair is off by more than 1 ms + 2 %. (`ping` rounds to 1 ms from
100 ms on.)
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from benchmark.settings import Network
from stacks.local.wan.links import Links, links_for
from stacks.local.wan.network import WideAreaNetwork

REGIONS = (
    *("us-east-1", "us-west-2", "ca-central-1", "sa-east-1", "eu-west-1", "eu-central-1", "eu-north-1"),
    *("ap-northeast-1", "ap-southeast-1", "ap-southeast-2"),
)
PARALLEL = 12
"""Pairs pinged at once."""

RECEIVE = """
import socket, sys, time
server = socket.create_server(("", 5201)); print("ready", flush=True)
peer, _ = server.accept(); peer.settimeout(20); buffer = bytearray(1 << 20); seconds = float(sys.argv[1])
begin = time.monotonic() + seconds / 2; total = 0
while (now := time.monotonic()) < begin + seconds:
    count = peer.recv_into(buffer); total += count if now >= begin else 0
print(total * 8 / 1e6 / (now - begin))
"""
SEND = """
import socket, sys
with socket.create_connection((sys.argv[1], 5201), timeout=20) as peer:
    try:
        while True: peer.sendall(bytes(1 << 18))
    except OSError: pass
"""
FLOOD = """
import itertools, socket, sys, time
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); rate = float(sys.argv[1]); start = time.monotonic()
for sent, address in enumerate(itertools.cycle(sys.argv[2:])):
    ahead = sent / rate - (time.monotonic() - start)
    if ahead > 0.002: time.sleep(ahead)
    sender.sendto(bytes(200), (address, 9))
"""

LARGE_BUFFERS = "cd /proc/sys/net/ipv4; echo 4096 131072 67108864 | tee tcp_wmem tcp_rmem >/dev/null"
"""By default a sender may have 4 MB in flight, which at 200 ms is at most 168 Mb/s on any network."""


class Host(NamedTuple):
    """A bare network namespace."""

    region: str
    address: str
    pid: int

    def command(self, *words: str) -> list[str]:
        """Return the command that runs `words` in the namespace."""
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", *words]


class Pair(NamedTuple):
    """A pair of hosts, its configured round trip and its measured median (ms)."""

    source: Host
    target: Host
    configured: float
    median: float

    @property
    def error(self) -> float:
        """Measured minus configured, ms."""
        return self.median - self.configured

    @property
    def good(self) -> bool:
        """Whether the error is within 1 ms + 2 %."""
        return abs(self.error) <= 1 + 0.02 * self.configured


@contextlib.contextmanager
def processes(commands: Sequence[Sequence[str]]) -> Iterator[list[subprocess.Popen[str]]]:
    """Run commands until the block ends."""
    started: list[subprocess.Popen[str]] = []
    try:
        for command in commands:
            started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        yield started
    finally:
        for process in started:
            process.kill()
        for process in started:
            process.communicate()


@contextlib.contextmanager
def testbed(links: Links, regions: Sequence[str]) -> Iterator[tuple[WideAreaNetwork, list[Host]]]:
    """Create a testbed with a host in each of `regions` (they may repeat), and remove it afterwards."""
    network = WideAreaNetwork(f"accuracy-{os.getpid()}")
    try:
        network.start(links)
        with namespaces(len(regions)) as pids:
            hosts = []
            for number, (region, pid) in enumerate(zip(regions, pids, strict=True)):
                hosts.append(Host(region, network.claim_address(f"h{number}"), pid))
                network.attach(f"h{number}", region, hosts[-1].address, pid)
            yield network, hosts
    finally:
        network.stop()


@contextlib.contextmanager
def namespaces(count: int) -> Iterator[list[int]]:
    """Create network namespaces, each held by a process; yield the ids of those processes."""
    with processes([["unshare", "--net", "sh", "-c", "echo ready; exec sleep infinity"]] * count) as holders:
        for holder in holders:
            assert holder.stdout
            holder.stdout.readline()
        yield [holder.pid for holder in holders]


def measure_pairs(links: Links, hosts: Sequence[Host], pings: int) -> list[Pair]:
    """Ping between every two regions, and within regions with several hosts; pairs alternate between hosts."""
    found: dict[str, list[Host]] = {}
    for host in hosts:
        found.setdefault(host.region, []).append(host)
    pairs = []
    for number, (region, other) in enumerate(itertools.combinations_with_replacement(found, 2)):
        source = found[region][number % len(found[region])]
        targets = [host for host in found[other] if host is not source]
        if targets:
            pairs.append((source, targets[number % len(targets)]))

    def ping(pair: tuple[Host, Host]) -> Pair:
        command = pair[0].command("ping", "-n", "-c", str(pings), "-i", "0.1", pair[1].address)
        text = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        times = [float(value) for value in re.findall(r"time=([\d.]+)", text)]
        median = statistics.median(times) if len(times) >= pings / 2 else float("inf")
        return Pair(*pair, links.rtt(pair[0].region, pair[1].region), median)

    with ThreadPoolExecutor(PARALLEL) as pool:
        return list(pool.map(ping, pairs))


def tcp_mbps(sender: Host, receiver: Host, address: str, seconds: float) -> float:
    """Send over one TCP connection and return the received Mb/s, without the first third of the time."""
    receive = receiver.command(sys.executable, "-c", RECEIVE, str(seconds))
    with processes([receive]) as (process,):
        assert process.stdout
        process.stdout.readline()
        with processes([sender.command(sys.executable, "-c", SEND, address)]):
            return float(process.stdout.readline() or "nan")


def veth_mbps(seconds: float) -> float:
    """Do the same transfer over a veth pair between two namespaces: through the kernel alone, without delay."""
    with namespaces(2) as (pid, pid2):
        hosts = [Host("", "198.19.255.1", pid), Host("", "198.19.255.2", pid2)]
        link = ["ip", "link", "add", "v0", "netns", str(pid), "type", "veth", "peer", "name", "v0", "netns", str(pid2)]
        subprocess.run(link, check=True)
        for host in hosts:
            subprocess.run(host.command("ip", "address", "add", f"{host.address}/24", "dev", "v0"), check=True)
            subprocess.run(host.command("ip", "link", "set", "v0", "up"), check=True)
        return tcp_mbps(hosts[0], hosts[1], hosts[1].address, seconds)


def cost(network: WideAreaNetwork, work: Callable[[], None]) -> tuple[float, float, float]:
    """Do `work`; return packets/s, the emulator's µs of CPU per packet, and its share of a core."""
    before, cpu, start = samples(network)["wan_packets_total"], cpu_seconds(network), time.monotonic()
    work()
    packets, cpu = samples(network)["wan_packets_total"] - before, cpu_seconds(network) - cpu
    seconds = time.monotonic() - start
    return packets / seconds, cpu * 1e6 / max(packets, 1), cpu / seconds


def cpu_seconds(network: WideAreaNetwork) -> float:
    """Return the CPU time that the emulator has used."""
    pids = [file.read_text(encoding="utf-8").split()[0] for file in network.directory.glob("worker*.pid")]
    ticks = [Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[11:13] for pid in pids]
    return sum(int(tick) for each in ticks for tick in each) / os.sysconf("SC_CLK_TCK")


def samples(network: WideAreaNetwork) -> dict[str, float]:
    """Read the emulator's metrics once they have been written again."""
    file = network.directory / "metrics" / "wan.prom"
    asked, deadline = time.time(), time.monotonic() + 5
    while not file.exists() or file.stat().st_mtime < asked:
        if time.monotonic() > deadline:
            raise SystemExit(f"{file} is no longer written: the emulator has stopped")
        time.sleep(0.02)
    rows = [line.rpartition(" ") for line in file.read_text().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in rows}


def delay_ms(network: WideAreaNetwork, share: float) -> float:
    """Return the quantile `share` of the scheduling delay, as the upper bound of its bucket in ms."""
    found = samples(network)
    for name, value in found.items():
        bound = re.search(r'le="(.+)"', name)
        if bound and value >= share * found["wan_lateness_seconds_count"]:
            return float(bound[1]) * 1e3
    return float("nan")


def accuracy(options: argparse.Namespace) -> bool:
    """Print the table of all pairs; return whether all are good."""
    links = links_for(REGIONS, Network(internet=False))
    regions = list(itertools.islice(itertools.cycle(REGIONS), options.hosts))
    with testbed(links, regions) as (network, hosts), contextlib.ExitStack() as background:
        background.enter_context(processes([[sys.executable, "-c", "while True: pass"]] * options.busy))
        if options.load:
            addresses = [host.address for host in hosts]
            senders = hosts[: min(4, len(hosts))]
            command = [sys.executable, "-c", FLOOD, str(options.load / len(senders))]
            commands = [host.command(*command, *(a for a in addresses if a != host.address)) for host in senders]
            background.enter_context(processes(commands))
        pairs: list[Pair] = []
        rate, each, share = cost(network, lambda: pairs.extend(measure_pairs(links, hosts, options.pings)))
        for pair in pairs:
            verdict = "" if pair.good else "  OUT OF BOUNDS"
            names = f"{pair.source.region:15} {pair.target.region:15}"
            times = f"{pair.configured:8.1f} ms configured {pair.median:9.2f} ms measured {pair.error:+7.2f} ms"
            print(f"{names} {times}{verdict}")
        errors = [abs(pair.error) for pair in pairs]
        print(
            f"{len(pairs)} pairs, {len(hosts)} hosts: error median {statistics.median(errors):.2f} ms, "
            f"largest {max(errors):.2f} ms; {sum(not pair.good for pair in pairs)} out of bounds (1 ms + 2 %)"
        )
        print(f"emulator: {rate:.0f} packets/s, {each:.1f} µs of CPU per packet, {share:.0%} of a core")
        print(f"scheduling delay: p50 <= {delay_ms(network, 0.5):g} ms, p99 <= {delay_ms(network, 0.99):g} ms")
        return all(pair.good for pair in pairs)


def throughput(seconds: float) -> None:
    """Print the throughput of one TCP connection at 0, 50 and 200 ms round trip, and without emulation."""
    peer = veth_mbps(seconds)
    print(f"TCP without emulation (veth pair)    {peer:8.0f} Mb/s")
    with testbed(tcp_links(0.0), ["a", "b"]) as (network, (sender, receiver)):
        for rtt, buffers in ((0.0, False), (50.0, False), (200.0, False), (50.0, True), (200.0, True)):
            network.start(tcp_links(rtt))
            if buffers:
                for host in (sender, receiver):
                    subprocess.run(host.command("sh", "-c", LARGE_BUFFERS), check=True)
            found = tcp_mbps(sender, receiver, receiver.address, max(seconds, rtt / 20))
            kind = "64 MB buffers" if buffers else "default buffers"
            print(f"TCP at {rtt:5.0f} ms, {kind:21} {found:8.0f} Mb/s {found / peer:8.3f} of the veth pair")


def tcp_links(rtt: float) -> Links:
    """Link two regions `rtt` ms apart."""
    return links_for(["a", "b"], Network(rtt_ms={"a/b": rtt}, internet=False))


def main() -> None:
    """Measure and print; exit with 1 if a round trip is out of bounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=len(REGIONS), help="hosts, over ten regions (default 10)")
    parser.add_argument("--pings", type=int, default=15, help="pings per pair (default 15)")
    parser.add_argument("--load", type=float, default=0.0, help="background packets/s over all hosts")
    parser.add_argument("--busy", type=int, default=0, help="processes that each keep a core busy meanwhile")
    parser.add_argument("--seconds", type=float, default=4.0, help="seconds of each TCP transfer; 0 skips them")
    options = parser.parse_args()
    good = accuracy(options)
    if options.seconds:
        throughput(options.seconds)
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
