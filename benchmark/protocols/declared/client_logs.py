"""What described load generators write instead of exporting metrics: histograms, or a line for each request."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainValidator,
    StringConstraints,
    model_validator,
)

from benchmark.host_scripts.load_generator.config import WORKLOAD
from benchmark.metrics.foreign_logs import HistogramTags
from benchmark.metrics.names import Unit
from benchmark.metrics.request_log import RequestColumns
from benchmark.settings import pattern

_WORKLOAD = pattern(f"^{WORKLOAD}$", "letters, digits, '-' and '_', starting with a letter or digit")
_FILES = pattern(
    r"^[A-Za-z0-9_*-][A-Za-z0-9_.*-]*(/[A-Za-z0-9_*-][A-Za-z0-9_.*-]*)*$",
    "a relative path of letters, digits, '_', '-', '.' and '*', no part of which begins with '.'",
)
_METRIC = pattern(r"^[A-Za-z_:][A-Za-z0-9_:]*$", "the name of a metric: letters, digits, '_' and ':'")
MetricName = Annotated[str, StringConstraints(pattern=_METRIC)]
Workload = Annotated[str, StringConstraints(pattern=_WORKLOAD)]
FilePattern = Annotated[str, StringConstraints(pattern=_FILES)]
"""A path in the client's folder in which `*` stands for any characters; all matching files count."""
TextPattern = Annotated[str, StringConstraints(min_length=1, max_length=100)]
"""A pattern as those of file names: `*`, `?` and `[a-z]`."""


def _check_column(value: object) -> int | str:
    size = value if isinstance(value, int) and value is not True else len(value) if isinstance(value, str) else 0
    if not isinstance(value, int | str) or not 0 < size <= 1000:
        raise ValueError("expected the number of a column, from 1, or its name")
    return value


Column = Annotated[int | str, PlainValidator(_check_column, json_schema_input_type=int | str)]
"""A column's number, in a file without a header, or its name in the first line."""


def _check_times(value: object) -> list[object]:
    times = value if isinstance(value, list | tuple) else [value]
    if not 0 < len(times) <= 2:
        raise ValueError("expected one column, or two: [SECONDS, MICROSECONDS]")
    return list(times)


class DeclaredModel(BaseModel):
    """A part of a description."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, populate_by_name=True, coerce_numbers_to_str=True
    )


class HistogramsDeclaration(DeclaredModel):
    """Files to which a load generator writes HdrHistogram interval logs."""

    file: FilePattern
    unit: Unit = "us"
    """Unit of the values: ns, us, ms or s."""
    completed: tuple[TextPattern, ...] = ("*",)
    """Tags of requests that completed; all others are left out. Lines without a tag have the name of their file."""
    failed: tuple[TextPattern, ...] = ()
    """Tags of requests that failed."""

    @model_validator(mode="before")
    @classmethod
    def _from_file(cls, declared: object) -> object:
        return {"file": declared} if isinstance(declared, str) else declared

    @property
    def source(self) -> HistogramTags:
        """How the files are read."""
        return HistogramTags(self.unit, self.completed, self.failed)


class RequestsDeclaration(DeclaredModel):
    """Files in which a load generator lists its requests, one a line: as CSV, or separated by tabs or spaces."""

    file: FilePattern
    time: Annotated[
        tuple[Column, ...], BeforeValidator(_check_times, json_schema_input_type=int | str | list[int | str])
    ]
    """Column of the Unix time, in s, ms, us or ns; or two columns: the seconds, and the microseconds to add."""
    time_of: Literal["start", "end"] = "end"
    """Which end of the request that time is."""
    latency: Column
    unit: Unit
    """Unit of the latency: ns, us, ms or s."""
    error: Column | None = None
    """Column of the type of the failure, or of the outcome."""
    success: TextPattern | None = None
    """What `error` is if the request succeeded, a pattern such as `2??`; empty or 0 if not set."""
    only: dict[Column, str] = {}
    """Requests are the lines whose columns have these values; all if empty."""
    workload: Workload = "default"

    @model_validator(mode="after")
    def _columns_alike(self) -> RequestsDeclaration:
        if len({type(column) for column in self.source.all}) > 1:
            raise ValueError(
                "found names and numbers of columns; expected names if the file has a header, else numbers"
            )
        if self.success and self.error is None:
            raise ValueError("found `success` without `error`; expected the column that it is the success of")
        return self

    @property
    def source(self) -> RequestColumns:
        """How the files are read."""
        return RequestColumns(**self.model_dump(exclude={"file"}))
