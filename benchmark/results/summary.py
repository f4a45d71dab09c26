"""The summary of a run: what `summary.json` holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from benchmark.errors import FailureKind
from benchmark.measure.host_usage import HostUsage
from benchmark.measure.measurement import Measurement
from benchmark.measure.run_metrics import Latency
from benchmark.measure.validity import Verdict
from benchmark.measure.warm_up import WarmUp
from benchmark.measure.window_stats import WindowStats
from benchmark.model import Finite, StrictModel
from benchmark.results.log_findings import Findings

Status = Literal["ok", "invalid", "failed", "interrupted"]

_RATES_OF_SCHEMA_1 = {"load_tps": "requested_tps", "offered_tps": "sent_tps"}
_STATISTICS_OF_SCHEMA_1 = {"due_tps": "scheduled_tps", "submitted_tps": "sent_tps", "throughput_tps": "completed_tps"}
"""The names that schema 1 gave to rates: of the run, and of both the run and each region and client."""


class Window(StrictModel):
    """The measured window, unix s: warm-up and cool-down lie outside."""

    start: Finite
    end: Finite
    seconds: Finite


class Identity(StrictModel):
    """Which run this is."""

    run_id: str
    protocol: str
    commit: str
    nodes: int = Field(ge=0)
    clients: int = Field(ge=0)
    requested_tps: Finite
    """The load that was requested."""
    leader: str | None = None
    """Host that led during the window, where the protocol has a leader and tells."""


class Summary(Identity):
    """One run's result, as in `summary.json`."""

    schema_version: Literal[2] = Field(default=2, alias="schema")
    status: Status
    """`ok`; `invalid`: measured, but not to be used, see `reasons`; `failed` and `interrupted`: not measured."""
    reasons: list[str] = []
    """Why the status is not `ok`."""
    failure: FailureKind | None = None
    """Whose failure a failed run is."""
    warm_up: WarmUp | None = None
    """Null if the run never came to measuring."""
    window: Window | None = None
    """Null if the run never came to measuring; so are the figures then."""
    sampled_seconds: Finite | None = None
    """Time between the first and the last sample within the window, the median over the clients."""
    scheduled_tps: Finite | None = None
    """The load that fell due by the clients' schedules."""
    sent_tps: Finite | None = None
    """What the clients sent of it."""
    completed_tps: Finite | None = None
    """Throughput: what completed."""
    latency_s: Latency | None = None
    errors: dict[str, int] = {}
    saturated: bool = False
    """The system completed less than was scheduled."""
    warnings: list[str] = []
    by_region: dict[str, WindowStats] = {}
    by_client: dict[str, WindowStats] = {}
    hosts: dict[str, HostUsage] = {}
    """What was used of each host, by its name."""
    log_findings: Findings = {}
    """Panics, crashes and errors in the log of each process that has any."""

    @model_validator(mode="before")
    @classmethod
    def _upgrade(cls, document: Any) -> Any:
        """Give the rates of a document of schema 1 their present names."""
        if not isinstance(document, Mapping) or document.get("schema") != 1:
            return document
        upgraded = _renamed(document, _RATES_OF_SCHEMA_1 | _STATISTICS_OF_SCHEMA_1)
        for part in ("by_region", "by_client"):
            if isinstance(groups := document.get(part), Mapping):
                upgraded[part] = {name: _renamed(found, _STATISTICS_OF_SCHEMA_1) for name, found in groups.items()}
        return upgraded | {"schema": 2}

    def to_json(self) -> str:
        """Return the text of `summary.json`."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


def summarise(
    measurement: Measurement,
    verdict: Verdict,
    identity: Identity,
    usage: Mapping[str, HostUsage] | None = None,
    warm_up: WarmUp | None = None,
    log_findings: Findings | None = None,
) -> Summary:
    """Put a measurement and what was judged of it into a summary."""
    total = measurement.total
    return Summary(
        **identity.model_dump(),
        status=verdict.status,
        reasons=verdict.reasons,
        warm_up=warm_up,
        window=Window(
            start=measurement.start, end=measurement.end, seconds=round(measurement.end - measurement.start, 6)
        ),
        sampled_seconds=total.sampled_seconds,
        scheduled_tps=total.scheduled_tps,
        sent_tps=total.sent_tps,
        completed_tps=total.completed_tps,
        latency_s=total.latency_s,
        errors=total.errors,
        saturated=verdict.saturated,
        warnings=verdict.warnings,
        by_region=measurement.regions,
        by_client=measurement.clients,
        hosts=dict(usage or {}),
        log_findings=log_findings or {},
    )


def not_measured(
    identity: Identity, status: Literal["failed", "interrupted"], reason: str, failure: FailureKind | None = None
) -> Summary:
    """Return the summary of a run that ended before it was measured."""
    return Summary(**identity.model_dump(), status=status, reasons=[reason], failure=failure)


def parse_summary(text: str) -> Summary:
    """Read the text of a `summary.json` of this schema or of schema 1; pydantic's ValidationError if it is neither."""
    return Summary.model_validate_json(text)


def _renamed(document: Any, names: Mapping[str, str]) -> Any:
    return (
        {names.get(key, key): value for key, value in document.items()} if isinstance(document, Mapping) else document
    )
