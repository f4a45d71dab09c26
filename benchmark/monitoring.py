"""Metrics as data: what Prometheus scrapes during a run, how its samples are read, and how they are kept.

Nothing here reaches a host: the runner writes the target files and opens the tunnel that `Prometheus` reads
through. Samples are always raw, as scraped; rates and quantiles are computed from them by the runner.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmark.errors import InfrastructureError, UsageError
from benchmark.inventory import NODE_EXPORTER_PORT, Host
from benchmark.metrics import LOAD_GENERATOR, Metrics

if TYPE_CHECKING:  # numpy, requests and pyarrow take 0.1 s each to import: only commands that use them pay
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

Job = Literal["host", "node", "client"]
JOBS: tuple[Job, ...] = ("host", "node", "client")
"""Node exporters, nodes of the system under test, load generators."""

_PART_MS = 120_000
"""How much time one request for samples covers: bounds its memory and keeps it far from its timeout."""


@dataclass(frozen=True)
class Endpoint:
    """Where a node or a client of a run serves its metrics over HTTP."""

    host: str
    port: int
    job: Literal["node", "client"]
    path: str = "/metrics"


@dataclass(frozen=True)
class Mark:
    """Something that happened during a run and is shown in the dashboards; `time` in Unix seconds."""

    time: float
    kind: Literal["phase", "fault"]
    name: str
    detail: str = ""


@dataclass(frozen=True, eq=False)
class Series:
    """The samples of one time series: `times` in Unix seconds and `values`, float64 of one length, by time."""

    metric: str
    labels: dict[str, str]
    times: NDArray[np.float64]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class Progress:
    """What all clients together do now, for the eye: rates in tx/s, latencies in s; null where nothing was seen."""

    offered_tps: float | None = None
    achieved_tps: float | None = None
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


def targets(hosts: Sequence[Host], endpoints: Iterable[Endpoint]) -> dict[str, str]:
    """Return the target files of a run: file name in TARGETS_DIRECTORY to content, the same for the same run.

    Every host with an address is a target of job `host`. Files of jobs without targets are there, and empty,
    so that they replace those of an earlier run. Format: https://prometheus.io/docs/prometheus/latest/http_sd/
    (that of file_sd). UsageError if an endpoint's host is unknown.
    """
    by_name = {host.name: host for host in hosts}
    groups: dict[Job, list[dict[str, Any]]] = {job: [] for job in JOBS}
    groups["host"] = [_target(host, "host", NODE_EXPORTER_PORT) for host in hosts if host.address]
    for endpoint in endpoints:
        if endpoint.host not in by_name:
            raise UsageError(f"no host named {endpoint.host!r} to scrape; the hosts are: {', '.join(by_name)}")
        groups[endpoint.job].append(_target(by_name[endpoint.host], endpoint.job, endpoint.port, endpoint.path))
    return {f"{job}.json": json.dumps(group, indent=1) + "\n" for job, group in groups.items()}


def scraped_at(host: Host, port: int) -> str:
    """Return the address of a target, which Prometheus makes its label `instance`."""
    return f"[{host.address}]:{port}" if ":" in host.address else f"{host.address}:{port}"


def identities(hosts: Iterable[Host], endpoints: Iterable[Endpoint]) -> set[tuple[str, str, str]]:
    """Return the (job, host, address) of the targets of a run, by which its series are told from all others.

    Hosts that were stopped may come back with each other's addresses, and until Prometheus has read the new targets it
    scrapes them under the names that these addresses had.
    """
    by_name = {host.name: host for host in hosts}
    found = {("host", host.name, scraped_at(host, NODE_EXPORTER_PORT)) for host in by_name.values()}
    return found | {(one.job, one.host, scraped_at(by_name[one.host], one.port)) for one in endpoints}


def _target(host: Host, job: Job, port: int, path: str = "/metrics") -> dict[str, Any]:
    labels = {"job": job, "host": host.name, "region": host.region, "role": host.role}
    if path != "/metrics":
        labels["__metrics_path__"] = path
    return {"targets": [scraped_at(host, port)], "labels": labels}


def marks(run: str, events: Iterable[Mark]) -> str:
    """Return the marks of run `run` in Prometheus' text format, for a node exporter's textfile collector."""
    lines = [
        "# HELP run_mark_time_seconds When a phase or a fault of a run began.",
        "# TYPE run_mark_time_seconds gauge",
    ]
    for event in events:
        labels = {"run": run, "kind": event.kind, "mark": event.name, "detail": event.detail}
        shown = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
        lines.append(f"run_mark_time_seconds{{{shown}}} {event.time:.3f}")
    return "\n".join(lines) + "\n"


def _escaped(value: str) -> str:
    """Escape a label value: https://prometheus.io/docs/instrumenting/exposition_formats/"""
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


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
        return [_joined(pieces) for pieces in parts.values()]

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


def _joined(parts: list[Series]) -> Series:
    """Put the parts of one series, in the order of time, together."""
    import numpy as np

    times, values = (np.concatenate(arrays) for arrays in zip(*((one.times, one.values) for one in parts), strict=True))
    return Series(parts[0].metric, parts[0].labels, times, values)


def _progress_query(milliseconds: int, metrics: Metrics) -> str:
    clients, latency = f'{{job="{metrics.job}"}}[{milliseconds}ms]', metrics.latency
    buckets = f"sum by (le) (rate({latency}_bucket{clients}))"
    completed = f"rate({metrics.completed}{clients})"
    figures = {
        "offered_tps": f"sum(rate(due{clients}))",
        # Where every replica counts every transaction, the one in the middle says how many there are.
        "achieved_tps": f"quantile(0.5, {completed})" if metrics.counted_by == "every" else f"sum({completed})",
        "errors_tps": f"sum(rate(errors{clients}))",
        "inflight": f'sum(inflight{{job="{metrics.job}"}})',
        "mean_s": f"sum(rate({latency}_sum{clients})) / sum(rate({latency}_count{clients}))",
        "p50_s": f"histogram_quantile(0.5, {buckets})",
        "p99_s": f"histogram_quantile(0.99, {buckets})",
    }
    for job in ("node", "client"):
        figures |= {f"{job}s": f'count(up{{job="{job}"}})', f"{job}s_up": f'sum(up{{job="{job}"}})'}
    return " or ".join(f'label_replace({query}, "figure", "{name}", "", "")' for name, query in figures.items())


def write_samples(path: Path, series: Iterable[Series]) -> None:
    """Write `series` to a Parquet file, whole or not at all.

    Columns: metric and labels (JSON, keys sorted) as dictionaries, time (UTC, ms, as Prometheus keeps it), value.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    kept = list(series)
    lengths = [len(one.times) for one in kept]

    def column(names: list[str]) -> pa.DictionaryArray:
        codes = {name: code for code, name in enumerate(dict.fromkeys(names))}
        indices = np.repeat(np.array([codes[name] for name in names], dtype=np.int32), lengths)
        return pa.DictionaryArray.from_arrays(indices, pa.array(list(codes), pa.string()))

    times = np.concatenate([one.times for one in kept]) if kept else np.empty(0)
    values = np.concatenate([one.values for one in kept]) if kept else np.empty(0)
    columns = {
        "metric": column([one.metric for one in kept]),
        "labels": column([json.dumps(one.labels, sort_keys=True) for one in kept]),
        "time": pa.array(np.rint(times * 1000).astype(np.int64)).cast(pa.timestamp("ms", tz="UTC")),
        "value": pa.array(values, pa.float64()),
    }
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        pq.write_table(pa.table(columns), unfinished, compression="zstd")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def read_samples(path: Path) -> list[Series]:
    """Read the series that `write_samples` wrote, in their order; UsageError if the file is missing or is none."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, read_dictionary=["metric", "labels"]).unify_dictionaries().combine_chunks()
        metric, labels = (table.column(name).combine_chunks() for name in ("metric", "labels"))
        times = table.column("time").cast(pa.int64()).to_numpy() / 1000.0
        values = table.column("value").to_numpy()
    except (OSError, pa.ArrowException, KeyError) as error:
        raise UsageError(f"cannot read the samples {path}: {error}") from None
    if not len(values):
        return []
    metric_codes, label_codes = (column.indices.to_numpy() for column in (metric, labels))
    metric_names = metric.dictionary.to_pylist()
    label_sets = [json.loads(text) for text in labels.dictionary.to_pylist()]
    starts = np.flatnonzero((np.diff(metric_codes) != 0) | (np.diff(label_codes) != 0)) + 1
    edges = [0, *starts.tolist(), len(values)]
    return [
        Series(metric_names[metric_codes[first]], label_sets[label_codes[first]], times[first:last], values[first:last])
        for first, last in pairwise(edges)
    ]
