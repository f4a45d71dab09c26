"""Record the outcome of requests, and write the Prometheus text format."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from functools import cache
from itertools import accumulate
from math import inf
from time import monotonic, process_time

from .hdr import Recorder

_R10 = ("1", "1.25", "1.6", "2", "2.5", "3.15", "4", "5", "6.3", "8")
BOUNDS = (*(float(f"{digits}e{decade}") for decade in range(-4, 2) for digits in _R10), 100.0)
"""Upper bounds of histogram buckets in s: ten per decade, the R10 series of ISO 3."""
ERROR_TYPES = ("connection", "timeout", "protocol", "http_3xx", "http_4xx", "http_5xx", "unexpected")
"""`unexpected` is a response that `expect` rejects."""
FAMILIES = {
    "latency_s": ("histogram", "Time from due to complete response, successful requests"),
    "lateness_s": ("histogram", "Scheduling delay: time from due to sent"),
    "latency_squared_s": ("counter", "Sum of squared latencies in s^2"),
    "errors": ("counter", "Failed requests"),
    "benchmark_duration": ("counter", "Seconds since the start of sending"),
    "due": ("counter", "Requests scheduled so far"),
    "submitted": ("counter", "Requests sent, or failed while connecting"),
    "inflight": ("gauge", "Requests submitted and not complete"),
    "oldest_inflight_s": ("gauge", "Age of the oldest request without an outcome"),
    "timeout_s": ("gauge", "Seconds after which a request fails"),
    "start_time_s": ("gauge", "Unix time of the first due request"),
    "processes": ("gauge", "Processes that send requests"),
    "process_cpu_seconds_total": ("counter", "CPU time used by all processes"),
}
"""Type and meaning of each metric; dashboards and stored results depend on their names."""

Samples = dict[str, dict[str, float]]
"""Values by name of the metric and, within it, by what follows the name in the exposition: a suffix and labels."""


class Histogram:
    """A Prometheus histogram of values in s with the buckets of BOUNDS."""

    __slots__ = ("counts", "squared", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.sum = self.squared = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(BOUNDS, value)] += 1
        self.sum += value
        self.squared += value * value

    def samples(self, label: str = "") -> dict[str, float]:
        """Return the samples; `label` is a label of all of them."""
        braces = f"{{{label}}}" if label else ""
        counts = list(accumulate(self.counts))
        buckets = dict(zip(_bucket_names(label), counts, strict=True))
        return buckets | {f"_sum{braces}": self.sum, f"_count{braces}": counts[-1]}


@cache
def _bucket_names(label: str) -> list[str]:
    comma = f"{label}," if label else ""
    return [f'_bucket{{{comma}le="{edge}"}}' for edge in (*map(repr, BOUNDS), "+Inf")]


class Metrics:
    """What one process measured.

    Besides the metrics there are histograms of latencies in intervals of 0.1 s. Their tags are the workload for
    successful requests, `WORKLOAD.ERROR_TYPE` for failed ones, `WORKLOAD.unanswered`, and `_scheduling_delay` for all
    sent ones. All times are those of the monotonic clock, in s.
    """

    def __init__(self, workloads: Iterable[str], timeout_s: float, intervals: Recorder) -> None:
        self.intervals, self._timeout_s = intervals, timeout_s
        self.latency = {workload: Histogram() for workload in workloads}
        self.lateness = Histogram()
        self.errors = dict.fromkeys(ERROR_TYPES, 0)
        self.due = self.submitted = self.inflight = 0
        self.oldest_due: list[Callable[[], float]] = []
        """Return when the oldest request without an outcome was due, by target; inf if there is none."""

    def sent(self, due: float, now: float) -> None:
        """Count a request that is sent."""
        delay = max(0.0, now - due)
        self.submitted += 1
        self.lateness.observe(delay)
        self.intervals.record("_scheduling_delay", delay, now)

    def succeeded(self, workload: str, due: float, now: float) -> None:
        """Count a request whose response is complete."""
        self.latency[workload].observe(now - due)
        self.intervals.record(workload, now - due, now)

    def failed(self, workload: str, error_type: str, due: float, now: float) -> None:
        """Count a request that has failed; it took at least as long as the timeout."""
        self.errors[error_type] += 1
        self.intervals.record(f"{workload}.{error_type}", max(now - due, self._timeout_s), now)

    def unanswered(self, workload: str, due: float, now: float) -> None:
        """Record a request whose outcome will not be known."""
        self.intervals.record(f"{workload}.unanswered", now - due, now)

    def samples(self) -> Samples:
        """Return the current values."""
        labels = {workload: f'workload="{workload}"' for workload in self.latency}
        oldest = min((oldest() for oldest in self.oldest_due), default=inf)
        return {
            "latency_s": {k: v for w, label in labels.items() for k, v in self.latency[w].samples(label).items()},
            "lateness_s": self.lateness.samples(),
            "latency_squared_s": {f"{{{label}}}": self.latency[w].squared for w, label in labels.items()},
            "errors": {f'{{error_type="{kind}"}}': count for kind, count in self.errors.items()},
            "due": {"": self.due},
            "submitted": {"": self.submitted},
            "inflight": {"": self.inflight},
            "oldest_inflight_s": {"": max(0.0, monotonic() - oldest) if oldest < inf else 0.0},
            "process_cpu_seconds_total": {"": process_time()},
        }


def merge(parts: Iterable[Samples]) -> Samples:
    """Return the samples of all processes together."""
    total: Samples = {}
    for part in parts:
        for family, samples in part.items():
            into = total.setdefault(family, {})
            for key, value in samples.items():
                before = into.get(key, 0)
                into[key] = max(before, value) if family == "oldest_inflight_s" else before + value
    return total


def exposition(samples: Samples) -> bytes:
    """Return samples in the Prometheus text format 0.0.4."""
    lines = []
    for name, (kind, text) in FAMILIES.items():
        lines += [f"# HELP {name} {text}.", f"# TYPE {name} {kind}"]
        lines += [f"{name}{key} {value!r}" for key, value in samples.get(name, {}).items()]
    return "\n".join([*lines, ""]).encode()
