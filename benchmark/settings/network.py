"""The emulated network in the settings, and the files that describe one: a matrix of links, a trace of round trips.

`python -m benchmark network measure` writes both files from a testbed; `network.links` and `network.trace` replay them.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import yaml
from pydantic import BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from benchmark.errors import SettingsError
from benchmark.settings.base import SettingsModel
from benchmark.settings.document import read_document
from benchmark.settings.validation import explain_errors

LONGEST_MS = 60_000.0
"""Longest delay or round trip of a link."""
TRACE_COLUMNS = ("time_s", "from", "to", "rtt_ms")
_MOST_ROWS = 5_000_000
_LONGEST_LINE = 1000


class Jitter(SettingsModel):
    """Variation of a link's delay."""

    stdev_ms: float = Field(ge=0.0, le=LONGEST_MS)
    """Standard deviation of the one-way delay in ms."""
    distribution: Literal["normal", "pareto"] = "normal"
    """`normal` is symmetric around the delay; `pareto` (shape 5) has a long tail of late packets. The mean stays the
    delay, which never falls below 0."""
    reorder: bool = False
    """Whether a packet may overtake its predecessor; otherwise packets between two hosts keep their order."""


class Loss(SettingsModel):
    """Loss of packets on a link."""

    share: float = Field(ge=0.0, lt=1.0)
    """Share of packets lost, 0 to 1."""
    mean_burst: float = Field(default=1.0, ge=1.0, le=1e6)
    """Mean number of packets lost in a row (Gilbert's model); 1 loses each packet independently of its predecessor."""

    @model_validator(mode="after")
    def _possible(self) -> Loss:
        """Reject bursts that are too short for the share: after each, at least one packet passes."""
        least = self.share / (1 - self.share)
        if self.mean_burst != 1 and self.mean_burst < least:
            raise ValueError(
                f"found a mean_burst of {self.mean_burst:g} for a share of {self.share:g}, expected 1 or at least "
                f"{least:.3g}"
            )
        return self


def _normal_jitter(value: object) -> object:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return value
    if not 0 <= value <= LONGEST_MS:
        raise ValueError(f"expected a number from 0 to {LONGEST_MS:g}")
    return {"stdev_ms": value}


def _independent_loss(value: object) -> object:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return value
    if not 0 <= value < 1:
        raise ValueError("expected less than 1" if value >= 1 else "expected at least 0")
    return {"share": value}


_JitterOrStdev = Annotated[
    Jitter, BeforeValidator(_normal_jitter, Annotated[float, Field(ge=0.0, le=LONGEST_MS)] | Jitter)
]
_LossOrShare = Annotated[Loss, BeforeValidator(_independent_loss, Annotated[float, Field(ge=0.0, lt=1.0)] | Loss)]


class Link(SettingsModel):
    """One direction between two regions; what is not set keeps its default."""

    model_config = ConfigDict(populate_by_name=True)

    source: str = Field(validation_alias="from", serialization_alias="from")
    """Region that the packets leave."""
    destination: str = Field(validation_alias="to", serialization_alias="to")
    """Region that they reach; both are the same for packets within a region."""
    delay_ms: float | None = Field(default=None, ge=0.0, le=LONGEST_MS)
    """One-way delay in this direction in ms."""
    rtt_ms: float | None = Field(default=None, ge=0.0, le=LONGEST_MS)
    """Round trip in ms as measured from `from`; half of it is the delay in this direction."""
    jitter: _JitterOrStdev | None = None
    """Variation of the delay; a number is the standard deviation of a normal distribution in ms."""
    loss: _LossOrShare | None = None
    """Lost packets; a number is the share of packets that are lost independently."""
    rate_mbps: float | None = Field(default=None, gt=0.0)
    """Rate in Mb/s at which each host sends over the link; packets wait for at most 0.1 s, others are dropped."""

    @model_validator(mode="after")
    def _one_delay(self) -> Link:
        if self.delay_ms is not None and self.rtt_ms is not None:
            raise ValueError("found both delay_ms and rtt_ms; keep one of them")
        return self

    @property
    def one_way_ms(self) -> float | None:
        """Delay in this direction in ms; None if the link sets none."""
        return self.delay_ms if self.rtt_ms is None else self.rtt_ms / 2


class Matrix(SettingsModel):
    """A file of links between regions, at most one for each direction."""

    testbed_id: str | None = None
    """Testbed on which it was measured."""
    measured_at: datetime | None = None
    """When it was measured."""
    probes: int | None = None
    """Probes per link."""
    links: tuple[Link, ...]
    """Links in any order; a direction that is missing keeps its default."""

    @field_validator("links")
    @classmethod
    def _once(cls, value: tuple[Link, ...]) -> tuple[Link, ...]:
        return distinct(value)

    def to_yaml(self) -> str:
        """Write the matrix as `read_matrix` reads it, one line per link."""
        content = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        links = content.pop("links")
        lines = [
            f"  - {yaml.safe_dump(link, default_flow_style=True, sort_keys=False, width=math.inf)}" for link in links
        ]
        head = yaml.safe_dump(content, sort_keys=False) if content else ""
        return head + ("links:\n" + "".join(lines) if lines else "links: []\n")


def distinct(links: Sequence[Link]) -> tuple[Link, ...]:
    """Return `links`; ValueError if two of them have the same direction."""
    seen: set[tuple[str, str]] = set()
    for link in links:
        pair = (link.source, link.destination)
        if pair in seen:
            raise ValueError(f"the link from {link.source} to {link.destination} is given twice; keep one of them")
        seen.add(pair)
    return tuple(links)


def read_matrix(path: Path) -> Matrix:
    """Read a matrix of links from a YAML file; SettingsError names file, line and what is wrong."""
    document = read_document(path)
    try:
        return Matrix.model_validate(document.content)
    except ValidationError as error:
        found = explain_errors(error, Matrix, reference="docs/local-testbed.md describes the file")
        raise SettingsError("\n".join(f"{document.where(each.path)}: {each.message}" for each in found)) from None


class RoundTrip(NamedTuple):
    """One measured round trip, a row of a trace."""

    time_s: float
    """Seconds since the start of the trace."""
    source: str
    """Region that measured."""
    destination: str
    rtt_ms: float


Trace = Mapping[tuple[str, str], Sequence[tuple[float, float]]]
"""Times in s and round trips in ms of each direction, (from, to), in the order of time. A value holds until the next;
the first one also before its time. Half of it is the delay in that direction."""


def read_trace(path: Path) -> Trace:
    """Read a trace from a CSV file with the columns time_s, from, to and rtt_ms, sorted by time.

    SettingsError names file, line and what is wrong.
    """
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    last = 0.0
    number = 0
    try:
        with path.open(encoding="utf-8", newline="") as file:
            while line := file.readline(_LONGEST_LINE):
                number += 1
                cells = next(csv.reader([line]), [])
                if number == 1:
                    if tuple(cells) != TRACE_COLUMNS:
                        raise ValueError(f"expected the header {','.join(TRACE_COLUMNS)}")
                    continue
                if number > _MOST_ROWS:
                    raise ValueError(f"more than {_MOST_ROWS} rows")
                row = _round_trip(cells)
                if row.time_s < last:
                    raise ValueError(f"time_s {row.time_s:g} is before that of the previous line; sort by time")
                last = row.time_s
                found.setdefault((row.source, row.destination), []).append((row.time_s, row.rtt_ms))
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is not a text file in UTF-8") from None
    except (ValueError, csv.Error) as error:
        raise SettingsError(f"{path}, line {number}: {error}") from None
    if not found:
        raise SettingsError(f"{path} has no rows; expected {','.join(TRACE_COLUMNS)} and one row per round trip")
    return found


def _round_trip(cells: Sequence[str]) -> RoundTrip:
    """Read the cells of a row; ValueError where they are none."""
    if len(cells) != len(TRACE_COLUMNS) or not cells[1] or not cells[2]:
        raise ValueError(f"expected {','.join(TRACE_COLUMNS)}, found {len(cells)} columns")
    numbers = []
    for name, text, largest in (("time_s", cells[0], math.inf), ("rtt_ms", cells[3], LONGEST_MS)):
        try:
            numbers.append(float(text))
        except ValueError:
            numbers.append(math.nan)
        if not (0 <= numbers[-1] <= largest and math.isfinite(numbers[-1])):
            limit = f"a number from 0 to {largest:g}" if math.isfinite(largest) else "a number of at least 0"
            raise ValueError(f"{name}: expected {limit}, found {text[:40]!r}")
    return RoundTrip(numbers[0], cells[1], cells[2], numbers[1])


def format_trace(rows: Iterable[RoundTrip], header: bool = True) -> str:
    """Write rows, which are sorted by time, as `read_trace` reads them."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    if header:
        writer.writerow(TRACE_COLUMNS)
    for row in rows:
        writer.writerow((f"{row.time_s:.3f}", row.source, row.destination, f"{row.rtt_ms:.3f}"))
    return text.getvalue()


class Network(SettingsModel):
    """The emulated wide area network of the local provider."""

    rtt_ms: dict[str, float] = {}
    """Round-trip times in ms that override the table: `us-east-1/eu-west-1: 70`; `us-east-1/us-east-1` is the time
    within a region. A whole matrix is possible."""
    loss: _LossOrShare | None = None
    """Packets lost between regions: a share of 0 to 1, or `{share: 0.01, mean_burst: 5}`."""
    jitter_ms: _JitterOrStdev | None = None
    """Jitter of the one-way delay between regions: a standard deviation in ms, or `{stdev_ms: 2, distribution:
    pareto}`."""
    bandwidth_mbps: float | None = Field(default=None, gt=0.0)
    """Uplink of each host in Mb/s; unlimited if not set."""
    links: tuple[Link, ...] | Path = ()
    """Links that differ, each for one direction: `[{from: us-east-1, to: eu-west-1, delay_ms: 36, loss: 0.01}]`; or a
    YAML file with such `links`, as `network measure` writes it."""
    trace: Path | None = None
    """CSV file with the columns time_s, from, to and rtt_ms, as `network measure --duration` writes it. Its
    round trips replace those of the links over time, again and again."""
    internet: bool = True
    """Whether hosts reach the internet through this machine, if it is connected."""

    @field_validator("links")
    @classmethod
    def _once(cls, value: tuple[Link, ...] | Path) -> tuple[Link, ...] | Path:
        return value if isinstance(value, Path) else distinct(value)

    @field_validator("loss", "jitter_ms")
    @classmethod
    def _none(cls, value: Loss | Jitter | None) -> Loss | Jitter | None:
        """Take 0, the default of earlier versions, for not set."""
        amount = value.share if isinstance(value, Loss) else value.stdev_ms if value else 0.0
        return value if amount else None

    @field_validator("rtt_ms")
    @classmethod
    def _pairs(cls, value: dict[str, float]) -> dict[str, float]:
        for pair, rtt in value.items():
            if len(pair.split("/")) != 2 or not all(pair.split("/")):
                raise ValueError(f"{pair!r} is not a pair of regions; write REGION/REGION: MILLISECONDS")
            if rtt < 0:
                raise ValueError(f"{pair}: found {rtt} ms, expected a round-trip time of at least 0")
        return value
