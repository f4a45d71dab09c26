"""Query the Prometheus server of a testbed for raw samples.

Rates and quantiles are computed from the samples later, not by Prometheus.
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, NotRequired, TypedDict

from benchmark.errors import InfrastructureError, UsageError

if TYPE_CHECKING:  # numpy, requests and pyarrow take 0.1 s each to import: only commands that use them pay
    from collections.abc import Iterator

from benchmark.metrics.samples import Series, join_parts

_PART_MS = 120_000
"""Range of one request for samples: limits its memory use and keeps it well below the timeout."""


class Answer(TypedDict):
    """One series of a query result: its labels, and its value or its values over a range, as (Unix seconds, text)."""

    metric: dict[str, str]
    value: NotRequired[tuple[float, str]]
    values: NotRequired[list[tuple[float, str]]]


class Prometheus:
    """Client of the Prometheus server at `url`, usually the local end of a tunnel; close it after use.

    A request that takes longer than `timeout`, fails or returns an invalid response raises InfrastructureError.
    """

    def __init__(self, url: str, timeout: timedelta = timedelta(seconds=10)) -> None:
        import requests
        from prometheus_api_client import PrometheusConnect
        from urllib3.util.retry import Retry

        session = requests.Session()
        session.trust_env = False  # the operator's proxy cannot reach the tunnel and must not see it
        retry = Retry(connect=2, read=0, status=0, backoff_factor=0.1)  # a read that timed out has used up its time
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
        """Return all samples scraped from `start` to `end` (Unix seconds, inclusive), unchanged.

        An instant query with a range selector returns the stored samples; query_range would interpolate:
        https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries
        """
        if end < start:
            raise UsageError(f"cannot query samples of {selector}: the end {end} is before the start {start}")
        first, last = math.ceil(round(start * 1000, 3)), math.floor(round(end * 1000, 3))
        parts: dict[tuple[str, ...], list[Series]] = {}
        for begin in range(first, last + 1, _PART_MS):
            for one in self._part(selector, begin, min(begin + _PART_MS - 1, last)):
                identity = (one.metric, *(f"{name}={value}" for name, value in sorted(one.labels.items())))
                parts.setdefault(identity, []).append(one)
        return [join_parts(pieces) for pieces in parts.values()]

    def _part(self, selector: str, first: int, last: int) -> Iterator[Series]:
        """Query the samples from `first` to `last` (ms, inclusive)."""
        import numpy as np

        # Prometheus 3 excludes a sample at the left edge, Prometheus 2 does not: query one more ms and cut it off.
        for entry in self.query(f"{selector}[{last - first + 1}ms]", f"{last / 1000:.3f}"):
            times = np.array([time for time, _ in entry["values"]], dtype=np.float64)
            values = np.array([float(value) for _, value in entry["values"]], dtype=np.float64)
            inside = (np.rint(times * 1000) >= first) & (np.rint(times * 1000) <= last)
            if inside.any():
                labels = {name: value for name, value in entry["metric"].items() if name != "__name__"}
                yield Series(entry["metric"].get("__name__", ""), labels, times[inside], values[inside])

    def scraped(self, since: float) -> set[tuple[str, str, str]]:
        """Return the (job, host, address) of targets scraped successfully after `since` (Unix seconds).

        The address distinguishes a restarted host, which has a new one, from its former target: a Prometheus that was
        stopped as well reports that target for another five minutes.
        """
        labels = [entry["metric"] for entry in self.query(f"timestamp(up) > {since:.3f} and up == 1")]
        return {(one["job"], one["host"], one["instance"]) for one in labels}

    def query(self, query: str, time: str | None = None) -> list[Answer]:
        """Return the result of an instant query at `time` (Unix seconds as text; default now)."""
        from prometheus_api_client.exceptions import PrometheusApiClientException
        from requests import RequestException

        parameters = {"timeout": f"{self._timeout:g}s"} | ({"time": time} if time else {})
        try:
            answer: list[Answer] = self._connection.custom_query(query, params=parameters)
        except PrometheusApiClientException as error:
            raise InfrastructureError(f"Prometheus at {self.url} rejected the query {query}: {error}") from None
        except (KeyError, TypeError, ValueError) as error:  # including the JSON error of requests, a ValueError
            raise InfrastructureError(
                f"the server at {self.url} is not Prometheus: {type(error).__name__}: {error}; "
                "check that the tunnel ends at the monitoring host"
            ) from None
        except RequestException as error:
            cause = getattr(error.args[0], "reason", error) if error.args else error  # without the quoted query
            raise InfrastructureError(
                f"Prometheus at {self.url} did not answer {query} within {self._timeout:g} s: {cause}; "
                "check that it is running on the monitoring host and that the tunnel is open"
            ) from None
        return answer
