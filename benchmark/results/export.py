"""Export the catalogue of results as a table: a row for each result."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from pathlib import Path

from benchmark.errors import UsageError
from benchmark.files import replace_file, write_atomically
from benchmark.results.catalogue import Entry
from benchmark.results.run_folder import storing

Cell = str | float | int | bool | datetime | None
COLUMNS = (
    "id", "testbed", "began", *(field.name for field in fields(Entry) if field.name not in ("folder", "runs"))
)  # fmt: skip


def table_row(entry: Entry) -> dict[str, Cell]:
    """Return an entry as a row: times in UTC, rates in tx/s, latencies in seconds, tags joined by spaces."""
    row: dict[str, Cell] = {name: getattr(entry, name) for name in COLUMNS}
    return row | {"tags": " ".join(entry.tags)}


def write_table(entries: Sequence[Entry], path: Path) -> None:
    """Write the entries to a .csv, .json or .parquet file; UsageError for other names."""
    rows = [table_row(entry) for entry in entries]
    if path.suffix not in (".csv", ".json", ".parquet"):
        raise UsageError(f"{path}: expected a name that ends with .csv, .json or .parquet")
    with storing(path):
        if path.suffix == ".parquet":
            _write_parquet(rows, path)
        else:
            texts = [
                row | {"began": row["began"].isoformat() if isinstance(row["began"], datetime) else None}
                for row in rows
            ]
            write_atomically(path, _csv(texts) if path.suffix == ".csv" else json.dumps(texts, indent=2) + "\n")


def _csv(rows: Sequence[dict[str, Cell]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _write_parquet(rows: Sequence[dict[str, Cell]], path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    text, number, count, truth = pa.string(), pa.float64(), pa.int64(), pa.bool_()
    types = {"began": pa.timestamp("s", tz="UTC"), "saturated": truth}
    types |= dict.fromkeys(("nodes", "clients", "failed", "warnings", "faults"), count)
    types |= {name: number for name in COLUMNS if name.endswith(("_s", "_tps"))}
    schema = pa.schema([(name, types.get(name, text)) for name in COLUMNS])
    with replace_file(path) as file:
        parquet.write_table(pa.Table.from_pylist(list(rows), schema), file)
