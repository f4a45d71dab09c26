"""Remora, which distributes execution over one primary and its proxies, with its own load generators.

Node 0 is the primary, node i is proxy i. Both programs read a validator and a benchmark configuration (YAML). Remora's
defaults apply to parameters that are not set in `node_parameters` or `client_parameters`.
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from benchmark.protocols.base import Protocol
from benchmark.protocols.cargo import RustDuration, to_yaml
from benchmark.protocols.process import Build, Plan, Process

PROXY_PORT, CLIENT_PORT, METRICS_PORT = 18500, 18501, 18502
GENERATOR_METRICS_PORT = 18600
VALIDATOR_CONFIG, BENCHMARK_CONFIG = "validator.yaml", "benchmark.yaml"
_SPARE_S = 120
"""Additional seconds of load: the runner stops the load generators, they must not end before."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class PreExecutors(_Model):
    """Number of pre-executors that share a host with other components."""

    primary: int = Field(default=1, ge=0)
    """On the host of the primary."""
    proxy: int = Field(default=1, ge=0)
    """On the host of each proxy. Remora's default is 0, which leaves the proxies idle."""


class FixedDelay(_Model):
    """The simulated consensus takes the same time for every batch."""

    delay: RustDuration = timedelta(milliseconds=300)


class MockConsensus(_Model):
    """Remora's simulated consensus."""

    batch_size: int = Field(default=1000, ge=1)
    """Transactions per batch."""
    max_batch_delay: RustDuration = timedelta(milliseconds=100)
    """Time after which an incomplete batch is sealed."""
    max_inflight_batches: int = Field(default=10_000, ge=1)


class RemoraNode(_Model):
    """`node_parameters` of Remora: its validator parameters, and how proxies execute transactions."""

    collocated_pre_executors: PreExecutors = PreExecutors()
    consensus_delay_model: FixedDelay = FixedDelay()
    consensus_parameters: MockConsensus = MockConsensus()
    parallel_proxy: bool = True
    """Whether proxies execute transactions in several threads."""


class RemoraClient(_Model):
    """`client_parameters` of Remora; a run sets load and duration."""

    workload: Literal["Transfers", "SharedObjects"] = "Transfers"
    """Type of the transactions."""


class Remora(Protocol):
    """One primary and its proxies; load generators send to the primary."""

    name = "remora"
    summary = "asynchronous execution: one primary and proxies, built from its repository"
    build: ClassVar[Build | None] = Build(
        packages=("curl", "git", "clang", "cmake", "gcc", "libssl-dev", "pkg-config", "libclang-dev", "libpq-dev"),
        outputs=("remora", "load_generator"),
    )
    minimum_nodes = 2
    node_model: ClassVar[type[BaseModel]] = RemoraNode
    client_model: ClassVar[type[BaseModel]] = RemoraClient

    def tolerated_faults(self, nodes: int) -> int:
        """Return none: there is one primary, and it waits for the transactions that it gave to a proxy."""
        return 0

    def nodes(self, plan: Plan) -> tuple[Process, ...]:
        """Return the primary and its proxies."""
        return tuple(
            Process(
                name=f"node-{index}",
                job="node",
                host=host,
                argv=(
                    "remora", *_CONFIGS, "--binding-address", "0.0.0.0",
                    *(("proxy", str(index)) if index else ("primary",)),
                ),
                environment=_ENVIRONMENT,
                files=self._files(plan, plan.load),
                ports=(METRICS_PORT,) if index else (PROXY_PORT, CLIENT_PORT, METRICS_PORT),
                metrics_port=METRICS_PORT,
                ready=f"http {METRICS_PORT} /metrics" if index else f"tcp {CLIENT_PORT}",
            )
            for index, host in enumerate(plan.nodes)
        )  # fmt: skip

    def clients(self, plan: Plan) -> tuple[Process, ...]:
        """Return a load generator for each client, with its share of the load."""
        return tuple(
            Process(
                name=f"client-{index}",
                job="client",
                host=host,
                argv=("load_generator", *_CONFIGS, "--metrics-address", f"0.0.0.0:{GENERATOR_METRICS_PORT}"),
                environment=_ENVIRONMENT,
                files=self._files(plan, share),
                ports=(GENERATOR_METRICS_PORT,),
                metrics_port=GENERATOR_METRICS_PORT,
                ready=f"http {GENERATOR_METRICS_PORT} /metrics",
            )
            for index, (host, share) in enumerate(zip(plan.clients, plan.shares, strict=True))
        )

    def _files(self, plan: Plan, load: int) -> dict[str, str]:
        """Return both configuration files; `load` is that of one generator, or of all of them on nodes."""
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
