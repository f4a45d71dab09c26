"""The format of files that describe a protocol, as models."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    ValidationError,
    create_model,
    model_validator,
)

from benchmark.errors import SettingsError
from benchmark.metrics.breakdown import LatencyPart
from benchmark.metrics.names import MetricNames, Unit
from benchmark.metrics.selectors import parse_selector
from benchmark.protocols.base import PROGRESS_S
from benchmark.protocols.declared.client_logs import (
    DeclaredModel,
    HistogramsDeclaration,
    MetricName,
    RequestsDeclaration,
    Workload,
)
from benchmark.protocols.declared.verification import VerifyDeclaration
from benchmark.settings import Document, Duration, explain_errors, pattern, read_document

Scalar = bool | int | float | str
Port = Annotated[int, Field(ge=1, le=65535)]
_ID = pattern(r"^[a-z][a-z0-9-]{0,30}$", "up to 31 lower-case letters, digits and dashes, starting with a letter")
_IDENTIFIER = pattern(r"^[a-z][a-z0-9_]*$", "lower-case letters, digits and '_', starting with a letter")
_LABEL = pattern(r"^[A-Za-z_][A-Za-z0-9_]*$", "the name of a label: letters, digits and '_'")
_USER = pattern(r"^[a-z_][a-z0-9_-]{0,31}$", "the name of a user")
_FILE = pattern(
    r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*$",
    "a relative path of letters, digits, '_', '-' and '.', no part of which begins with '.'",
)
Identifier = Annotated[str, StringConstraints(pattern=_IDENTIFIER)]
LabelName = Annotated[str, StringConstraints(pattern=_LABEL)]


def _check_selector(text: str) -> str:
    parse_selector(text)
    return text


MetricSelector = Annotated[str, AfterValidator(_check_selector)]
"""A metric's name, or a name with label matchers."""
FileName = Annotated[str, StringConstraints(pattern=_FILE)]


class BuildDeclaration(DeclaredModel):
    """How the binaries are built from a checkout; `{}` for the default build of what the repository has."""

    repository: str | None = None
    packages: tuple[str, ...] | None = None
    command: str = ""
    """Bash script that runs in the checkout; `$BUILD_CACHE` is a folder that is kept for later builds."""
    outputs: tuple[str, ...] = ()
    """Files that the command creates, by name or path in the checkout; each is on PATH under its base name."""


class ProcessDeclaration(DeclaredModel):
    """A process on each host of its kind. All texts except names are templates."""

    ports: dict[Identifier, Port] = {}
    """Ports it listens on, by name; a run checks that they are free."""
    environment: dict[str, str] = {}
    files: dict[FileName, str] = {}
    """Files in the folder in which it is started."""
    prepare: tuple[str, ...] | str = ()
    """Command that completes before any process starts: words, or a bash script."""
    command: Annotated[tuple[str, ...], Field(min_length=1)] | str
    """Command of the process: words, or a bash script."""
    ready: str = ""
    """`tcp PORT`, `http PORT PATH`, `metric PORT PATH NAME`, `log PATTERN` or `run FILE`; without it,
    a process is ready once it runs."""
    metrics: str = ""
    """`PORT` or `PORT/PATH` of its Prometheus metrics (default path: /metrics)."""
    user: Annotated[str, StringConstraints(pattern=_USER)] | None = None
    """User that runs it and owns its folder where the login is root, for systems that refuse to run as root."""
    grace: int = Field(default=5, ge=0, le=300)
    """Seconds between SIGTERM and SIGKILL when a run ends."""


class ClientDeclaration(ProcessDeclaration):
    """The system's load generator. It is measured by the file that it writes, else by the metrics that it exports."""

    latency_log: HistogramsDeclaration | None = None
    """HdrHistogram interval logs, as YCSB and cassandra-stress write them: `FILE`, or fields."""
    requests: RequestsDeclaration | None = None
    """Files with a line for each request, such as CSV."""
    closed_loop: bool | None = None
    """Whether it waits for responses before it sends more, so that its latencies hide waiting time; by default true
    unless its texts use `load` or `total_load`."""

    @property
    def written(self) -> HistogramsDeclaration | RequestsDeclaration | None:
        """The file from which it is measured."""
        return self.latency_log or self.requests

    @model_validator(mode="after")
    def _one_file(self) -> ClientDeclaration:
        if self.latency_log and self.requests:
            raise ValueError("found both `latency_log` and `requests`; expected one of them")
        return self


class Expectation(DeclaredModel):
    """What the body of a response must contain to be a success, as regular expressions."""

    match: str = ""
    """Pattern that it must match somewhere."""
    no_match: str = ""
    """Pattern that it must not match anywhere."""

    @model_validator(mode="before")
    @classmethod
    def _from_pattern(cls, declared: object) -> object:
        return {"match": declared} if isinstance(declared, str) else declared


class LoadDeclaration(DeclaredModel):
    """The project's own load generator: each transaction is an HTTP request. All texts are templates."""

    workload: Workload = "default"
    """Name under which its latencies are recorded."""
    weight: float = Field(default=1.0, gt=0, le=1e9, allow_inf_nan=False)
    """Its share of all requests, relative to the weights of the others."""
    preload: bool = False
    """Whether the clients send it once for every key before the load, so that reads find all keys."""
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    url: str
    headers: dict[str, str] = {}
    body: str = ""
    """`{{ key(COUNT) }}`, `{{ value(BYTES) }}` and `{{ sequence() }}` get new values in each request. Keys can follow
    Zipf's distribution, `key(COUNT, zipf=0.99)`, and sizes vary: `value(uniform=[16, 1024])`, `value(zipf=1024)`."""
    expect: Expectation = Expectation()
    """What a response must contain; any other fails as `unexpected`. Patterns are no templates."""


def _check_workloads(load: tuple[LoadDeclaration, ...]) -> tuple[LoadDeclaration, ...]:
    names = [each.workload for each in load]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"found several requests with the workload {twice[0]!r}; give each a `workload` of its own")
    return load


LoadDeclarations = Annotated[
    Annotated[LoadDeclaration, Tag("[one]")]
    | Annotated[tuple[LoadDeclaration, ...], Field(min_length=1), AfterValidator(_check_workloads), Tag("[several]")],
    Discriminator(lambda declared: "[several]" if isinstance(declared, list | tuple) else "[one]"),
]
"""One request, or a list of several with weights."""


class MetricsDeclaration(DeclaredModel):
    """The metrics for latency and throughput; by default those of the project's load generator.

    Each is a name, or a name with label matchers: `rpc_latency{method="Put"}`.
    """

    exported_by: Literal["client", "node"] = Field(default="client", alias="from")
    aggregation: Literal["sum", "median"] = "sum"
    """How throughput is computed from the rates of all processes: `median` if each counts all transactions."""
    latency: MetricSelector = "latency_s"
    """Histogram of the latency of completed transactions."""
    unit: Unit = "s"
    """Unit of the latencies: ns, us, ms or s."""
    squared: MetricSelector | None = None
    """Counter that adds the square of each latency, for the standard deviation."""
    throughput: MetricSelector | None = None
    """Counter of completed transactions; by default the count of the histogram."""
    errors: MetricSelector | None = None
    """Counter of failed transactions; without it their number is unknown."""
    error_label: LabelName = "error_type"
    """Label of `errors` that holds the type."""

    @model_validator(mode="before")
    @classmethod
    def _rename(cls, declared: object) -> object:
        """Accept the former name of `aggregation`: `counted_by`, `one` or `every`."""
        if not isinstance(declared, dict) or "counted_by" not in declared:
            return declared
        rest = {name: value for name, value in declared.items() if name != "counted_by"}
        counted_by = declared["counted_by"]
        return {"aggregation": {"one": "sum", "every": "median"}.get(counted_by, counted_by)} | rest

    def metrics(self) -> MetricNames:
        """Return them as MetricNames."""
        fields = self.model_dump(exclude={"exported_by"})
        return MetricNames(job=self.exported_by, **fields)


class Declaration(DeclaredModel):
    """The description of a protocol."""

    name: Annotated[str, StringConstraints(pattern=_ID)]
    summary: str = ""
    packages: tuple[str, ...] = ()
    """Debian packages that nodes need, and those clients that are declared; the results record their versions."""
    build: BuildDeclaration | None = None
    minimum_nodes: int = Field(default=1, ge=1, le=1000)
    most_nodes: int | None = Field(default=None, ge=1)
    """Largest committee that is selected by default."""
    tolerated_faults: Annotated[int, Field(ge=0)] | Literal["minority", "third", "all_but_one"] = 0
    """How many nodes may crash."""
    progress_within: Annotated[Duration, Field(ge=timedelta(seconds=1))] = timedelta(seconds=PROGRESS_S)
    """Time in which it makes progress again after a fault that it tolerates began or ended."""
    leader_metric: MetricName | None = None
    """Gauge of a node that is 1 while it leads."""
    position_metric: MetricName | None = None
    """Metric of a node's position in what all nodes agree on, such as the index of the last entry that it applied."""
    node_parameters: dict[Identifier, Scalar] = {}
    """Parameters that users may set, with their defaults."""
    client_parameters: dict[Identifier, Scalar] = {}
    node: ProcessDeclaration
    load: LoadDeclarations | None = None
    client: ClientDeclaration | None = None
    """The system's load generator; without `load` and `client` the nodes generate the load."""
    load_step: int = Field(default=1, ge=1)
    """The load of each generator is a multiple of this, in tx/s."""
    metrics: MetricsDeclaration | None = None
    breakdown: tuple[LatencyPart, ...] = ()
    """Metrics of the nodes that split the latency."""
    verify: VerifyDeclaration | None = None
    """How `--verify` checks that it stays correct."""

    @model_validator(mode="after")
    def _breakdown_of_nodes(self) -> Declaration:
        names = [part.name for part in self.breakdown]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"breakdown: {twice[0]!r} is named twice")
        if self.breakdown and not self.node.metrics:
            raise ValueError("breakdown: nodes export it; set `node.metrics` to PORT or PORT/PATH")
        return self

    @model_validator(mode="after")
    def _one_source_of_load(self) -> Declaration:
        if self.load and self.client:
            raise ValueError("found both `load` and `client`; expected only one load generator")
        if self.load and self.metrics:
            raise ValueError("found both `load` and `metrics`; remove `metrics`, the load generator has its own")
        exporter = self.metrics.exported_by if self.metrics else "client"
        if self.verify and self.verify.agreement and self.verify.agreement.metric and not self.node.metrics:
            raise ValueError("verify.agreement.metric: nodes export it; set `node.metrics` to PORT or PORT/PATH")
        if not self.load and exporter == "client" and not self.client:
            raise ValueError("no load generator: expected `load`, `client`, or `metrics: {from: node}`")
        source = self.client if exporter == "client" else self.node
        written = self.client and self.client.written
        if written and exporter == "node":
            raise ValueError("found `metrics: {from: node}` and a file of latencies of `client`; remove one of them")
        if not self.load and source and not source.metrics and (self.metrics or not written):
            raise ValueError(f"latency is measured at each {exporter}; set `{exporter}.metrics` to PORT or PORT/PATH")
        return self


def read_declaration(path: Path) -> tuple[Declaration, Document]:
    """Read a description; SettingsError lists every error with line and column."""
    document = read_document(path)
    try:
        return Declaration.model_validate(document.content), document
    except ValidationError as error:
        found = explain_errors(error, Declaration, written=document.written)
        lines = [f"{document.where(path)}: {message}" for path, message in found]
        raise SettingsError("\n".join(lines)) from None


def parameters_model(name: str, defaults: Mapping[str, Scalar], base: type[BaseModel]) -> type[BaseModel]:
    """Create a model with the fields of `base` and parameters with these defaults, typed like their defaults."""
    fields: dict[str, Any] = {key: (type(default), default) for key, default in defaults.items()}
    return create_model(name, __base__=base, **fields)
