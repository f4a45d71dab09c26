"""Compare the emulated network with its settings in each direction: delay, jitter, loss, and a trace replayed.

    python -m tools.accuracy.wan_links                        # 10 regions, 90 directions
    python -m tools.accuracy.wan_links --trace recorded.csv   # as `network measure --duration` writes it

Needs root. Every host sends UDP packets to all others; they contain when they were sent, and the kernel notes when they
arrived, on the same clock. Exits with 1 if a mean delay is off by more than 1 ms + 2 %, if the packets of a direction
changed their order, if a share of lost packets or a burst length is outside its confidence interval (99.99 %, as there
are many directions), or if the deviation of the jitter is off by more than 5 % over all directions.

The deviation is that of the distribution with the measured distance between quartiles: on a busy machine a few packets
are sent milliseconds after they noted their time.
"""

from __future__ import annotations

import argparse
import itertools
import math
import random
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmark.settings import Network, RoundTrip, format_trace, read_trace
from stacks.local.wan.emulator.impairments import SHAPE, read_traces
from stacks.local.wan.links import Direction, Links, links_for
from tools.accuracy.wan_accuracy import REGIONS, Host, delay_ms, testbed

INTERVAL_S = 0.02
"""Time between two packets of a direction; a link holds a value of its jitter for no longer."""
Z = 3.89
"""Half the width of a confidence interval of 99.99 %, in standard errors."""
RECORD = struct.Struct("<IIdd")

PROBE = """
import os, select, socket, struct, sys, time
me, count, interval, addresses = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:]
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", 7000)); s.setblocking(False)
s.setsockopt(socket.SOL_SOCKET, 35, 1); s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(5))
print("ready", flush=True); start = float(sys.stdin.readline())
found = []; end = start + count * interval + 0.6; number = 0
while (now := time.monotonic()) < end:
    due = start + (number + me / 100) * interval
    if number < count and now >= due:
        for address in addresses:
            if address != "-": s.sendto(struct.pack("<IId", me, number, time.time()), (address, 7000))
        number += 1; continue
    select.select([s], [], [], max(0, min(end, due if number < count else end) - now))
    try:
        while True:
            data, control, _, _ = s.recvmsg(64, 64)
            seconds, part = struct.unpack("@qq", control[0][2])
            source, serial, sent = struct.unpack("<IId", data)
            found.append(struct.pack("<IIdd", source, serial, sent, seconds + part / 1e9))
    except BlockingIOError: pass
sys.stdout.buffer.write(b"".join(found))
"""


class Arrival(NamedTuple):
    """A packet that arrived: its number, when it was sent (s, Unix time), and its delay (ms)."""

    number: int
    sent: float
    delay_ms: float


class Found(NamedTuple):
    """What was measured in one direction."""

    mean_ms: float
    stdev_ms: float
    """By the distance between quartiles."""
    bursts: list[int]
    """Length of each run of lost packets."""
    overtaken: int
    """Packets that arrived after one that was sent later."""


def probe(hosts: Sequence[Host], count: int) -> dict[tuple[str, str], list[Arrival]]:
    """Send `count` packets in every direction; return those that arrived, in the order of their arrival."""
    commands = []
    for number, host in enumerate(hosts):
        targets = ["-" if other is host else other.address for other in hosts]
        commands.append(host.command(sys.executable, "-c", PROBE, str(number), str(count), str(INTERVAL_S), *targets))
    found: dict[tuple[str, str], list[Arrival]] = {}
    running = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for command in commands]
    try:
        for process in running:
            assert process.stdout
            process.stdout.readline()
        start = time.monotonic() + 0.5
        for process in running:
            assert process.stdin
            process.stdin.write(f"{start}\n".encode())
            process.stdin.flush()
        for host, process in zip(hosts, running, strict=True):
            assert process.stdout
            for source, serial, sent, arrived in RECORD.iter_unpack(process.stdout.read()):
                pair = (hosts[source].region, host.region)
                found.setdefault(pair, []).append(Arrival(serial, sent, (arrived - sent) * 1e3))
    finally:
        for process in running:
            process.kill()
            process.communicate()
    return found


def impaired(regions: Sequence[str], seed: int) -> Links:
    """Give every direction a delay of its own; a third each has no, normal and Pareto jitter, and no, single and bursty
    losses."""
    draw = random.Random(seed)
    links = []
    for number, (source, target) in enumerate(itertools.permutations(regions, 2)):
        link: dict[str, object] = {"from": source, "to": target, "delay_ms": round(draw.uniform(5, 150), 1)}
        if kind := number % 3:
            # A value is held for ten deviations, so each packet has another one.
            link["jitter"] = {
                "stdev_ms": round(draw.uniform(0.5, 1.8), 2),
                "distribution": ["normal", "pareto"][kind - 1],
            }
        if kind := number // 3 % 3:
            share, burst = round(draw.uniform(0.05, 0.15), 3), round(draw.uniform(2, 4), 1)
            link["loss"] = {"share": share, "mean_burst": burst if kind == 2 else 1}
        links.append(link)
    return links_for(regions, Network.model_validate({"links": links, "internet": False}))


def summarize(arrivals: Sequence[Arrival], count: int, distribution: str) -> Found:
    """Return the figures of a direction in which `count` packets were sent."""
    delays = [each.delay_ms for each in arrivals]
    low, _, high = statistics.quantiles(delays, n=4)
    arrived = {each.number for each in arrivals}
    runs = itertools.groupby(number in arrived for number in range(count))
    latest = itertools.accumulate((each.number for each in arrivals), max)
    return Found(
        statistics.fmean(delays),
        (high - low) / quartile_distance(distribution),
        [len(list(run)) for kept, run in runs if not kept],
        sum(each.number < last for each, last in zip(arrivals, latest, strict=True)),
    )


def quartile_distance(distribution: str) -> float:
    """Return the distance between the quartiles of a distribution in its standard deviations."""
    if distribution == "normal":
        normal = statistics.NormalDist()
        return normal.inv_cdf(0.75) - normal.inv_cdf(0.25)
    stdev = math.sqrt(SHAPE / (SHAPE - 2)) / (SHAPE - 1)
    return float(0.25 ** (-1 / SHAPE) - 0.75 ** (-1 / SHAPE)) / stdev


def mean_burst(direction: Direction) -> float:
    """Return the mean number of packets that a direction loses in a row."""
    return direction.mean_burst if direction.mean_burst > 1 else 1 / (1 - direction.loss)


def loss_interval(direction: Direction, count: int) -> float:
    """Return half the width of the confidence interval of the losses among `count` packets, in packets.

    Losses follow a Markov chain; its correlation between neighbours widens the interval of independent ones.
    """
    share, burst = direction.loss, mean_burst(direction)
    correlation = 1 - 1 / burst - share / (burst * (1 - share))
    return Z * math.sqrt(count * share * (1 - share) * (1 + correlation) / (1 - correlation)) + 0.5


def problems(direction: Direction, found: Found, count: int) -> list[str]:
    """List what is out of bounds in one direction."""
    listed = []
    if abs(found.mean_ms - direction.delay_ms) > 1 + 0.02 * direction.delay_ms:
        listed.append("delay")
    if abs(sum(found.bursts) - direction.loss * count) > loss_interval(direction, count):
        listed.append("loss")
    if found.overtaken:
        listed.append("order")
    return listed


def compare_links(links: Links, arrivals: Mapping[tuple[str, str], Sequence[Arrival]], count: int) -> bool:
    """Print requested and measured links; return whether all are good."""
    print(
        "from            to                delay ms     measured   jitter ms   measured   loss %   measured (interval)"
    )
    good = True
    ratios: dict[str, list[float]] = {"normal": [], "pareto": [], "bursts": []}
    for source, target in itertools.permutations(links.regions, 2):
        direction = links.directions[f"{source}->{target}"]
        found = summarize(arrivals.get((source, target), []), count, direction.distribution)
        wrong = problems(direction, found, count)
        good = good and not wrong
        lost, interval = sum(found.bursts) / count * 100, loss_interval(direction, count) / count * 100
        print(
            f"{source:15} {target:15}{direction.delay_ms:10.2f} {found.mean_ms:12.2f}{direction.jitter_ms:12.2f}"
            f"{found.stdev_ms:11.2f}{direction.loss * 100:9.1f}{lost:11.1f} (+-{interval:.1f})  {' '.join(wrong)}"
        )
        if direction.jitter_ms:
            ratios[direction.distribution].append(found.stdev_ms / direction.jitter_ms)
        ratios["bursts"] += [length / mean_burst(direction) for length in found.bursts if direction.loss]
    for name, values in ratios.items():
        # Relative standard errors: of a deviation by quartiles 1.17 (normal) and 1.66 (Pareto), of a burst at most 1.
        error = 1 / math.sqrt(len(values)) if name == "bursts" else 1.66 / math.sqrt(len(values) * count)
        bound, off = 0.05 + Z * error, statistics.fmean(values) - 1
        good = good and abs(off) <= bound
        what = "length of bursts" if name == "bursts" else f"deviation of {name} jitter"
        verdict = "" if abs(off) <= bound else "  OUT OF BOUNDS"
        print(f"{what}: {off:+.1%} in {len(values)}, bound {bound:.1%}{verdict}")
    return good


def random_trace(regions: Sequence[str], seconds: int, seed: int) -> str:
    """Write a trace in which the round trips of every direction change each second."""
    draw = random.Random(seed)
    pairs = list(itertools.permutations(regions, 2))
    times = itertools.product(range(seconds), pairs)
    return format_trace(RoundTrip(float(second), *pair, round(draw.uniform(10, 250), 1)) for second, pair in times)


def replay(file: Path, seconds: float) -> bool:
    """Replay a trace and print how far the delays are from it; return whether all steps are good."""
    regions = sorted({name for pair in read_trace(file) for name in pair})
    base = [{"from": a, "to": b, "delay_ms": 1} for a, b in itertools.permutations(regions, 2)]
    settings = Network.model_validate({"links": base, "trace": file, "internet": False})
    with testbed(links_for(regions, settings), regions) as (network, hosts):
        clock = time.time() - time.monotonic()
        arrivals = probe(hosts, int(seconds / INTERVAL_S))
        traces = read_traces(network.directory / "trace")
    errors = []
    for (source, target), found in arrivals.items():
        steps: dict[tuple[float, float], list[float]] = {}
        for each in found:
            if trace := traces.get(f"{source}->{target}"):
                steps.setdefault(trace.at(each.sent - clock), []).append(each.delay_ms)
        # A step of few packets is the end of the measurement, or ends before its packets overtook the former ones.
        errors += [
            (statistics.median(delays) - delay * 1e3, delay * 1e3)
            for (delay, _), delays in steps.items()
            if len(delays) > 9
        ]
    bad = sum(abs(error) > 1 + 0.02 * delay for error, delay in errors)
    sizes = [abs(error) for error, _ in errors]
    print(
        f"trace: {len(errors)} steps in {len(arrivals)} directions, error median {statistics.median(sizes):.2f} ms, "
        f"largest {max(sizes):.2f} ms; {bad} out of bounds (1 ms + 2 %)"
    )
    return not bad


def main() -> None:
    """Measure and print; exit with 1 if something is out of bounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--regions", type=int, default=len(REGIONS), help="regions, a host each (default 10)")
    parser.add_argument("--seconds", type=int, default=10, help="seconds of each measurement (default 10)")
    parser.add_argument("--seed", type=int, default=1, help="of the links and the trace (default 1)")
    parser.add_argument("--trace", type=Path, help="trace to replay instead of a random one")
    options = parser.parse_args()
    regions = REGIONS[: options.regions]
    links, count = impaired(regions, options.seed), int(options.seconds / INTERVAL_S)
    with testbed(links, regions) as (network, hosts):
        good = compare_links(links, probe(hosts, count), count)
        print(f"scheduling delay: p50 <= {delay_ms(network, 0.5):g} ms, p99 <= {delay_ms(network, 0.99):g} ms")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.csv"
        file.write_text(random_trace(regions, options.seconds, options.seed), encoding="utf-8")
        good = replay(options.trace or file, options.seconds) and good
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
