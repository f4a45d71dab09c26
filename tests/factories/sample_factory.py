"""Simulated clients for the tests: a log of requests, and the samples that Prometheus would store of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmark.metrics.samples import Series

Array = NDArray[np.float64]
BOUNDS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, math.inf)


def labels_of(host: str, region: str = "us-east-1", job: str = "client") -> dict[str, str]:
    return {"job": job, "host": host, "region": region, "instance": f"{host}:9200"}


def series(metric: str, labels: Mapping[str, str], times: Sequence[float] | Array, values: object) -> Series:
    filled = np.broadcast_to(np.asarray(values, dtype=np.float64), np.shape(times)).copy()
    return Series(metric, dict(labels), np.asarray(times, dtype=np.float64), filled)


def histogram(
    metric: str,
    labels: Mapping[str, str],
    scrapes: Array,
    when: Array,
    observed: Array,
    bounds: Sequence[float] = BOUNDS,
) -> list[Series]:
    """The series of a histogram that observed `observed[i]` at `when[i]`, scraped at `scrapes`."""
    order = np.argsort(when, kind="stable")
    when, observed = when[order], observed[order]
    seen = np.searchsorted(when, scrapes, side="right")

    def counter(weights: Array) -> Array:
        return np.concatenate([np.zeros(1), np.cumsum(weights)])[seen]

    made = [
        series(
            f"{metric}_bucket",
            {**labels, "le": f"{bound}"},
            scrapes,
            counter(np.asarray(observed <= bound, dtype=np.float64)),
        )
        for bound in bounds
    ]
    made.append(series(f"{metric}_count", labels, scrapes, counter(np.ones(len(observed), dtype=np.float64))))
    made.append(series(f"{metric}_sum", labels, scrapes, counter(observed)))
    return made


def client(
    host: str,
    scrapes: Array,
    due: Array,
    latency: Array,
    *,
    region: str = "us-east-1",
    lateness: float = 0.0001,
    bounds: Sequence[float] = BOUNDS,
    job: str = "client",
) -> list[Series]:
    """The series of a client whose request i was due at `due[i]` and completed `latency[i]` later."""
    labels = labels_of(host, region, job)
    loaded = {**labels, "workload": "put"}
    order = np.argsort(due + latency)
    done = (due + latency)[order]
    squares = np.concatenate([[0.0], np.cumsum(latency[order] ** 2)])[np.searchsorted(done, scrapes, side="right")]
    sent = np.searchsorted(np.sort(due), scrapes, side="right").astype(np.float64)
    completed = np.searchsorted(done, scrapes, side="right")
    return [
        *histogram("latency_s", loaded, scrapes, due + latency, latency, bounds),
        series("latency_squared_s", loaded, scrapes, squares),
        series("submitted", labels, scrapes, sent),
        series("due", labels, scrapes, sent),
        series("inflight", labels, scrapes, sent - completed),
        series("start_time_s", labels, scrapes, 990.0),
        series("errors", {**labels, "error_type": "timeout"}, scrapes, 0.0),
        *histogram("lateness_s", labels, scrapes, due, np.full(len(due), lateness), (0.001, 0.005, 0.02, 0.1, 1.0)),
    ]


def failures(host: str, scrapes: Array, when: Array, timeout: float = 2.0) -> list[Series]:
    """The series of the failed requests of a client: when each timed out, and after how many seconds."""
    labels = labels_of(host)
    counted = np.searchsorted(when, scrapes, side="right").astype(np.float64)
    return [
        series("errors", {**labels, "error_type": "timeout"}, scrapes, counted),
        series("timeout_s", labels, scrapes, timeout),
    ]


def steady(host: str, *, rate: float = 100.0, latency: float = 0.12, region: str = "us-east-1") -> list[Series]:
    """A client that sends `rate` tx/s from 1000 to 1060, all of the same latency, scraped each second."""
    due = np.arange(1000.0, 1060.0, 1 / rate)
    return client(host, np.arange(1000.0, 1061.0), due, np.full(len(due), latency), region=region)
