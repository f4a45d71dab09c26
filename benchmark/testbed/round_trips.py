"""Measure the round trips between the regions of a testbed, in both directions."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from shlex import quote

from benchmark.host_scripts import read_script
from benchmark.inventory import EmulatedRoundTrip, Host
from benchmark.remote.answers import reading

Pair = tuple[str, str]
"""Names of two regions: the one that measures and the other, or twice the same for two hosts of a region."""
_LONGEST_MS = 60_000.0
_LONGEST_LINE = 400


@dataclass(frozen=True)
class Sample:
    """One request: when it began, in seconds since the host's first one, and its round trip in ms; None if lost."""

    time_s: float
    rtt_ms: float | None


@dataclass(frozen=True)
class RoundTrips:
    """Measured round trips by pair of regions."""

    samples: Mapping[Pair, Sequence[Sample]] = field(default_factory=dict)
    """Pairs that answered at least once."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Why hosts could not measure, by name."""

    def shortest_ms(self) -> dict[Pair, float]:
        """Return the shortest round trip of each pair in ms: what is longer waited for a processor or in a queue."""
        found = {
            pair: [sample.rtt_ms for sample in samples if sample.rtt_ms is not None]
            for pair, samples in self.samples.items()
        }
        return {pair: min(times) for pair, times in found.items() if times}

    def between_regions(self) -> dict[Pair, float]:
        """Return the same without pairs of hosts in one region."""
        return {pair: rtt_ms for pair, rtt_ms in self.shortest_ms().items() if pair[0] != pair[1]}


def script() -> str:
    """Return the Python script that measures; it is sent on standard input of the commands."""
    return read_script("round_trips.py")


def commands(hosts: Sequence[Host], probes: int, interval_s: float) -> dict[str, str]:
    """Return the command of the first host in each region: it times the first host of the others, and its neighbour."""
    first: dict[str, Host] = {}
    second: dict[str, Host] = {}
    for host in hosts:
        if first.setdefault(host.region, host) is not host:
            second.setdefault(host.region, host)
    found = {}
    for region, host in first.items():
        peers = {**first, **({region: second[region]} if region in second else {})}
        targets = [quote(f"{name}={peer.peer_ssh_endpoint}") for name, peer in peers.items() if peer is not host]
        if targets:
            found[host.name] = " ".join(["exec python3 -I -S -", str(probes), f"{interval_s:g}", *targets])
    return found


def parse(region: str, text: str, regions: Collection[str]) -> dict[Pair, list[Sample]]:
    """Read what the script printed on a host of `region` about some of `regions`; InfrastructureError for the rest."""
    found: dict[Pair, list[Sample]] = {}
    with reading("round trips", text):
        for line in text.splitlines():
            values = json.loads(line) if len(line) <= _LONGEST_LINE else None
            if not isinstance(values, list) or len(values) != 3 or values[0] not in regions:
                raise ValueError("expected [REGION, SECONDS, MS]")
            name, time_s, rtt_ms = values
            known = rtt_ms is None or (isinstance(rtt_ms, float | int) and 0 < rtt_ms <= _LONGEST_MS)
            if not isinstance(time_s, float | int) or not 0 <= time_s < math.inf or not known:
                raise ValueError(f"impossible values in {line}")
            found.setdefault((region, name), []).append(Sample(float(time_s), rtt_ms))
    return found


def steady(requested: Mapping[str, EmulatedRoundTrip]) -> dict[Pair, float]:
    """Return the requested round trips in ms that have neither jitter nor a trace."""
    return {
        (source, target): wanted.rtt_ms
        for name, wanted in requested.items()
        for source, _, target in [name.partition("/")]
        if wanted.longest_ms is None and not wanted.jitter_ms
    }


def deviations(
    requested: Mapping[str, EmulatedRoundTrip], measured: Mapping[Pair, float], hosts: Sequence[Host] = ()
) -> dict[Pair, str]:
    """Return a sentence for each pair whose emulated round trip is not the requested one.

    With `hosts`, also for pairs of their regions without an answer.
    """
    found = {}
    regions = dict.fromkeys(host.region for host in hosts)
    for name, wanted in requested.items():
        source, _, target = name.partition("/")
        rtt_ms = measured.get((source, target))
        if rtt_ms is not None and not wanted.allows(rtt_ms):
            found[source, target] = f"the round trip from {source} to {target} is {rtt_ms:.2f} ms, requested {wanted}"
        elif rtt_ms is None and source in regions and target in regions and source != target:
            found[source, target] = f"no answer from {target} to {source}, requested a round trip of {wanted}"
    return found


def changes(
    requested: Mapping[str, EmulatedRoundTrip], before: Mapping[Pair, float], after: Mapping[Pair, float]
) -> list[str]:
    """Return a sentence for each round trip that changed by more than 1 ms + 2 % although it was not requested to."""
    found = []
    known = steady(requested)
    for pair, earlier in before.items():
        later = after.get(pair)
        varies = "/".join(pair) in requested and pair not in known
        if later is not None and not varies and not EmulatedRoundTrip(rtt_ms=earlier).allows(later):
            where = f"the round trip from {pair[0]} to {pair[1]}"
            found.append(f"{where} was {earlier:.2f} ms before the run and {later:.2f} ms after")
    return found
