"""The result of a run, stored as `summary.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field
from pydantic_core import from_json

from benchmark.errors import FailureKind
from benchmark.measure.breakdown import MeasuredPart
from benchmark.measure.fault_impact import FaultImpact
from benchmark.measure.host_usage import HostUsage
from benchmark.measure.measurement import Measurement
from benchmark.measure.phases import PhaseStats
from benchmark.measure.run_metrics import Latency
from benchmark.measure.validity import Verdict
from benchmark.measure.warm_up import WarmUp
from benchmark.measure.window_stats import WindowStats
from benchmark.model import Finite, StrictModel
from benchmark.results.log_findings import Findings
from benchmark.results.upgrade import upgrade_summary
from benchmark.results.verification import Agreement, Progress, Verification

Status = Literal["ok", "invalid", "failed", "interrupted"]


Source = Literal["latency_log", "buckets", "schedule"]
"""The latency logs of the clients, samples of their counters and histograms, or the schedule of the load."""


class Window(StrictModel):
    """The measured window in Unix seconds, without warm-up and cool-down."""

    start: Finite
    end: Finite
    seconds: Finite


class Identity(StrictModel):
    """What identifies a run."""

    run_id: str
    protocol: str
    commit: str
    nodes: int = Field(ge=0)
    clients: int = Field(ge=0)
    requested_tps: Finite
    """Requested load."""
    closed_loop: bool = False
    """Whether the load generator waits for responses before it sends more; its latencies hide waiting time."""
    leader: str | None = None
    """Host of the leader during the window, if the protocol has one and reports it."""


class Summary(Identity):
    """The content of `summary.json`."""

    schema_version: Literal[2] = Field(default=2, alias="schema")
    status: Status
    """`ok`; `invalid`: measured, but not usable, see `reasons`; `failed`: not measured;
    `interrupted`: measured until then, if the window had begun."""
    reasons: list[str] = []
    """Why the status is not `ok`."""
    failure: FailureKind | None = None
    """What caused the failure of a failed run: the system, the infrastructure or this tool."""
    warm_up: WarmUp | None = None
    """Null if the run ended before it was measured."""
    window: Window | None = None
    """Null if the run ended before it was measured, as are all metrics."""
    sampled_seconds: Finite | None = None
    """Time that was counted, median of the clients: with latency logs the window, otherwise that from the first to the
    last sample in it."""
    scheduled_tps: Finite | None = None
    """Load that the clients were scheduled to send."""
    sent_tps: Finite | None = None
    """Load that the clients sent."""
    completed_tps: Finite | None = None
    """Throughput."""
    latency_s: Latency | None = None
    """Of all transactions, failed ones counted as their timeout: their true latency is at least that. Where `errors` is
    null, of those that completed."""
    successful_latency_s: Latency | None = None
    """Of the transactions that completed; null in results of earlier versions."""
    errors: dict[str, int] | None = None
    """Failed transactions by type; null where the system does not count them, or nothing was measured."""
    sources: dict[str, Source] = {}
    """Where each figure comes from; figures that are not named come from the samples of Prometheus (`buckets`)."""
    unknown: dict[str, str] = {}
    """Why metrics of a measured run are null, by their name, such as `mean_s`."""
    saturated: bool = False
    """Whether the system completed less than was scheduled."""
    warnings: list[str] = []
    by_region: dict[str, WindowStats] = {}
    by_client: dict[str, WindowStats] = {}
    by_workload: dict[str, WindowStats] = {}
    """By the name of the workload; empty without latency logs. What was sent and scheduled is not known by workload."""
    breakdown: list[MeasuredPart] = []
    """Parts of the latency that the nodes measured; empty if the protocol names none, or nothing was measured."""
    phases: list[PhaseStats] = []
    """Parts of the window with statistics of their own, in their order; empty if none were requested."""
    faults: list[FaultImpact] = []
    """What each fault that was injected did, in the order of the manifest."""
    verification: Verification | None = None
    """Whether the system stayed linearizable; null without `--verify`, and in a run that ended before the load."""
    agreement: Agreement | None = None
    """Whether the nodes agree after the load; null if they were not asked."""
    progress: Progress | None = None
    """Whether it made progress while faults were tolerated; null without faults and `--verify`, and in a run that was
    not measured."""
    hosts: dict[str, HostUsage] = {}
    """Resource usage by host name."""
    log_findings: Findings = {}
    """Panics, crashes and errors in the logs, by process; without processes that have none."""

    @property
    def failed(self) -> int | None:
        """The number of failed transactions; None if unknown."""
        return None if self.errors is None else sum(self.errors.values())

    def source(self, figure: str) -> Source:
        """Return where a figure, such as `latency_s`, comes from."""
        return self.sources.get(figure, "buckets")

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
    breakdown: Sequence[MeasuredPart] = (),
    faults: Sequence[FaultImpact] = (),
    verification: Verification | None = None,
    agreement: Agreement | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Combine a measurement and its verdict into the summary of a run."""
    total = measurement.total
    measured = bool(measurement.clients)
    return Summary(
        **identity.model_dump(),
        status=verdict.status,
        reasons=verdict.reasons,
        warm_up=warm_up,
        window=Window(
            start=measurement.start, end=measurement.end, seconds=round(measurement.end - measurement.start, 6)
        ),
        sampled_seconds=total.sampled_seconds if measured else None,
        scheduled_tps=total.scheduled_tps,
        sent_tps=total.sent_tps,
        completed_tps=total.completed_tps,
        latency_s=total.latency_s,
        successful_latency_s=total.successful_latency_s,
        errors=total.errors if measured else None,
        sources=_sources(measurement),
        unknown=total.unknown,
        saturated=verdict.saturated,
        warnings=verdict.warnings,
        by_region=measurement.regions,
        by_client=measurement.clients,
        by_workload=measurement.workloads,
        breakdown=list(breakdown),
        phases=measurement.phases,
        faults=list(faults),
        verification=verification,
        agreement=agreement,
        progress=progress,
        hosts=dict(usage or {}),
        log_findings=log_findings or {},
    )


def _sources(measurement: Measurement) -> dict[str, Source]:
    """Return where each known figure comes from."""
    total = measurement.total
    figures = ("sent_tps", "completed_tps", "latency_s", "successful_latency_s", "errors")
    source: Source = "latency_log" if measurement.logged else "buckets"
    found = {name: source for name in figures if measurement.clients and getattr(total, name) is not None}
    if total.scheduled_tps is not None:
        found["scheduled_tps"] = "schedule" if measurement.logged else "buckets"
    return found


def not_measured(
    identity: Identity, status: Literal["failed", "interrupted"], reason: str, failure: FailureKind | None = None
) -> Summary:
    """Return the summary of a run that ended before it was measured."""
    return Summary(**identity.model_dump(), status=status, reasons=[reason], failure=failure)


def parse_summary(text: str) -> Summary:
    """Read the text of a `summary.json` of any schema; ValueError if it is damaged."""
    document = from_json(text)
    if isinstance(document, dict) and document.get("schema") == 1:
        upgrade_summary(document)
        text = json.dumps(document)
    return Summary.model_validate_json(text)
