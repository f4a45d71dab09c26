"""Record the outcome of requests and write their counts in the Prometheus text format."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from math import inf
from time import monotonic, process_time

from .hdr import Recorder, Sink

_R10 = ("1", "1.25", "1.6", "2", "2.5", "3.15", "4", "5", "6.3", "8")
BOUNDS = (*(float(f"{digits}e{decade}") for decade in range(-4, 2) for digits in _R10), 100.0)
"""Upper bounds of histogram buckets in s: ten per decade, the R10 series of ISO 3."""
ERROR_TYPES = ("connection", "timeout", "protocol", "http_3xx", "http_4xx", "http_5xx", "unexpected")
"""`unexpected` is a response that `expect` rejects."""


class Histogram:
    """A Prometheus histogram of values in s with the buckets of BOUNDS."""

    def __init__(self, name: str, label: str = "") -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.sum = 0.0
        comma, braces = (f"{label}," if label else ""), (f"{{{label}}}" if label else "")
        edges = [*map(repr, BOUNDS), "+Inf"]
        self._buckets = [f'{name}_bucket{{{comma}le="{edge}"}} ' for edge in edges]
        self._sum, self._count = f"{name}_sum{braces} ", f"{name}_count{braces} "

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(BOUNDS, value)] += 1
        self.sum += value

    def lines(self) -> Iterator[str]:
        """Yield the samples in the Prometheus text format."""
        total = 0
        for name, count in zip(self._buckets, self.counts, strict=True):
            total += count
            yield f"{name}{total}"
        yield f"{self._sum}{self.sum!r}"
        yield f"{self._count}{total}"


class Metrics:
    """What one generator measured; dashboards and stored results depend on the names of the metrics.

    Besides the metrics there is a log of latencies in intervals of 0.1 s. Its tags are the workload for successful
    requests, `WORKLOAD.ERROR_TYPE` for failed ones, `WORKLOAD.unanswered`, and `_scheduling_delay` for all sent ones.
    """

    def __init__(self, workload: str, timeout_s: float, log: Sink | None = None) -> None:
        self._workload, self._timeout_s = workload, timeout_s
        self.intervals = Recorder(log)
        self._label = f'workload="{workload}"'
        self.latency = Histogram("latency_s", self._label)
        self.lateness = Histogram("lateness_s")
        self.latency_squared = 0.0
        self.errors = dict.fromkeys(ERROR_TYPES, 0)
        self.due = self.submitted = self.inflight = 0
        self.start_time = 0.0
        self.started = self.stopped = inf
        self.oldest_due: list[Callable[[], float]] = []
        """Return when the oldest request without an outcome was due, by target; inf if there is none."""

    def sent(self, due: float, now: float) -> None:
        """Count a request that is sent; times are those of the monotonic clock."""
        delay = max(0.0, now - due)
        self.submitted += 1
        self.lateness.observe(delay)
        self.intervals.record("_scheduling_delay", delay, now)

    def succeeded(self, due: float, now: float) -> None:
        """Count a request whose response is complete."""
        latency = now - due
        self.latency.observe(latency)
        self.latency_squared += latency * latency
        self.intervals.record(self._workload, latency, now)

    def failed(self, error_type: str, due: float, now: float) -> None:
        """Count a request that has failed; it took at least as long as the timeout."""
        self.errors[error_type] += 1
        self.intervals.record(f"{self._workload}.{error_type}", max(now - due, self._timeout_s), now)

    def unanswered(self, due: float, now: float) -> None:
        """Record a request whose outcome will not be known."""
        self.intervals.record(f"{self._workload}.unanswered", now - due, now)

    def exposition(self) -> bytes:
        """Return all metrics in the Prometheus text format 0.0.4."""
        duration = max(0.0, min(monotonic(), self.stopped) - self.started)
        squared = f"{{{self._label}}} {self.latency_squared!r}"
        families = [
            ("latency_s", "histogram", "Time from due to complete response, successful requests", self.latency.lines()),
            ("lateness_s", "histogram", "Scheduling delay: time from due to sent", self.lateness.lines()),
            ("latency_squared_s", "counter", "Sum of squared latencies in s^2", [squared]),
            ("errors", "counter", "Failed requests", [f'{{error_type="{k}"}} {n}' for k, n in self.errors.items()]),
            ("benchmark_duration", "counter", "Seconds since the start of sending", [f" {duration!r}"]),
            ("due", "counter", "Requests scheduled so far", [f" {self.due}"]),
            ("submitted", "counter", "Requests sent, or failed while connecting", [f" {self.submitted}"]),
            ("inflight", "gauge", "Requests submitted and not complete", [f" {self.inflight}"]),
            ("oldest_inflight_s", "gauge", "Age of the oldest request without an outcome", [f" {self._oldest()!r}"]),
            ("timeout_s", "gauge", "Seconds after which a request fails", [f" {self._timeout_s!r}"]),
            ("start_time_s", "gauge", "Unix time of the first due request", [f" {self.start_time!r}"]),
            ("process_cpu_seconds_total", "counter", "CPU time used by this process", [f" {process_time()!r}"]),
        ]
        lines = []
        for name, kind, text, samples in families:
            lines += [f"# HELP {name} {text}.", f"# TYPE {name} {kind}"]
            lines += samples if kind == "histogram" else [f"{name}{sample}" for sample in samples]
        return "\n".join([*lines, ""]).encode()

    def _oldest(self) -> float:
        due = min((oldest() for oldest in self.oldest_due), default=inf)
        return max(0.0, monotonic() - due) if due < inf else 0.0
