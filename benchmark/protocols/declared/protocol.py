"""Any system, described in one YAML file; docs/protocols.md tells the format."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel

from benchmark.errors import SettingsError
from benchmark.inventory import Host
from benchmark.metrics.names import LOAD_GENERATOR
from benchmark.protocols.base import NoParameters, Protocol
from benchmark.protocols.declared.schema import Declaration, ProcessDeclaration, parameters_model, read_declaration
from benchmark.protocols.declared.templates import Templates
from benchmark.protocols.declared.yaml_document import Document
from benchmark.protocols.load_generator import HttpRequest, LoadGenerator, generators, nearest
from benchmark.protocols.process import Build, Plan, Process

_BASH = ("bash", "-euo", "pipefail", "-c")
_READY = re.compile(r"|tcp \d+|http \d+ /\S*|metric \d+ /\S* [A-Za-z_:][\w:]*|log \S.*|run [\w./-]+")
_METRICS = re.compile(r"(\d+)(/\S*)?")
Names = Mapping[str, Any]


class Declared(Protocol):
    """What is common to all systems that are described by a file."""

    declaration: ClassVar[Declaration]
    document: ClassVar[Document]

    def __init__(self, node_parameters: BaseModel, client_parameters: BaseModel) -> None:
        super().__init__(node_parameters, client_parameters)
        self._templates = Templates(self.document)
        hosts = tuple(_imagined(index) for index in range(max(2, self.minimum_nodes)))
        shares = (self.load_step,) * len(hosts)
        clients = () if self.load_from == "node" else hosts
        # What is wrong with a template shows before any host is touched.
        plan = Plan(hosts, clients, sum(shares), shares, duration_s=1.0)
        self.nodes(plan)
        self.clients(plan)

    def tolerated_faults(self, nodes: int) -> int:
        """As many as the description says."""
        said = self.declaration.tolerated_faults
        words = {"minority": (nodes - 1) // 2, "third": (nodes - 1) // 3, "all_but_one": nodes - 1}
        return words[said] if isinstance(said, str) else said

    def nodes(self, plan: Plan) -> tuple[Process, ...]:
        """The described process on each node's host."""
        declared = self.declaration.node
        common = self._common(plan) | {"parameters": self.node_parameters.model_dump(), "ports": declared.ports}
        processes = []
        for index, host in enumerate(plan.nodes):
            share = plan.shares[index] if self.load_from == "node" else 0
            names = common | {"node": common["nodes"][index], "load": share}
            processes.append(self._process("node", index, host, declared, names))
        return tuple(processes)

    def clients(self, plan: Plan) -> tuple[Process, ...]:
        """The load generator on each client's host."""
        common = self._common(plan) | {"parameters": self.client_parameters.model_dump(mode="json")}
        each = [
            common
            | {"client": common["clients"][index], "load": plan.shares[index], "nearest": _nearest(plan, index, common)}
            for index in range(len(plan.clients))
        ]
        if self.declaration.load:
            assert isinstance(self.client_parameters, LoadGenerator)
            requests = [self._request(names | {"ports": self.declaration.node.ports}) for names in each]
            return generators(plan, self.declaration.load.workload, requests, self.client_parameters)
        declared = self.declaration.client
        if declared is None:
            return ()
        return tuple(
            self._process("client", index, host, declared, names | {"ports": declared.ports})
            for index, (host, names) in enumerate(zip(plan.clients, each, strict=True))
        )

    def _common(self, plan: Plan) -> dict[str, Any]:
        """What every template may name."""
        ports = self.declaration.node.ports
        return {
            "nodes": [_described(f"node-{i}", i, host) | {"ports": ports} for i, host in enumerate(plan.nodes)],
            "clients": [_described(f"client-{i}", i, host) for i, host in enumerate(plan.clients)],
            "total_load": plan.scheduled_tps,
            "duration_s": plan.duration_s,
            "rtt_ms": max(
                (plan.rtt_ms.get((a.region, b.region), 0.0) for a in plan.nodes for b in plan.nodes), default=0.0
            ),
        }

    def _process(self, job: Any, index: int, host: Host, declared: ProcessDeclaration, names: Names) -> Process:
        metrics = self._matching((job, "metrics"), declared.metrics, names, _METRICS, "PORT or PORT/PATH")
        return Process(
            name=f"{job}-{index}",
            job=job,
            host=host,
            argv=self._command((job, "command"), declared.command, names),
            environment=self._filled((job, "environment"), declared.environment, names),
            files=self._filled((job, "files"), declared.files, names),
            ports=tuple(declared.ports.values()),
            metrics_port=int(metrics[1]) if metrics else None,
            metrics_path=(metrics[2] if metrics else None) or "/metrics",
            ready=self._ready((job, "ready"), declared.ready, names),
            grace=declared.grace,
            prepare=self._command((job, "prepare"), declared.prepare, names),
        )

    def _request(self, names: Names) -> HttpRequest:
        load = self.declaration.load
        assert load
        return HttpRequest(
            method=load.method,
            url=self._templates.render(("load", "url"), load.url, names),
            headers=self._filled(("load", "headers"), load.headers, names),
            body=self._templates.render(("load", "body"), load.body, {**names, **_PLACEHOLDERS}),
        )

    def _filled(self, path: tuple[str, ...], texts: Mapping[str, str], names: Names) -> dict[str, str]:
        return {name: self._templates.render((*path, name), text, names) for name, text in texts.items()}

    def _command(self, path: tuple[str, ...], declared: Sequence[str] | str, names: Names) -> tuple[str, ...]:
        if isinstance(declared, str):
            return (*_BASH, self._templates.render(path, declared, names))
        return tuple(self._templates.render((*path, index), word, names) for index, word in enumerate(declared))

    def _ready(self, path: tuple[str, ...], text: str, names: Names) -> str:
        accepted = "tcp PORT, http PORT /PATH, metric PORT /PATH NAME, log PATTERN or run FILE"
        found = self._matching(path, text, names, _READY, accepted)
        return found[0] if found else ""

    def _matching(
        self, path: tuple[str, ...], text: str, names: Names, pattern: re.Pattern[str], accepted: str
    ) -> re.Match[str] | None:
        """Fill in a text that must match `pattern` unless it is empty."""
        filled = self._templates.render(path, text, names).strip()
        found = pattern.fullmatch(filled)
        if filled and not found:
            raise SettingsError(f"{self.document.where(path)}: found {filled!r}, expected {accepted}")
        return found if filled else None


def read_protocol(path: Path) -> type[Declared]:
    """Make the protocol that a file describes; SettingsError tells every fault with line and column."""
    found, document = read_declaration(path)
    build = found.build
    metrics = found.metrics.metrics() if found.metrics else LOAD_GENERATOR
    fields = {
        "name": found.name,
        "summary": found.summary,
        "packages": found.packages,
        "build": Build(build.packages, build.command, build.outputs, build.repository) if build else None,
        "minimum_nodes": found.minimum_nodes,
        "most_nodes": found.most_nodes,
        "metrics": metrics,
        "load_from": "client" if found.load or found.client else "node",
        "load_step": found.load_step,
        "load_shapes": found.load is not None,
        "leader_metric": found.leader_metric,
        "node_model": parameters_model("NodeParameters", found.node_parameters, NoParameters),
        "client_model": parameters_model(
            "ClientParameters", found.client_parameters, LoadGenerator if found.load else NoParameters
        ),
        "declaration": found,
        "document": document,
    }
    return type(found.name, (Declared,), fields)


def _placeholder(kind: str) -> Any:
    def write(size: int | None = None, base64: bool = False) -> str:
        return (
            "{{" + ":".join([kind, *([str(size)] if size is not None else []), *(["base64"] if base64 else [])]) + "}}"
        )

    return write


_PLACEHOLDERS = {kind: _placeholder(kind) for kind in ("key", "value", "sequence")}
"""What the load generator itself fills in, anew for each request."""


def _described(name: str, index: int, host: Host) -> dict[str, Any]:
    return {"name": name, "index": index, "address": host.address, "host": host.name, "region": host.region}


def _nearest(plan: Plan, index: int, common: Names) -> Any:
    return common["nodes"][plan.nodes.index(nearest(plan.clients[index], plan.nodes, index))]


def _imagined(index: int) -> Host:
    return Host(
        name=f"host-{index}",
        provider="local",
        region="region",
        specs="",
        address=f"192.0.2.{index % 250 + 1}",
        host_key="",
    )
