"""Query the Prometheus server of a testbed for raw samples.

Rates and quantiles are computed from the samples later, not by Prometheus.
"""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from benchmark.errors import InfrastructureError, UsageError

if TYPE_CHECKING:  # numpy, requests and pyarrow take 0.1 s each to import: only commands that use them pay
    from collections.abc import Callable, Iterator

from benchmark.metrics.samples import Series, join_parts
from benchmark.metrics.targets import Identity, identity_of

T = TypeVar("T")
_PART_MS = 120_000
"""Range of one request for samples: limits its memory use and keeps it well below the timeout."""
_PAUSE_S = 0.5
"""Time between two tries of a request."""
_STARTING_S = 5.0
"""Time that Prometheus takes to start."""
_SHOWN = 80
"""Characters of a query that an error quotes."""


@dataclass(frozen=True)
class Answer:
    """One series of a query result: its labels, and its value as (Unix seconds, value)."""

    metric: dict[str, str]
    value: tuple[float, float]


@dataclass(frozen=True)
class _Stored:
    """The same with all values over a range."""

    metric: dict[str, str]
    values: list[tuple[float, float]]


@dataclass(frozen=True)
class _Target:
    """A scrape target, and why its last scrape failed, if it did."""

    labels: dict[str, str]
    last_error: Annotated[str, Field(alias="lastError")] = ""


@dataclass(frozen=True)
class _Targets:
    active: Annotated[list[_Target], Field(alias="activeTargets")]


@dataclass(frozen=True)
class _NativeHistogram:
    """A series that has no values; none is scraped with the configuration of testbeds."""

    metric: dict[str, str]
    histograms: list[object]


_ANSWERS, _TARGETS = TypeAdapter(list[Answer]), TypeAdapter(_Targets)
_STORED: TypeAdapter[list[_Stored | _NativeHistogram]] = TypeAdapter(
    list[Annotated[_Stored | _NativeHistogram, Field(union_mode="left_to_right")]]
)


class _NotAnsweringError(InfrastructureError):
    """Prometheus is restarting or out of reach: a later request may succeed."""


class Prometheus:
    """Client of the Prometheus server at `url`, usually the local end of a tunnel; close it after use.

    A request that takes longer than `timeout`, fails or returns an invalid response raises InfrastructureError. While
    the server is restarting or out of reach, requests are repeated for `patience`.
    """

    def __init__(
        self, url: str, timeout: timedelta = timedelta(seconds=10), patience: timedelta = timedelta(0)
    ) -> None:
        import requests
        from prometheus_api_client import PrometheusConnect
        from urllib3.util.retry import Retry

        session = requests.Session()
        session.trust_env = False  # the operator's proxy cannot reach the tunnel and must not see it
        retry = Retry(connect=2, read=0, status=0, backoff_factor=0.1)  # a read that timed out has used up its time
        self.url = url
        self._timeout = timeout.total_seconds()
        self._patience = patience.total_seconds()
        self._session = session
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
        for entry in self._query(_STORED, f"{selector}[{last - first + 1}ms]", at=f"{last / 1000:.3f}"):
            if isinstance(entry, _NativeHistogram):
                continue
            times, values = np.array(entry.values, dtype=np.float64).reshape(-1, 2).T
            inside = (np.rint(times * 1000) >= first) & (np.rint(times * 1000) <= last)
            if inside.any():
                labels = {name: value for name, value in entry.metric.items() if name != "__name__"}
                yield Series(entry.metric.get("__name__", ""), labels, times[inside], values[inside])

    def scraped(self, since: float) -> set[Identity]:
        """Return the (job, host, address) of targets scraped successfully after `since` (Unix seconds).

        The address distinguishes a restarted host, which has a new one, from its former target: a Prometheus that was
        stopped as well reports that target for another five minutes.
        """
        return {identity_of(entry.metric) for entry in self.query(f"timestamp(up) > {since:.3f} and up == 1")}

    def scrape_errors(self) -> dict[Identity, str]:
        """Return why the last scrape of each target failed, in the words of Prometheus; empty if it did not fail.

        https://prometheus.io/docs/prometheus/latest/querying/api/#targets
        """
        url = f"{self.url}/api/v1/targets"

        def get() -> object:
            answer = self._session.get(url, params={"state": "active"}, timeout=self._timeout)
            return answer.json()["data"]

        found = self._ask(_TARGETS, "its targets", get, self._timeout, self._patience)
        return {identity_of(target.labels): target.last_error for target in found.active}

    def problem(self) -> str:
        """Return why it cannot answer queries; empty if it can. One that just started gets some seconds."""
        deadline = time.monotonic() + _STARTING_S
        while True:
            try:
                answer = self._session.get(f"{self.url}/-/ready", timeout=self._timeout)
                found = "" if answer.ok else f"Prometheus is not ready: {answer.text.strip()[:_SHOWN]}"
            except OSError as error:  # those of requests are
                found = f"Prometheus does not answer: {_cause(error)}"
            if not found or time.monotonic() > deadline:
                return found
            time.sleep(_PAUSE_S)

    def exported(self, job: str) -> set[str]:
        """Return the names of all metrics that the processes of `job` export now."""
        return {entry.metric.get("__name__", "") for entry in self.query(f'count by (__name__) ({{job="{job}"}})')}

    def query(self, query: str, timeout: timedelta | None = None) -> list[Answer]:
        """Return the current result of a query; one with a `timeout` of its own is not repeated."""
        return self._query(_ANSWERS, query, timeout=timeout)

    def _query(self, kind: TypeAdapter[T], query: str, *, at: str | None = None, timeout: timedelta | None = None) -> T:
        seconds = timeout.total_seconds() if timeout else self._timeout
        parameters = {"timeout": f"{seconds:g}s"} | ({"time": at} if at else {})
        shown = query if len(query) <= _SHOWN else f"{query[:_SHOWN]}…"
        return self._ask(
            kind,
            f"the query {shown}",
            lambda: self._connection.custom_query(query, params=parameters, timeout=seconds),
            seconds,
            0.0 if timeout else self._patience,
        )

    def _ask(self, kind: TypeAdapter[T], what: str, get: Callable[[], object], timeout: float, patience: float) -> T:
        """Return the answer of `get` as `kind`; InfrastructureError if there is none or it is malformed."""
        deadline = time.monotonic() + patience
        while True:
            try:
                return self._ask_once(kind, what, get, timeout)
            except _NotAnsweringError:
                if time.monotonic() + _PAUSE_S > deadline:
                    raise
                time.sleep(_PAUSE_S)

    def _ask_once(self, kind: TypeAdapter[T], what: str, get: Callable[[], object], timeout: float) -> T:
        from prometheus_api_client.exceptions import PrometheusApiClientException

        try:
            return kind.validate_python(get())
        except PrometheusApiClientException as error:
            starting = str(error).startswith("HTTP Status Code 503")
            failure = _NotAnsweringError if starting else InfrastructureError
            raise failure(f"Prometheus at {self.url} rejected {what}: {error}") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise InfrastructureError(
                f"Prometheus at {self.url} gave a malformed answer to {what}: {where}: {first['msg']}, "
                f"found {str(first['input'])[:_SHOWN]!r}"
            ) from None
        except (KeyError, TypeError, ValueError, RecursionError) as error:  # the JSON error of requests is a ValueError
            raise InfrastructureError(
                f"the server at {self.url} is not Prometheus: {type(error).__name__}: {error}; "
                "check that the tunnel ends at the monitoring host"
            ) from None
        except OSError as error:  # those of requests are
            raise _NotAnsweringError(
                f"Prometheus at {self.url} did not answer {what} within {timeout:g} s: {_cause(error)}; "
                "check that it is running on the monitoring host and that the tunnel is open"
            ) from None


def _cause(error: BaseException) -> str:
    """Return the innermost cause of an error of requests, without the address and the query that its text repeats."""
    while True:
        reason = getattr(error, "reason", None)
        causes = [each for each in (reason, *reversed(error.args)) if isinstance(each, BaseException)]
        if not causes:
            return re.sub(r"^HTTPConnectionPool\([^)]*\): |^<[^>]*>: |^\[Errno \d+\] ", "", str(error))
        error = causes[0]
