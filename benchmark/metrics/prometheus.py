"""Metrics as data: what Prometheus scrapes during a run, how its samples are read, and how they are kept.

Nothing here reaches a host: the runner writes the target files and opens the tunnel that `Prometheus` reads
through. Samples are always raw, as scraped; rates and quantiles are computed from them by the runner.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from benchmark.errors import InfrastructureError, UsageError
from benchmark.metrics.names import LOAD_GENERATOR, Metrics

if TYPE_CHECKING:  # numpy, requests and pyarrow take 0.1 s each to import: only commands that use them pay
    from collections.abc import Iterator

from benchmark.metrics.samples import Series, join_parts

_PART_MS = 120_000
"""How much time one request for samples covers: bounds its memory and keeps it far from its timeout."""


@dataclass(frozen=True)
class Progress:
    """What all clients together do now, for the eye: rates in tx/s, latencies in s; null where nothing was seen."""

    scheduled_tps: float | None = None
    completed_tps: float | None = None
    errors_tps: float | None = None
    inflight: float | None = None
    mean_s: float | None = None
    p50_s: float | None = None
    p99_s: float | None = None
    nodes: float | None = None
    """Nodes that are scraped; null where they export no metrics. Of them, `nodes_up` answered the last scrape."""
    nodes_up: float | None = None
    clients: float | None = None
    clients_up: float | None = None


class Prometheus:
    """Reads from the Prometheus at `url`, usually the near end of a tunnel, until closed.

    Every request ends within `timeout` or raises InfrastructureError, as does every answer that is none.
    """

    def __init__(self, url: str, timeout: timedelta = timedelta(seconds=10)) -> None:
        import requests
        from prometheus_api_client import PrometheusConnect
        from urllib3.util.retry import Retry

        session = requests.Session()
        session.trust_env = False  # a proxy of the operator's must not see, and cannot reach, the tunnel
        retry = Retry(connect=2, read=0, status=0, backoff_factor=0.1)  # a read that timed out has used its time up
        self.url = url
        self._timeout = timeout.total_seconds()
        self._connection = PrometheusConnect(url, session=session, retry=retry, timeout=self._timeout)

    def __enter__(self) -> Prometheus:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to Prometheus."""
        self._connection.close()

    def samples(self, selector: str, start: float, end: float) -> list[Series]:
        """Return every sample that was scraped from `start` to `end` (Unix seconds, both included), unchanged.

        A range selector in an instant query is answered with the stored samples; query_range would interpolate:
        https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries
        """
        if end < start:
            raise UsageError(f"samples of {selector} wanted from {start} to {end}: the end is before the start")
        first, last = math.ceil(round(start * 1000, 3)), math.floor(round(end * 1000, 3))
        parts: dict[tuple[str, ...], list[Series]] = {}
        for begin in range(first, last + 1, _PART_MS):
            for one in self._part(selector, begin, min(begin + _PART_MS - 1, last)):
                identity = (one.metric, *(f"{name}={value}" for name, value in sorted(one.labels.items())))
                parts.setdefault(identity, []).append(one)
        return [join_parts(pieces) for pieces in parts.values()]

    def _part(self, selector: str, first: int, last: int) -> Iterator[Series]:
        """Read the samples from `first` to `last`, both in ms and included."""
        import numpy as np

        # Prometheus 3 leaves out a sample on the left edge, Prometheus 2 does not: one more ms is asked for, and cut.
        for entry in self._query(f"{selector}[{last - first + 1}ms]", f"{last / 1000:.3f}"):
            times = np.array([time for time, _ in entry["values"]], dtype=np.float64)
            values = np.array([float(value) for _, value in entry["values"]], dtype=np.float64)
            inside = (np.rint(times * 1000) >= first) & (np.rint(times * 1000) <= last)
            if inside.any():
                labels = {name: value for name, value in entry["metric"].items() if name != "__name__"}
                yield Series(entry["metric"].get("__name__", ""), labels, times[inside], values[inside])

    def scraped(self, since: float) -> set[tuple[str, str, str]]:
        """Return the (job, host, address) of the targets that were scraped with success after `since` (Unix seconds).

        Each by its address: a host that was stopped has another one when it starts again, and of a Prometheus that was
        stopped with it nobody hears for five minutes that the former target is gone.
        """
        answer = self._query(f"timestamp(up) > {since:.3f} and up == 1")
        labels = [entry["metric"] for entry in answer]
        return {(one["job"], one["host"], one["instance"]) for one in labels}

    def progress(self, window: timedelta, metrics: Metrics = LOAD_GENERATOR) -> Progress:
        """Return what was done over the last `window`, in one request: for display, not for results.

        The rates are Prometheus' own extrapolations; `window` should span four scrapes.
        """
        answer = self._query(_progress_query(round(window.total_seconds() * 1000), metrics))
        values = {entry["metric"]["figure"]: float(entry["value"][1]) for entry in answer}
        return Progress(**{name: value for name, value in values.items() if math.isfinite(value)})

    def _query(self, query: str, time: str | None = None) -> list[Any]:
        parameters = {"timeout": f"{self._timeout:g}s"} | ({"time": time} if time else {})
        with self._explained(query):
            answer: list[Any] = self._connection.custom_query(query, params=parameters)
            return answer

    @contextmanager
    def _explained(self, query: str) -> Iterator[None]:
        """Turn what the client library raises into what was asked, of whom, and what came back."""
        from prometheus_api_client.exceptions import PrometheusApiClientException
        from requests import RequestException

        try:
            yield
        except PrometheusApiClientException as error:
            raise InfrastructureError(f"Prometheus at {self.url} refused the query {query}: {error}") from None
        except (KeyError, TypeError, ValueError) as error:  # requests' own JSON error is a ValueError, too
            raise InfrastructureError(
                f"what answered at {self.url} is not Prometheus: {type(error).__name__}: {error}; "
                "does the tunnel end at the monitoring host?"
            ) from None
        except RequestException as error:
            cause = getattr(error.args[0], "reason", error) if error.args else error  # without the quoted query
            raise InfrastructureError(
                f"Prometheus at {self.url} gave no answer to {query} within {self._timeout:g} s: {cause}. "
                "Look at the monitoring host: is Prometheus running, does the tunnel stand?"
            ) from None


def _progress_query(milliseconds: int, metrics: Metrics) -> str:
    clients, latency = f'{{job="{metrics.job}"}}[{milliseconds}ms]', metrics.latency
    buckets = f"sum by (le) (rate({latency}_bucket{clients}))"
    completed = f"rate({metrics.completed}{clients})"
    figures = {
        "scheduled_tps": f"sum(rate(due{clients}))",
        # Where every replica counts every transaction, the one in the middle says how many there are.
        "completed_tps": f"quantile(0.5, {completed})" if metrics.counted_by == "every" else f"sum({completed})",
        "errors_tps": f"sum(rate(errors{clients}))",
        "inflight": f'sum(inflight{{job="{metrics.job}"}})',
        "mean_s": f"sum(rate({latency}_sum{clients})) / sum(rate({latency}_count{clients}))",
        "p50_s": f"histogram_quantile(0.5, {buckets})",
        "p99_s": f"histogram_quantile(0.99, {buckets})",
    }
    for job in ("node", "client"):
        figures |= {f"{job}s": f'count(up{{job="{job}"}})', f"{job}s_up": f'sum(up{{job="{job}"}})'}
    return " or ".join(f'label_replace({query}, "figure", "{name}", "", "")' for name, query in figures.items())
