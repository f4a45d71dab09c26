"""The base class of protocols."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from pydantic import BaseModel

from benchmark.metrics.names import LOAD_GENERATOR, MetricNames
from benchmark.protocols.process import Build, Plan, Process


class NoParameters(BaseModel, extra="forbid"):
    """Nothing can be set."""


class Protocol(ABC):
    """One system under test."""

    name: ClassVar[str]
    summary: ClassVar[str]
    """One line for `--help`."""
    packages: ClassVar[tuple[str, ...]] = ()
    """Debian packages that hosts of nodes need; their versions are recorded."""
    build: ClassVar[Build | None] = None
    """How it is built; none for what is installed from packages."""
    minimum_nodes: ClassVar[int] = 1
    most_nodes: ClassVar[int | None] = None
    """Largest committee chosen without being asked for, where the system's own documents give a limit."""
    metrics: ClassVar[MetricNames] = LOAD_GENERATOR
    """Which metrics mean latency and throughput, and who exports them."""
    load_from: ClassVar[Literal["client", "node"]] = "client"
    """`node`: nodes make the load themselves and there are no clients; it begins when they start."""
    load_step: ClassVar[int] = 1
    """What the load of a client, or of a node that makes its own, is a multiple of, in tx/s."""
    load_shapes: ClassVar[bool] = False
    """Whether the load can change over time, as `Plan.rate_segments` says."""
    leader_metric: ClassVar[str | None] = None
    """Gauge of a node that is 1 while it leads."""
    node_model: ClassVar[type[BaseModel]] = NoParameters
    client_model: ClassVar[type[BaseModel]] = NoParameters

    def __init__(self, node_parameters: BaseModel, client_parameters: BaseModel) -> None:
        self.node_parameters = node_parameters
        self.client_parameters = client_parameters

    @abstractmethod
    def tolerated_faults(self, nodes: int) -> int:
        """How many of `nodes` may crash while the system still answers."""

    @abstractmethod
    def nodes(self, plan: Plan) -> tuple[Process, ...]:
        """The process of each node, in the plan's order."""

    @abstractmethod
    def clients(self, plan: Plan) -> tuple[Process, ...]:
        """The process of each client, in the plan's order; none where nodes make their own load."""
