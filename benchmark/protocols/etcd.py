"""etcd, a replicated key-value store installed from Debian packages.

Sources: https://etcd.io/docs/v3.4/op-guide/configuration/ (flags), /tuning/ (heartbeat about the largest round trip,
election timeout about ten times that), /faq/ (at most seven members; tolerates (n-1)//2 crashed).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, Discriminator, Field, Tag, model_validator

from benchmark.errors import UsageError
from benchmark.host_scripts.load_generator.template import ZIPF_EXPONENT
from benchmark.inventory import Host
from benchmark.metrics.breakdown import LatencyPart
from benchmark.protocols.base import Protocol
from benchmark.protocols.load_generator import HttpRequest, LoadGenerator, generators, nearest
from benchmark.protocols.probe import KeyValueApi, Operation, prober
from benchmark.protocols.process import Plan, Process

PEER_PORT = 2380
CLIENT_PORT = 2379
_UNMEASURED_RTT_MS = 300.0
_LEAST_HEARTBEAT_MS = 100
_LARGEST_ELECTION_MS = 50_000
_ELECTIONS = 10
_LEAST_PROGRESS_S = 15.0
"""Requests that were in flight may wait several seconds for the leader that is gone."""
# The member is ready when the cluster is healthy and it leads; until then the script asks the leader to transfer its
# role. etcdctl is slow to start, so the health is queried without it.
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
    """Index of the leader, fixed so that runs are comparable; null leaves it to the first election."""
    snapshot_count: int = Field(default=100_000, ge=1)
    """Committed transactions between two snapshots to disk."""


Size = Annotated[int, Field(ge=1, le=1_000_000)]
"""Bytes of a value; etcd's limit is 1.5 MB per request."""


class KeyPopularity(BaseModel, extra="forbid", frozen=True, use_attribute_docstrings=True):
    """How often each key is used, if not all equally."""

    zipf: float = Field(gt=0, le=10)
    """Exponent of Zipf's distribution."""


class ValueSizes(BaseModel, extra="forbid", frozen=True, use_attribute_docstrings=True):
    """The distribution of the sizes of values; exactly one of the fields."""

    uniform: tuple[Size, Size] | None = None
    """Least and largest size; all between are equally likely."""
    zipf: Size | None = None
    """Largest size; the distribution is Zipf's, as YCSB draws the lengths of fields."""

    @model_validator(mode="after")
    def _one(self) -> ValueSizes:
        if (self.uniform is None) == (self.zipf is None):
            raise ValueError("expected either `uniform` or `zipf`")
        if self.uniform and self.uniform[0] > self.uniform[1]:
            raise ValueError("expected `uniform: [LEAST, LARGEST]`")
        return self

    @property
    def placeholder(self) -> str:
        """The distribution in a placeholder of the load generator."""
        return f"uniform={self.uniform[0]}-{self.uniform[1]}" if self.uniform else f"zipf={self.zipf}"


def _alternative(value: object) -> str:
    """Return the tag of the alternative that a value is meant as, in brackets, as errors leave out."""
    return "[fields]" if isinstance(value, dict | BaseModel) else "[name]"


class EtcdClient(LoadGenerator, frozen=True):
    """`client_parameters` of etcd."""

    reads: float = Field(default=0.0, ge=0, le=1)
    """Share of reads (linearizable), workload `get`; the rest are writes, workload `put`. With reads, the clients write
    all keys before the load."""
    keys: int = Field(default=10_000, ge=1, lt=10**9)
    """Number of distinct keys."""
    popularity: Annotated[
        Annotated[Literal["uniform", "zipf"], Tag("[name]")] | Annotated[KeyPopularity, Tag("[fields]")],
        Discriminator(_alternative),
    ] = "uniform"
    """How often each key is used: `uniform` for all equally, `zipf` for Zipf's distribution with the exponent of YCSB,
    0.99, or `{zipf: 0.8}` for another exponent."""
    value_bytes: Annotated[
        Annotated[Size, Tag("[name]")] | Annotated[ValueSizes, Tag("[fields]")], Discriminator(_alternative)
    ] = 128
    """Size of each value: a number, `{uniform: [16, 1024]}`, or `{zipf: 1024}` for 1 to 1024 bytes, mostly few."""

    @property
    def key(self) -> str:
        """The load generator's placeholder for a key."""
        exponent = self.popularity.zipf if isinstance(self.popularity, KeyPopularity) else ZIPF_EXPONENT
        return f"{{{{key:{self.keys}{'' if self.popularity == 'uniform' else f':zipf={exponent:.6f}'}:base64}}}}"

    @property
    def value(self) -> str:
        """The load generator's placeholder for a value."""
        size = self.value_bytes
        return f"{{{{value:{size if isinstance(size, int) else size.placeholder}:base64}}}}"


class Etcd(Protocol):
    """Writes and reads of random keys over HTTP/JSON at the member on the client's host, or else a near one."""

    name = "etcd"
    summary = "replicated key-value store (Raft), from the distribution's package"
    packages = ("etcd-server", "etcd-client")
    most_nodes = 7
    leader_metric = "etcd_server_is_leader"
    position_metric = "etcd_server_proposals_applied_total"
    quorum = "majority"
    checks = ("linearizability",)
    load_shapes = True
    breakdown = (
        LatencyPart(
            name="WAL fsync",
            meaning="Sync of the write-ahead log to disk, once per batch of entries, on leader and followers",
            metric="etcd_disk_wal_fsync_duration_seconds",
        ),
        LatencyPart(
            name="backend commit",
            meaning="Commit of the key-value store to disk, in the background, about every 100 ms",
            metric="etcd_disk_backend_commit_duration_seconds",
        ),
        LatencyPart(
            name="peer round trip",
            meaning="Round trip to each other member as etcd smooths it, recorded every 30 s",
            metric="etcd_network_peer_round_trip_time_seconds",
            label="To",
        ),
    )
    node_model: ClassVar[type[BaseModel]] = EtcdNode
    client_model: ClassVar[type[BaseModel]] = EtcdClient

    def tolerated_faults(self, nodes: int) -> int:
        """Return how many members may crash: a majority must remain."""
        return (nodes - 1) // 2

    def nodes(self, plan: Plan) -> tuple[Process, ...]:
        """Return a member for each node; its data is in the folder of the process and removed with it."""
        assert isinstance(self.node_parameters, EtcdNode)
        parameters, leader = self.node_parameters, self.node_parameters.leader
        if leader is not None and leader >= len(plan.nodes):
            last = len(plan.nodes) - 1
            raise UsageError(f"node_parameters: leader: found {leader}, expected the index of a node, 0 to {last}")
        heartbeat_ms, election_ms = self._timeouts_ms(plan)
        flags = {
            "data-dir": "data",
            "listen-peer-urls": f"http://0.0.0.0:{PEER_PORT}",
            "listen-client-urls": f"http://0.0.0.0:{CLIENT_PORT}",
            "initial-cluster": ",".join(f"node-{i}={_peer(host)}" for i, host in enumerate(plan.nodes)),
            "initial-cluster-state": "new",
            "heartbeat-interval": str(heartbeat_ms),
            "election-timeout": str(election_ms),
            "snapshot-count": str(parameters.snapshot_count),
            "log-level": "info",
            "logger": "zap",
        }
        return tuple(self._node(index, host, flags, plan) for index, host in enumerate(plan.nodes))

    def clients(self, plan: Plan) -> tuple[Process, ...]:
        """Return a load generator for each client, which uses the nearest member."""
        assert isinstance(self.client_parameters, EtcdClient)
        parameters = self.client_parameters
        bodies = {
            "get": (parameters.reads, "range", f'{{"key":"{parameters.key}"}}'),
            "put": (1 - parameters.reads, "put", f'{{"key":"{parameters.key}","value":"{parameters.value}"}}'),
        }
        requests = []
        for index, host in enumerate(plan.clients):
            member = nearest(host, plan.nodes, index, plan.rtt_ms)
            # By loopback on the same host: clouds route its public address through the internet.
            endpoint = f"127.0.0.1:{CLIENT_PORT}" if member == host else member.endpoint(CLIENT_PORT)
            requests.append(
                [
                    HttpRequest(
                        method="POST",
                        url=f"http://{endpoint}/v3/kv/{method}",
                        headers={"Content-Type": "application/json"},
                        body=body,
                        expect={"match": '"kvs":'} if workload == "get" else {},  # all keys exist
                        workload=workload,
                        weight=weight,
                        preload=workload == "put" and parameters.reads > 0,
                    )
                    for workload, (weight, method, body) in bodies.items()
                    if weight or parameters.reads
                ]
            )
        return generators(plan, "put", requests, parameters)

    def key_value_api(self, plan: Plan) -> tuple[KeyValueApi, ...]:
        """Return etcd's JSON API: reads are linearizable by default, a transaction compares and swaps."""
        host = prober(plan)
        # By loopback on the same host: clouds route its public address through the internet.
        ends = (f"127.0.0.1:{CLIENT_PORT}" if node == host else node.endpoint(CLIENT_PORT) for node in plan.nodes)
        return tuple(_key_value_api(f"http://{end}/v3/kv") for end in ends)

    def progress_within_s(self, plan: Plan) -> float:
        """Return ten election timeouts: an election starts after one to two of them, and may have to be repeated."""
        return max(_LEAST_PROGRESS_S, _ELECTIONS * self._timeouts_ms(plan)[1] / 1000)

    def _timeouts_ms(self, plan: Plan) -> tuple[int, int]:
        """Return the heartbeat interval and the election timeout."""
        assert isinstance(self.node_parameters, EtcdNode)
        largest = max((plan.rtt_ms.get((a.region, b.region), 0.0) for a in plan.nodes for b in plan.nodes), default=0.0)
        heartbeat_ms = self.node_parameters.heartbeat_ms or max(
            _LEAST_HEARTBEAT_MS, math.ceil(largest if plan.rtt_ms else _UNMEASURED_RTT_MS)
        )
        return heartbeat_ms, self.node_parameters.election_ms or min(10 * heartbeat_ms, _LARGEST_ELECTION_MS)

    def label_values(self, plan: Plan) -> Mapping[str, Mapping[str, str]]:
        """Return the host of each member by its id, which label `To` has."""
        return {"To": {_member_id(_peer(host)): host.name for host in plan.nodes}}

    def _node(self, index: int, host: Host, flags: Mapping[str, str], plan: Plan) -> Process:
        """Return one member; `flags` are those that all members share."""
        assert isinstance(self.node_parameters, EtcdNode)
        leads = index == self.node_parameters.leader
        endpoints = ",".join(each.endpoint(CLIENT_PORT) for each in plan.nodes)
        own = {
            "name": f"node-{index}",
            "initial-advertise-peer-urls": _peer(host),
            "advertise-client-urls": f"http://{host.endpoint(CLIENT_PORT)}",
        }
        return Process(
            name=f"node-{index}",
            job="node",
            host=host,
            argv=("etcd", *(f"--{flag}={value}" for flag, value in (own | dict(flags)).items())),
            ports=(PEER_PORT, CLIENT_PORT),
            metrics_port=CLIENT_PORT,
            files={"lead": f"ENDPOINTS={endpoints}\n{_LEAD}"} if leads else {},
            ready="run lead" if leads else f"http {CLIENT_PORT} /health",
            alive=f"http {CLIENT_PORT} /health",  # once the load runs, nothing interferes with elections
            grace=0,  # the data is discarded, and on SIGTERM a leader would wait to transfer its role
        )


def _key_value_api(url: str) -> KeyValueApi:
    """Return the operations at one member."""
    put = '{"key":"{{key:base64}}","value":"{{value:base64}}"}'
    compare = '{"key":"{{key:base64}}","target":"VALUE","result":"EQUAL","value":"{{expected:base64}}"}'
    headers = {"Content-Type": "application/json"}
    only_header = r'^200 \{"header":\{[^}]*\}\}'
    return KeyValueApi(
        read=Operation(
            url=f"{url}/range",
            headers=headers,
            body='{"key":"{{key:base64}}"}',
            done=r'"value":"([^"]*)"',
            otherwise=only_header,
            base64=True,
        ),
        write=Operation(url=f"{url}/put", headers=headers, body=put, done=r'^200 \{"header":'),
        cas=Operation(
            url=f"{url}/txn",
            headers=headers,
            body=f'{{"compare":[{compare}],"success":[{{"requestPut":{put}}}]}}',
            done='"succeeded":true',
            otherwise=only_header,
        ),
    )


def _peer(host: Host) -> str:
    return f"http://{host.endpoint(PEER_PORT)}"


def _member_id(peer_url: str) -> str:
    """Return the id that etcd gives a member at bootstrap: a hash of its peer URLs and the default cluster token."""
    digest = hashlib.sha1(f"{peer_url}etcd-cluster".encode(), usedforsecurity=False).digest()
    return f"{int.from_bytes(digest[:8]):x}"
