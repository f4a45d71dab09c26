"""Statistics of the phases of a run: parts of the measured window that have names."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from benchmark.measure.client_logs import ClientLog, increase_of_log
from benchmark.measure.scrapes import ScrapedTarget
from benchmark.measure.window_stats import WindowStats, increase_of, window_stats
from benchmark.metrics.names import TIMEOUT, MetricNames
from benchmark.model import Finite, StrictModel


class PhaseWindow(NamedTuple):
    """A phase and when it was, unix s."""

    name: str
    start: float
    end: float


class PhaseStats(StrictModel):
    """The statistics of one phase."""

    name: str
    """As users wrote it."""
    label: str
    """Unique in the run: the name, with a number from the second phase of that name on."""
    start: Finite
    """Unix s."""
    end: Finite
    stats: WindowStats | None
    """As those of the measured window; null if they are unknown."""
    unknown: str = ""
    """Why they are."""


def phase_windows(phases: Sequence[tuple[str, float]], start: float) -> list[PhaseWindow]:
    """Return phases with name and duration (s) that follow one another from `start` (unix s) on."""
    edges = list(accumulate((duration for _, duration in phases), initial=start))
    return [
        PhaseWindow(name, round(begin, 6), round(end, 6))
        for (name, _), begin, end in zip(phases, edges[:-1], edges[1:], strict=True)
    ]


def phases_of_logs(
    phases: Sequence[PhaseWindow], logs: Sequence[ClientLog], timeouts: dict[str, float], names: MetricNames
) -> list[PhaseStats]:
    """Return the statistics of phases that begin and end with an interval of the logs.

    `timeouts` are those of the clients that export one, s.
    """
    stats = [
        window_stats([increase_of_log(log, start, end, timeouts.get(log.name)) for log in logs], names)
        for _, start, end in phases
    ]
    return [_labelled(phases, index, found) for index, found in enumerate(stats)]


def phases_of_samples(
    phases: Sequence[PhaseWindow], clients: Sequence[ScrapedTarget], names: MetricNames
) -> list[PhaseStats]:
    """Return the statistics of phases between the first and the last sample in them."""
    result = []
    for index, (_, start, end) in enumerate(phases):
        inside = {client.name: client.sample_range(start, end) for client in clients}
        missing = next((name for name, samples in inside.items() if samples is None), None)
        if missing or not clients:
            why = f"{names.job} {missing} has fewer than 2 samples in it" if missing else f"no {names.job} was sampled"
            result.append(_labelled(phases, index, None, why))
        else:
            increases = [increase_of(client, samples, names) for client in clients if (samples := inside[client.name])]
            result.append(_labelled(phases, index, window_stats(increases, names)))
    return result


def timeouts_of(clients: Sequence[ScrapedTarget]) -> dict[str, float]:
    """Return after how many seconds the requests of each client fail, where it exports that."""
    return {client.name: float(client.gauge(TIMEOUT)[-1]) for client in clients if client.has(TIMEOUT)}


def _labelled(phases: Sequence[PhaseWindow], index: int, stats: WindowStats | None, why: str = "") -> PhaseStats:
    name, start, end = phases[index]
    before = sum(phase.name == name for phase in phases[:index])
    label = f"{name} {before + 1}" if before else name
    return PhaseStats(name=name, label=label, start=start, end=end, stats=stats, unknown=why)
