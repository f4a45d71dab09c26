"""Mysticeti and related protocols (https://github.com/asonnino/mysticeti): consensus on a DAG of blocks.

Replicas generate the load themselves. Before they start, every host generates the same keys and configuration from a
fixed seed. A replica sends its load as a batch every 100 ms, so its load is a multiple of 10 tx/s, and it counts every
transaction that any replica committed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from benchmark.metrics.breakdown import LatencyPart
from benchmark.metrics.names import MetricNames
from benchmark.protocols.base import Protocol
from benchmark.protocols.cargo import RustDuration, to_yaml
from benchmark.protocols.process import Build, Plan, Process

FIRST_PORT = 1500
"""Replica i of n listens on this port + i, and exports its metrics on that port + n."""
_FOLDER = "genesis"
_PARAMETERS, _LOAD = "replica-parameters.yaml", "load-generator.yaml"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Dag(_Model):
    """Parameters of the DAG; the program has defaults for those that are not set."""

    round_timeout: RustDuration | None = None
    """How long a round waits for its leader; the default depends on the consensus."""
    max_block_size: int | None = Field(default=None, ge=1)
    """In bytes."""
    enable_synchronizer: bool | None = None
    fsync: bool | None = None
    """Whether the log is synced to disk."""


class _Consensus(_Model):
    def crashes(self, nodes: int) -> int:
        """Return how many of `nodes` replicas may crash: more than two thirds must remain."""
        return (nodes - 1) // 3


class _Led(_Consensus):
    leader_count: int = Field(default=2, ge=1)
    """Leaders per round."""


class CordialMiners(_Consensus):
    """Cordial Miners."""

    protocol: Literal["cordial-miners-partially-synchronous", "cordial-miners-asynchronous"]


class MysticetiConsensus(_Led):
    """Mysticeti."""

    protocol: Literal["mysticeti"] = "mysticeti"


class MahiMahi(_Led):
    """Mahi-Mahi."""

    protocol: Literal["mahi-mahi"]
    wave_length: Literal[4, 5]


class BlueBottle(_Led):
    """BlueBottle: more than four fifths must remain."""

    protocol: Literal["blue-bottle"]

    def crashes(self, nodes: int) -> int:
        """Return how many of `nodes` replicas may crash."""
        return (nodes - 1) // 5


class NemoNemo(_Led):
    """Nemo-Nemo: tolerates crashes only; a majority must remain."""

    protocol: Literal["nemo-nemo"]

    def crashes(self, nodes: int) -> int:
        """Return how many of `nodes` replicas may crash."""
        return (nodes - 1) // 2


class _Hybrid(_Led):
    f: int = Field(ge=0)
    """Tolerated Byzantine replicas."""
    c: int = Field(ge=0)
    """Tolerated crashed replicas in addition."""

    def crashes(self, nodes: int) -> int:
        """Return how many replicas may crash; a Byzantine one may crash, too."""
        return self.f + self.c


class Orcaella(_Hybrid):
    """Orcaella."""

    protocol: Literal["orcaella"]


class DagHydrangea(_Hybrid):
    """DagHydrangea."""

    protocol: Literal["dag-hydrangea"]
    k: int = Field(ge=0)
    """Slack that widens the fast path."""


Consensus = Annotated[
    CordialMiners | MysticetiConsensus | MahiMahi | BlueBottle | NemoNemo | Orcaella | DagHydrangea,
    Field(discriminator="protocol"),
]


class MysticetiNode(_Model):
    """`node_parameters` of Mysticeti: its replica parameters."""

    dag: Dag = Dag()
    consensus: Consensus = MysticetiConsensus()


class MysticetiClient(_Model):
    """`client_parameters` of Mysticeti: the load generator in each replica; a run sets its load."""

    transaction_size: int = Field(default=512, ge=17)
    """In bytes; 16 of them are the time and the number of the transaction."""


class Mysticeti(Protocol):
    """Replicas that generate the load and all count every transaction."""

    name = "mysticeti"
    summary = "consensus on an uncertified DAG, and related protocols, built from their repository"
    build: ClassVar[Build | None] = Build(outputs=("replica",), repository="https://github.com/asonnino/mysticeti")
    minimum_nodes = 3
    metrics = MetricNames(job="node", aggregation="median", errors=None)
    load_from = "node"
    load_step = 10
    breakdown = (
        LatencyPart(
            name="block to commit",
            meaning="From when a replica put a transaction into its block until it committed that transaction",
            metric="inter_block_latency_s",
        ),
        LatencyPart(
            name="block",
            meaning="From the creation of a block until a replica committed it, by whether it led its commit; this "
            "compares the clocks of two replicas",
            metric="block_latency_s",
            label="kind",
        ),
        LatencyPart(
            name="commit type",
            meaning="How the leaders of rounds were decided; every replica counts all of them",
            metric="committed_leaders_total",
            label="commit_type",
            kind="counter",
        ),
        LatencyPart(
            name="leader",
            meaning="Whose leader blocks were decided; every replica counts all of them",
            metric="committed_leaders_total",
            label="authority",
            kind="counter",
        ),
    )
    node_model: ClassVar[type[BaseModel]] = MysticetiNode
    client_model: ClassVar[type[BaseModel]] = MysticetiClient

    def tolerated_faults(self, nodes: int) -> int:
        """Return how many crashed replicas the selected consensus tolerates."""
        assert isinstance(self.node_parameters, MysticetiNode)
        return self.node_parameters.consensus.crashes(nodes)

    def nodes(self, plan: Plan) -> tuple[Process, ...]:
        """Return a replica for each node."""
        assert isinstance(self.node_parameters, MysticetiNode)
        assert isinstance(self.client_parameters, MysticetiClient)
        addresses = [host.address for host in plan.nodes]
        replicas = []
        for index, (host, share) in enumerate(zip(plan.nodes, plan.shares, strict=True)):
            metrics_port = FIRST_PORT + len(addresses) + index
            size = self.client_parameters.transaction_size
            load = {"load": share, "transaction_size": size, "initial_delay": "0s"}
            replica = Process(
                name=f"node-{index}",
                job="node",
                host=host,
                prepare=(
                    "replica", "test-genesis", "--ips", *addresses,
                    "--working-directory", _FOLDER, "--replica-parameters-path", _PARAMETERS,
                ),
                argv=(
                    "replica", "run", "--authority", str(index),
                    "--public-config-path", f"{_FOLDER}/public-replica-config.yaml",
                    "--private-config-path", f"{_FOLDER}/private-replica-config-{authority(index)}.yaml",
                    *(("--load-generator-config-path", _LOAD) if share else ()),
                ),
                environment={"RUST_BACKTRACE": "1"},
                files={_PARAMETERS: to_yaml(self.node_parameters), _LOAD: to_yaml(load)},
                ports=(FIRST_PORT + index, metrics_port),
                metrics_port=metrics_port,
                ready=f"http {metrics_port} /metrics",
            )  # fmt: skip
            replicas.append(replica)
        return tuple(replicas)

    def clients(self, plan: Plan) -> tuple[Process, ...]:
        """Return none: replicas generate the load."""
        return ()

    def label_values(self, plan: Plan) -> Mapping[str, Mapping[str, str]]:
        """Return the host of each replica by its name in metrics."""
        return {"authority": {authority(index): host.name for index, host in enumerate(plan.nodes)}}


def authority(index: int) -> str:
    """Return the name of a replica in file names and metrics: A to Z, then AA to ZZ, 702 in total."""
    first, last = divmod(index, 26)
    return (chr(ord("A") + first - 1) if first else "") + chr(ord("A") + last)
