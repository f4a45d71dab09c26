"""Log lines of a run for its page, which shows those around a moment: dated, bounded, without credentials."""

from __future__ import annotations

import base64
import calendar
import contextlib
import gzip
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from benchmark.errors import UsageError
from benchmark.report.run_data import Record
from benchmark.results.events import FaultHealed, FaultInjected, PhaseStarted, Step, WarningIssued, read_events
from benchmark.results.log_files import SUFFIX, log_name, read_log
from benchmark.results.run_folder import EVENTS, LOGS
from benchmark.settings import redact

_MOST_LINES = 5000
_READ = 32 << 20
"""Characters of all logs together that are searched for lines."""
_LONGEST = 300
_MARGIN_S = 5.0
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_DATE = re.compile(
    r"(\d{4})[-/](\d\d)[-/](\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?(?: ?(Z|UTC|[+-]\d\d:?\d\d))?"
)
_EPOCH = re.compile(r'"(?:ts|time|timestamp)": ?(\d{10}(?:\.\d+)?)[,}]')
_GLOG = re.compile(r"[IWEF](\d\d)(\d\d) (\d\d):(\d\d):(\d\d)\.(\d{6})")
_SERIOUS = re.compile(r"(?i)error|warn|panic|fatal|exception|\belect|leader")


@dataclass(frozen=True)
class LogLine:
    """A line of a log: seconds since the measured window began, the process that wrote it, and its text."""

    at: float
    source: int
    text: str


@dataclass(frozen=True)
class LogLines:
    """The lines of all processes and of the runner during the load, in the order of their times."""

    sources: list[tuple[str, str]]
    """Name of the process, and path of its log relative to the run's folder; empty for the runner."""
    lines: list[LogLine]
    note: str

    def packed(self) -> str:
        """Return them as JSON, compressed with gzip and in base64, as the script of a page reads them."""
        document = {
            "sources": [{"name": name, "path": path} for name, path in self.sources],
            "lines": [[line.at, line.source, line.text] for line in self.lines],
            "note": self.note,
        }
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
        return base64.b64encode(gzip.compress(text.encode("utf-8", "replace"), mtime=0)).decode()


def log_lines(record: Record) -> LogLines | None:
    """Return the dated lines of a run's logs and its events under load; None if there are none."""
    if not record.summary.window:
        return None
    begin = (record.start if record.load_start is None else record.load_start) - _MARGIN_S
    sources, lines = [("geobench", "")], list(_events(record, begin))
    paths = sorted((record.folder / LOGS).glob(f"*/*{SUFFIX}"))
    limit = _READ // max(len(paths), 1)
    cut = []
    for path in paths:
        clock = record.manifest.clock_offsets_s.get(path.parent.name)
        try:
            text = read_log(path, limit)
        except UsageError:  # damaged: `geobench logs` names it
            continue
        if len(text) == limit:
            cut.append(log_name(path))
        sources.append((log_name(path), path.relative_to(record.folder).as_posix()))
        for moment, line in _dated(text, begin):
            at = moment - (clock.offset_s if clock else 0.0)
            if begin <= at <= record.end + _MARGIN_S:
                lines.append(LogLine(round(at - record.start, 3), len(sources) - 1, line))
    if not lines:
        return None
    kept, note = _thinned(sorted(lines, key=lambda line: line.at))
    kept = [replace(line, text=redact(line.text)) for line in kept]
    if cut:
        note += (
            f" Of the logs of {', '.join(cut[:6])}{' and others' if len(cut) > 6 else ''} only the beginning was read."
        )
    return LogLines(sources, kept, note)


def _events(record: Record, begin: float) -> Iterator[LogLine]:
    with contextlib.suppress(UsageError):  # a damaged file costs the events only
        for event in read_events(record.folder / EVENTS):
            match event:
                case PhaseStarted():
                    text = f"phase {event.name.replace('_', ' ')} begins"
                case WarningIssued() | Step():
                    text = event.text
                case FaultInjected():
                    text = f"fault {event.fault} is in force: {event.proof}"
                case FaultHealed():
                    text = f"fault {event.fault} is healed: {event.proof}"
                case _:
                    continue
            if begin <= event.time <= record.end + _MARGIN_S:
                yield LogLine(round(event.time - record.start, 3), 0, text[:_LONGEST])


def _dated(text: str, year_of: float) -> Iterator[tuple[float, str]]:
    """Yield the time (unix s) and the text of each line; a line without a time has that of the line before."""
    moment = None
    for line in text.split("\n"):
        clean = _COLOURS.sub("", line).strip()
        moment = _moment(clean[:160], year_of) or moment
        if clean and moment is not None:
            yield moment, clean[:_LONGEST]


def _moment(line: str, year_of: float) -> float | None:
    """Return the time that a line begins with or contains as a field, unix s; UTC where it names no zone."""
    if found := _DATE.search(line):
        fields = [int(part) for part in found.groups()[:6]]
        fraction = float(f"0.{found[7]}") if found[7] else 0.0
        zone = (found[8] or "Z").replace(":", "")
        offset = 0 if zone in ("Z", "UTC") else int(zone[0] + "1") * (int(zone[1:3]) * 3600 + int(zone[3:5]) * 60)
        return calendar.timegm((*fields, 0, 0, 0)) + fraction - offset if _is_date(fields) else None
    if found := _EPOCH.search(line):
        return float(found[1])
    if found := _GLOG.match(line):
        year = int(1970 + year_of / (365.2425 * 86400))
        month, day, *clock, micro = (int(part) for part in found.groups())
        fields = [year, month, day, *clock]
        return calendar.timegm((*fields, 0, 0, 0)) + micro / 1e6 if _is_date(fields) else None
    return None


def _is_date(fields: list[int]) -> bool:
    _, month, day, hour, minute, second = fields
    return 1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second <= 60


def _thinned(lines: list[LogLine]) -> tuple[list[LogLine], str]:
    """Return at most `_MOST_LINES` lines, evenly over time after those that are serious, and what was left out."""
    note = "Times are those of the hosts, corrected by the measured offsets of their clocks."
    if len(lines) <= _MOST_LINES:
        return lines, note
    serious = [line for line in lines if _SERIOUS.search(line.text)]
    serious = serious[:: max(1, math.ceil(2 * len(serious) / _MOST_LINES))]
    chosen = {id(line) for line in serious}
    others = [line for line in lines if id(line) not in chosen]
    step = math.ceil(len(others) / (_MOST_LINES - len(serious)))
    kept = sorted([*serious, *others[::step]], key=lambda line: line.at)
    return kept, f"{note} Of {len(lines)} lines the page has {len(kept)}; the files of the logs have all."
