"""Find nodes that did not answer and hosts that were cut off, from the outcomes of scrapes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmark.measure.scrapes import RunSamples, ScrapedTarget


@dataclass(frozen=True)
class Outage:
    """Failed scrapes in a row of a node, or of a host: of everything on it."""

    who: str
    """`node us-east-1-0` or `host us-east-1-0`."""
    host: str
    cut_off: bool
    """The whole host was unreachable; otherwise only the node did not answer."""
    start: float
    """Time of the first failed scrape, unix s."""
    end: float
    """Time of the next successful scrape, or the end of the window."""
    scrapes: int
    """How many failed."""


def find_outages(samples: RunSamples, start: float, end: float) -> list[Outage]:
    """Return the outages of hosts, and of nodes whose host answered, in the window from `start` to `end` (unix s)."""
    hosts = [outage for host in samples.targets("host", ("up",)) for outage in _outages(host, "host", start, end)]
    nodes = [
        outage
        for node in samples.targets("node", ("up",))
        for outage in _outages(node, "node", start, end)
        if not any(cut.host == outage.host and cut.start <= outage.end and outage.start <= cut.end for cut in hosts)
    ]
    return hosts + nodes


def _outages(target: ScrapedTarget, job: str, start: float, end: float) -> list[Outage]:
    inside = (target.times >= start) & (target.times <= end)
    down = np.concatenate([[False], (target.gauge("up") == 0) & inside, [False]])
    changes = np.flatnonzero(np.diff(down))
    return [
        Outage(
            who=f"{job} {target.name}",
            host=target.host,
            cut_off=job == "host",
            start=float(target.times[first]),
            end=min(end, float(target.times[after])) if after < len(target.times) else end,
            scrapes=int(after - first),
        )
        for first, after in zip(changes[::2].tolist(), changes[1::2].tolist(), strict=True)
    ]
