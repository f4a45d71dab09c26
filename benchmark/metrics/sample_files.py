"""Store raw samples in Parquet files."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter, ValidationError

from benchmark.errors import UsageError
from benchmark.files import replace_file
from benchmark.metrics.samples import Series

_LABELS = TypeAdapter(dict[str, str])


def write_samples(path: Path, series: Iterable[Series]) -> None:
    """Write `series` to a Parquet file, atomically.

    Columns: metric and labels (JSON with sorted keys) as dictionaries, time (UTC, ms as in Prometheus), value.
    """
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
    with replace_file(path) as file:
        pq.write_table(pa.table(columns), file, compression="zstd")


def read_samples(path: Path) -> list[Series]:
    """Read the series of a file in the order written, each ordered by time, whatever the order of its rows.

    UsageError if it is missing or not a samples file.
    """
    dictionary = pa.dictionary(pa.int32(), pa.string())
    try:
        table = pq.read_table(path, columns=["metric", "labels", "time", "value"])
        table = table.cast(
            pa.schema(
                [
                    ("metric", dictionary),
                    ("labels", dictionary),
                    ("time", pa.timestamp("ms", tz="UTC")),
                    ("value", pa.float64()),
                ]
            )
        )
        if nulls := [name for name in table.column_names if table.column(name).null_count]:
            raise ValueError(f"no value in column {', '.join(nulls)}")
        table = table.unify_dictionaries().combine_chunks()
        metric, labels = (table.column(name).combine_chunks() for name in ("metric", "labels"))
        times = table.column("time").cast(pa.int64()).to_numpy() / 1000.0
        values = table.column("value").to_numpy()
        label_sets = [_LABELS.validate_json(text) for text in labels.dictionary.to_pylist()] if len(values) else []
    except ValidationError as error:
        raise UsageError(f"cannot read the samples {path}: labels: {error.errors()[0]['msg']}") from None
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise UsageError(f"cannot read the samples {path}: {error}") from None
    if not len(values):
        return []
    metric_codes, label_codes = (column.indices.to_numpy() for column in (metric, labels))
    metric_names = metric.dictionary.to_pylist()
    identity = metric_codes.astype(np.int64) * len(label_sets) + label_codes
    starts = np.flatnonzero(np.diff(identity)) + 1
    begins = identity[np.concatenate([[0], starts])]
    if len(np.unique(begins)) < len(begins) or not np.isin(np.flatnonzero(np.diff(times) < 0) + 1, starts).all():
        # Parts of a series would count as so many series.
        _, first, group = np.unique(identity, return_index=True, return_inverse=True)
        order = np.lexsort((times, first[group]))
        times, values, identity = times[order], values[order], identity[order]
        metric_codes, label_codes = metric_codes[order], label_codes[order]
        starts = np.flatnonzero(np.diff(identity)) + 1
    edges = [0, *starts.tolist(), len(values)]
    return [
        Series(metric_names[metric_codes[first]], label_sets[label_codes[first]], times[first:last], values[first:last])
        for first, last in pairwise(edges)
    ]
