"""Remora: execution spread over one primary and its proxies, driven by load generators of its own.

Node 0 is the primary, node i the proxy i. Both programs read a validator and a benchmark configuration (YAML); what is
not set in `node_parameters` or `client_parameters` has Remora's own default.
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from benchmark.inventory import Host
from benchmark.protocols.base import Protocol
from benchmark.protocols.cargo import RustDuration, cargo_build, to_yaml
from benchmark.protocols.process import Build, Plan, Process

PROXY_PORT, CLIENT_PORT, METRICS_PORT = 18500, 18501, 18502
GENERATOR_METRICS_PORT = 18600
VALIDATOR_CONFIG, BENCHMARK_CONFIG = "validator.yaml", "benchmark.yaml"
_SPARE_S = 120
"""How much longer than needed load is made: its generators are ended by the runner, never by themselves."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class PreExecutors(_Model):
    """How many pre-executors share a machine with other parts."""

    primary: int = Field(default=1, ge=0)
    """On the machine of the primary."""
    proxy: int = Field(default=1, ge=0)
    """On the machine of each proxy. Remora's own default is 0, which leaves its proxies idle."""


class FixedDelay(_Model):
    """The consensus that Remora imitates takes the same time for every batch."""

    delay: RustDuration = timedelta(milliseconds=300)


class MockConsensus(_Model):
    """The consensus that Remora imitates."""

    batch_size: int = Field(default=1000, ge=1)
    """Transactions of a batch."""
    max_batch_delay: RustDuration = timedelta(milliseconds=100)
    """A batch is sealed after this time at the latest."""
    max_inflight_batches: int = Field(default=10_000, ge=1)


class RemoraNode(_Model):
    """`node_parameters` of Remora: its validator parameters, and how proxies execute."""

    collocated_pre_executors: PreExecutors = PreExecutors()
    consensus_delay_model: FixedDelay = FixedDelay()
    consensus_parameters: MockConsensus = MockConsensus()
    parallel_proxy: bool = True
    """Whether a proxy executes with several threads."""


class RemoraClient(_Model):
    """`client_parameters` of Remora; its load and duration are those of the run."""

    workload: Literal["Transfers", "SharedObjects"] = "Transfers"
    """What transactions do."""


class Remora(Protocol):
    """One primary and proxies; load generators send to the primary."""

    name = "remora"
    summary = "asynchronous execution: one primary and proxies, built from its repository"
    build: ClassVar[Build | None] = Build(
        packages=("curl", "git", "clang", "cmake", "gcc", "libssl-dev", "pkg-config", "libclang-dev", "libpq-dev"),
        command=cargo_build("remora", "load_generator"),
        outputs=("target/release/remora", "target/release/load_generator"),
    )
    minimum_nodes = 2
    node_model: ClassVar[type[BaseModel]] = RemoraNode
    client_model: ClassVar[type[BaseModel]] = RemoraClient

    def tolerated_faults(self, nodes: int) -> int:
        """None: there is one primary, and it waits for what it gave to a proxy."""
        return 0

    def nodes(self, plan: Plan) -> tuple[Process, ...]:
        """The primary, then the proxies."""
        return tuple(self._node(index, host, plan) for index, host in enumerate(plan.nodes))

    def clients(self, plan: Plan) -> tuple[Process, ...]:
        """A load generator on each client's host, with its share of the load."""
        return tuple(self._client(index, host, plan) for index, host in enumerate(plan.clients))

    def _node(self, index: int, host: Host, plan: Plan) -> Process:
        return Process(
            name=f"node-{index}",
            job="node",
            host=host,
            argv=(
                "remora",
                *_CONFIGS,
                "--binding-address",
                "0.0.0.0",
                *(("proxy", str(index)) if index else ("primary",)),
            ),
            environment=_ENVIRONMENT,
            files=self._files(plan, plan.load),
            ports=(METRICS_PORT,) if index else (PROXY_PORT, CLIENT_PORT, METRICS_PORT),
            metrics_port=METRICS_PORT,
            ready=f"http {METRICS_PORT} /metrics" if index else f"tcp {CLIENT_PORT}",
        )

    def _client(self, index: int, host: Host, plan: Plan) -> Process:
        return Process(
            name=f"client-{index}",
            job="client",
            host=host,
            argv=("load_generator", *_CONFIGS, "--metrics-address", f"0.0.0.0:{GENERATOR_METRICS_PORT}"),
            environment=_ENVIRONMENT,
            files=self._files(plan, plan.shares[index]),
            ports=(GENERATOR_METRICS_PORT,),
            metrics_port=GENERATOR_METRICS_PORT,
            ready=f"http {GENERATOR_METRICS_PORT} /metrics",
        )

    def _files(self, plan: Plan, load: int) -> dict[str, str]:
        """Both configuration files; `load` is that of the one generator, or of all where a node reads them."""
        assert isinstance(self.node_parameters, RemoraNode)
        assert isinstance(self.client_parameters, RemoraClient)
        primary = plan.nodes[0]
        validator = {
            "proxy_server_address": primary.endpoint(PROXY_PORT),
            "client_server_address": primary.endpoint(CLIENT_PORT),
            "metrics_address": primary.endpoint(METRICS_PORT),
            "validator_parameters": self.node_parameters.model_dump(mode="json", exclude={"parallel_proxy"}),
            "parallel_proxy": self.node_parameters.parallel_proxy,
        }
        benchmark = {
            "load": load,
            "duration": {"secs": math.ceil(plan.duration_s) + _SPARE_S, "nanos": 0},
            "workload": self.client_parameters.workload,
        }
        return {VALIDATOR_CONFIG: to_yaml(validator), BENCHMARK_CONFIG: to_yaml(benchmark)}


_CONFIGS = ("--validator-config", VALIDATOR_CONFIG, "--benchmark-config", BENCHMARK_CONFIG)
_ENVIRONMENT = {"RUST_LOG": "info"}
