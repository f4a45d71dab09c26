"""The base class of protocols."""

from __future__ import annotations

import hashlib
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, JsonValue

from benchmark.metrics.breakdown import LatencyPart
from benchmark.metrics.names import LOAD_GENERATOR, MetricNames
from benchmark.protocols.probe import KeyValueApi
from benchmark.protocols.process import Build, Plan, Process

Check = Literal["linearizability", "agreement"]
PROGRESS_S = 30.0


class NoParameters(BaseModel, extra="forbid"):
    """No parameters."""


class Protocol(ABC):
    """One system under test."""

    name: ClassVar[str]
    summary: ClassVar[str]
    """One line for `--help`."""
    packages: ClassVar[tuple[str, ...]] = ()
    """Debian packages that the nodes need; the results record their versions."""
    packages_on_clients: ClassVar[bool] = False
    """Whether the hosts of clients need `packages`, too."""
    build: ClassVar[Build | None] = None
    """How it is built; None for systems installed from packages."""
    minimum_nodes: ClassVar[int] = 1
    most_nodes: ClassVar[int | None] = None
    """Largest committee that is selected by default, where the system's documentation gives a limit."""
    metrics: ClassVar[MetricNames] = LOAD_GENERATOR
    """Names of the metrics for latency and throughput, and which processes export them."""
    load_from: ClassVar[Literal["client", "node"]] = "client"
    """`node`: there are no clients; nodes generate the load from their start."""
    load_step: ClassVar[int] = 1
    """The load of each client, or of each node that generates load, is a multiple of this, in tx/s."""
    load_shapes: ClassVar[bool] = False
    """Whether the load can change over time according to `Plan.rate_segments`."""
    closed_loop: ClassVar[bool] = False
    """Whether the load generator sends more only after responses, so that its latencies hide waiting time."""
    random_arrivals: ClassVar[bool] = False
    """Whether the load generator may send at random times, so that counts vary as those of a Poisson process."""
    checks: ClassVar[tuple[Check, ...]] = ()
    """What `--verify` can check; for agreement, the processes of nodes have the command."""
    agreement_within_s: ClassVar[float] = 30.0
    """Time after the load in which all nodes agree."""
    leader_metric: ClassVar[str | None] = None
    """Gauge of a node that is 1 while it leads."""
    position_metric: ClassVar[str | None] = None
    """Metric of a node's position in what all nodes agree on, such as the index of the last entry that it applied: it
    shows when a node has caught up after a fault."""
    quorum: ClassVar[Literal["majority"] | None] = None
    """`majority`: its leader answers a request once most nodes have it, so round trips predict the latency."""
    breakdown: ClassVar[tuple[LatencyPart, ...]] = ()
    """Metrics of the nodes that split the latency."""
    node_model: ClassVar[type[BaseModel]] = NoParameters
    client_model: ClassVar[type[BaseModel]] = NoParameters

    def __init__(self, node_parameters: BaseModel, client_parameters: BaseModel) -> None:
        self.node_parameters = node_parameters
        self.client_parameters = client_parameters

    def definition(self) -> dict[str, JsonValue]:
        """Return what the system is, apart from its parameters: two runs measure the same system if this is equal.

        By default the hash of the source code; empty for the systems of this project, which its version covers.
        """
        module = sys.modules[type(self).__module__]
        if module.__name__.partition(".")[0] == __name__.partition(".")[0] or not module.__file__:
            return {}
        file = Path(module.__file__)
        sources = sorted(file.parent.rglob("*.py")) if module.__package__ else [file]
        digest = hashlib.sha256(b"".join(hashlib.sha256(source.read_bytes()).digest() for source in sources))
        return {"source code": f"{type(self).__module__}, sha256 {digest.hexdigest()[:16]}"}

    @abstractmethod
    def tolerated_faults(self, nodes: int) -> int:
        """Return how many of `nodes` may crash while the system still responds."""

    @abstractmethod
    def nodes(self, plan: Plan) -> tuple[Process, ...]:
        """Return the process of each node, in the plan's order."""

    @abstractmethod
    def clients(self, plan: Plan) -> tuple[Process, ...]:
        """Return the process of each client, in the plan's order; none if nodes generate the load."""

    def progress_within_s(self, plan: Plan) -> float:
        """Return the time in which the system makes progress again after a tolerated fault began or ended."""
        return PROGRESS_S

    def key_value_api(self, plan: Plan) -> Sequence[KeyValueApi]:
        """Return how `--verify` reads and writes keys at each node, where `checks` has `linearizability`."""
        raise NotImplementedError

    def label_values(self, plan: Plan) -> Mapping[str, Mapping[str, str]]:
        """Return readable names for values of labels in the breakdown, by label and value."""
        return {}
