"""The summary of a run: what `summary.json` holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from benchmark.errors import FailureKind
from benchmark.measure.histogram import Finite
from benchmark.measure.host_usage import HostUsage
from benchmark.measure.measurement import Measurement
from benchmark.measure.validity import Verdict
from benchmark.measure.warm_up import WarmUp
from benchmark.measure.window_stats import Figures, Latency
from benchmark.model import StrictModel
from benchmark.results.log_findings import Findings

Status = Literal["ok", "invalid", "failed", "interrupted"]


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
    load_tps: Finite
    """Offered load as asked for."""
    leader: str | None = None
    """Host that led during the window, where the protocol has a leader and tells."""


class Summary(Identity):
    """One run's result, as in `summary.json`."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
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
    offered_tps: Finite | None = None
    """Offered load as sent by the clients."""
    due_tps: Finite | None = None
    """Offered load as scheduled by the clients."""
    throughput_tps: Finite | None = None
    latency_s: Latency | None = None
    errors: dict[str, int] = {}
    saturated: bool = False
    """The system completed less than was offered."""
    warnings: list[str] = []
    by_region: dict[str, Figures] = {}
    by_client: dict[str, Figures] = {}
    hosts: dict[str, HostUsage] = {}
    """What was used of each host, by its name."""
    log_findings: Findings = {}
    """Panics, crashes and errors in the log of each process that has any."""

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
        offered_tps=total.submitted_tps,
        due_tps=total.due_tps,
        throughput_tps=total.throughput_tps,
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
    """Read the text of a `summary.json`; pydantic's ValidationError if it is none."""
    return Summary.model_validate_json(text)
