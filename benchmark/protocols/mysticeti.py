"""Mysticeti and its relatives (https://github.com/asonnino/mysticeti): consensus on a DAG of blocks, load made within.

Every host makes the same keys and configuration, from a fixed seed, before the replicas start. A replica sends its
load as a batch every 100 ms, so a load is a multiple of ten per second, and it counts every transaction that any
replica committed. The runner builds nothing of it: `--binaries` brings the program `replica`.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from benchmark.metrics.names import MetricNames
from benchmark.protocols.base import Protocol
from benchmark.protocols.cargo import RustDuration, to_yaml
from benchmark.protocols.process import Build, Plan, Process

FIRST_PORT = 1500
"""Of n replicas the one with index i is reached by the others at this port + i, its metrics at that + n."""
_FOLDER = "genesis"
_PARAMETERS, _LOAD = "replica-parameters.yaml", "load-generator.yaml"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Dag(_Model):
    """Parameters of the DAG; what is not set has the program's own default."""

    round_timeout: RustDuration | None = None
    """How long a round waits for its leader; by default what suits the consensus."""
    max_block_size: int | None = Field(default=None, ge=1)
    """Bytes."""
    enable_synchronizer: bool | None = None
    fsync: bool | None = None
    """Whether the log is forced to disk."""


class _Consensus(_Model):
    def crashes(self, nodes: int) -> int:
        """How many of `nodes` replicas may crash: two thirds and one must be left."""
        return (nodes - 1) // 3


class _Led(_Consensus):
    leader_count: int = Field(default=2, ge=1)
    """Leaders of a round."""


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
    """BlueBottle: four fifths and one must be left."""

    protocol: Literal["blue-bottle"]

    def crashes(self, nodes: int) -> int:
        """How many of `nodes` replicas may crash."""
        return (nodes - 1) // 5


class NemoNemo(_Led):
    """Nemo-Nemo: for crashes only, a majority must be left."""

    protocol: Literal["nemo-nemo"]

    def crashes(self, nodes: int) -> int:
        """How many of `nodes` replicas may crash."""
        return (nodes - 1) // 2


class _Hybrid(_Led):
    f: int = Field(ge=0)
    """Byzantine replicas that are tolerated."""
    c: int = Field(ge=0)
    """Crashed replicas that are tolerated besides."""

    def crashes(self, nodes: int) -> int:
        """How many replicas may crash: a Byzantine one may."""
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
    """`client_parameters` of Mysticeti: the load generator within each replica; its load is that of the run."""

    transaction_size: int = Field(default=512, ge=17)
    """Bytes; 16 of them tell the time and which transaction it is."""


class Mysticeti(Protocol):
    """Replicas that make their own load and all see every transaction."""

    name = "mysticeti"
    summary = "consensus on an uncertified DAG, and its relatives; --binaries brings `replica`"
    build: ClassVar[Build | None] = Build(packages=(), command="", outputs=("replica",))
    minimum_nodes = 3
    metrics = MetricNames(job="node", aggregation="median")
    load_from = "node"
    load_step = 10
    node_model: ClassVar[type[BaseModel]] = MysticetiNode
    client_model: ClassVar[type[BaseModel]] = MysticetiClient

    def tolerated_faults(self, nodes: int) -> int:
        """As many as the chosen consensus can lose."""
        return self._parameters.consensus.crashes(nodes)

    def nodes(self, plan: Plan) -> tuple[Process, ...]:
        """A replica on each node's host."""
        return tuple(self._replica(index, plan) for index in range(len(plan.nodes)))

    def clients(self, plan: Plan) -> tuple[Process, ...]:
        """None: the load is made within the replicas."""
        return ()

    @property
    def _parameters(self) -> MysticetiNode:
        assert isinstance(self.node_parameters, MysticetiNode)
        return self.node_parameters

    def _replica(self, index: int, plan: Plan) -> Process:
        assert isinstance(self.client_parameters, MysticetiClient)
        addresses = [host.address for host in plan.nodes]
        metrics_port = FIRST_PORT + len(addresses) + index
        load = {
            "load": plan.shares[index],
            "transaction_size": self.client_parameters.transaction_size,
            "initial_delay": "0s",
        }
        return Process(
            name=f"node-{index}",
            job="node",
            host=plan.nodes[index],
            prepare=(
                "replica", "test-genesis", "--ips", *addresses,
                "--working-directory", _FOLDER, "--replica-parameters-path", _PARAMETERS,
            ),
            argv=(
                "replica", "run", "--authority", str(index),
                "--public-config-path", f"{_FOLDER}/public-replica-config.yaml",
                "--private-config-path", f"{_FOLDER}/private-replica-config-{authority(index)}.yaml",
                *(("--load-generator-config-path", _LOAD) if plan.shares[index] else ()),
            ),
            environment={"RUST_BACKTRACE": "1"},
            files={_PARAMETERS: to_yaml(self._parameters), _LOAD: to_yaml(load)},
            ports=(FIRST_PORT + index, metrics_port),
            metrics_port=metrics_port,
            ready=f"http {metrics_port} /metrics",
        )  # fmt: skip


def authority(index: int) -> str:
    """How files name a replica: A to Z, then AA to ZZ; 702 names are all there are."""
    first, last = divmod(index, 26)
    return (chr(ord("A") + first - 1) if first else "") + chr(ord("A") + last)
