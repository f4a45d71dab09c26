"""etcd: a replicated key-value store, installed from the distribution's packages.

Sources: https://etcd.io/docs/v3.4/op-guide/configuration/ (flags), /tuning/ (heartbeat about the largest round trip,
election timeout about ten times that), /faq/ (at most seven members; tolerates (n-1)//2 crashed).
"""

from __future__ import annotations

import math
from typing import ClassVar

from pydantic import BaseModel, Field

from benchmark.errors import UsageError
from benchmark.inventory import Host
from benchmark.protocols.base import Protocol
from benchmark.protocols.load_generator import HttpRequest, LoadGenerator, generators, nearest
from benchmark.protocols.process import Plan, Process

PEER_PORT = 2380
CLIENT_PORT = 2379
_UNMEASURED_RTT_MS = 300.0
# Ready when the cluster answers and this member leads; until then it asks the one that does to hand over. etcdctl is
# slow to start, so the cluster's health is asked for without it.
_LEAD = f"""\
exec 3<>/dev/tcp/127.0.0.1/{CLIENT_PORT} && printf 'GET /health HTTP/1.0\\r\\n\\r\\n' >&3
read -r -t 10 _ status _ <&3 && [[ $status == 200 ]] || exit 1
export ETCDCTL_API=3
field() {{ awk -v name="\\"$1\\"" '$1 == name {{ print $3 }}' <<<"$found"; }}
found=$(etcdctl endpoint status -w fields) || exit 1
[[ $(field MemberID) != "$(field Leader)" ]] || exit 0
etcdctl --endpoints=$ENDPOINTS --command-timeout=10s move-leader "$(printf %x "$(field MemberID)")"
exit 1
"""


class EtcdNode(BaseModel, extra="forbid", frozen=True, use_attribute_docstrings=True):
    """`node_parameters` of etcd."""

    heartbeat_ms: int | None = Field(default=None, ge=1, le=10_000)
    """Heartbeat interval; by default the largest round trip between the nodes, at least 100 ms."""
    election_ms: int | None = Field(default=None, ge=10, le=50_000)
    """Election timeout; by default ten heartbeats, at most etcd's limit of 50 s."""
    leader: int | None = Field(default=0, ge=0)
    """Index of the node that leads, so that runs can be compared; null leaves it to the first election."""
    snapshot_count: int = Field(default=100_000, ge=1)
    """Committed transactions between two snapshots to disk."""


class EtcdClient(LoadGenerator, frozen=True):
    """`client_parameters` of etcd."""

    keys: int = Field(default=10_000, ge=1)
    """How many distinct keys are written, chosen uniformly."""
    value_bytes: int = Field(default=128, ge=1, le=1_000_000)
    """Size of each value."""


class Etcd(Protocol):
    """Puts of random keys through the member on the client's own host, over HTTP/JSON."""

    name = "etcd"
    summary = "replicated key-value store (Raft), from the distribution's package"
    packages = ("etcd-server", "etcd-client")
    most_nodes = 7
    leader_metric = "etcd_server_is_leader"
    load_shapes = True
    node_model: ClassVar[type[BaseModel]] = EtcdNode
    client_model: ClassVar[type[BaseModel]] = EtcdClient

    def tolerated_faults(self, nodes: int) -> int:
        """A majority must be left."""
        return (nodes - 1) // 2

    def nodes(self, plan: Plan) -> tuple[Process, ...]:
        """One member on each node's host; data lies in the process's folder and goes with it."""
        leader = self._parameters.leader
        if leader is not None and leader >= len(plan.nodes):
            raise UsageError(f"node_parameters: leader: found {leader}, but the {len(plan.nodes)} nodes count from 0")
        cluster = ",".join(f"{_name(i)}={_peer(host)}" for i, host in enumerate(plan.nodes))
        return tuple(self._node(index, host, cluster, plan) for index, host in enumerate(plan.nodes))

    def clients(self, plan: Plan) -> tuple[Process, ...]:
        """One generator on each client's host, writing to the nearest member."""
        assert isinstance(self.client_parameters, EtcdClient)
        parameters = self.client_parameters
        keys, size = parameters.keys, parameters.value_bytes
        requests = [
            HttpRequest(
                method="POST",
                url=f"http://{_reached(host, nearest(host, plan.nodes, index))}/v3/kv/put",
                headers={"Content-Type": "application/json"},
                body=f'{{"key":"{{{{key:{keys}:base64}}}}","value":"{{{{value:{size}:base64}}}}"}}',
            )
            for index, host in enumerate(plan.clients)
        ]
        return generators(plan, "put", requests, parameters)

    def _node(self, index: int, host: Host, cluster: str, plan: Plan) -> Process:
        heartbeat, election = self._timing(plan)
        client = f"http://{host.endpoint(CLIENT_PORT)}"
        flags = {
            "name": _name(index),
            "data-dir": "data",
            "listen-peer-urls": f"http://0.0.0.0:{PEER_PORT}",
            "initial-advertise-peer-urls": _peer(host),
            "listen-client-urls": f"http://0.0.0.0:{CLIENT_PORT}",
            "advertise-client-urls": client,
            "initial-cluster": cluster,
            "initial-cluster-state": "new",
            "heartbeat-interval": str(heartbeat),
            "election-timeout": str(election),
            "snapshot-count": str(self._parameters.snapshot_count),
            "log-level": "info",
            "logger": "zap",
        }
        leads = index == self._parameters.leader
        endpoints = ",".join(each.endpoint(CLIENT_PORT) for each in plan.nodes)
        return Process(
            name=_name(index),
            job="node",
            host=host,
            argv=("etcd", *(f"--{flag}={value}" for flag, value in flags.items())),
            ports=(PEER_PORT, CLIENT_PORT),
            metrics_port=CLIENT_PORT,
            files={"lead": f"ENDPOINTS={endpoints}\n{_LEAD}"} if leads else {},
            ready="run lead" if leads else f"http {CLIENT_PORT} /health",
            grace=0,  # nothing is worth flushing, and on SIGTERM a leader would wait to hand over
        )

    @property
    def _parameters(self) -> EtcdNode:
        assert isinstance(self.node_parameters, EtcdNode)
        return self.node_parameters

    def _timing(self, plan: Plan) -> tuple[int, int]:
        """Heartbeat interval and election timeout in ms that fit the plan's largest round trip."""
        largest = max((plan.rtt_ms.get((a.region, b.region), 0.0) for a in plan.nodes for b in plan.nodes), default=0.0)
        fitting = max(100, math.ceil(largest if plan.rtt_ms else _UNMEASURED_RTT_MS))
        heartbeat = self._parameters.heartbeat_ms or fitting
        return heartbeat, self._parameters.election_ms or min(10 * heartbeat, 50_000)


def _name(index: int) -> str:
    return f"node-{index}"


def _reached(client: Host, member: Host) -> str:
    """Return where a client reaches the member: by loopback on its own host, as clouds route that address outside."""
    return f"127.0.0.1:{CLIENT_PORT}" if client == member else member.endpoint(CLIENT_PORT)


def _peer(host: Host) -> str:
    return f"http://{host.endpoint(PEER_PORT)}"
