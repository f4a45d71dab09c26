"""Metrics as data: what Prometheus scrapes during a run, how its samples are read, and how they are kept.

Nothing here reaches a host: the runner writes the target files and opens the tunnel that `Prometheus` reads
through. Samples are always raw, as scraped; rates and quantiles are computed from them by the runner.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, NotRequired, TypedDict

from benchmark.errors import InfrastructureError, UsageError

if TYPE_CHECKING:  # numpy, requests and pyarrow take 0.1 s each to import: only commands that use them pay
    from collections.abc import Iterator

from benchmark.metrics.samples import Series, join_parts

_PART_MS = 120_000
"""How much time one request for samples covers: bounds its memory and keeps it far from its timeout."""


class Answer(TypedDict):
    """One series of an answer: its labels, and its value now or its values over a range, as (Unix s, text)."""

    metric: dict[str, str]
    value: NotRequired[tuple[float, str]]
    values: NotRequired[list[tuple[float, str]]]


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
        for entry in self.query(f"{selector}[{last - first + 1}ms]", f"{last / 1000:.3f}"):
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
        answer = self.query(f"timestamp(up) > {since:.3f} and up == 1")
        labels = [entry["metric"] for entry in answer]
        return {(one["job"], one["host"], one["instance"]) for one in labels}

    def query(self, query: str, time: str | None = None) -> list[Answer]:
        """Return the answer to an instant query at `time` (Unix seconds as text; now by default)."""
        parameters = {"timeout": f"{self._timeout:g}s"} | ({"time": time} if time else {})
        with self._explained(query):
            answer: list[Answer] = self._connection.custom_query(query, params=parameters)
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
