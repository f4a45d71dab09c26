"""Protocols described in a YAML file; the format is in docs/protocols.md."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, JsonValue

from benchmark.errors import SettingsError, UsageError
from benchmark.inventory import Host
from benchmark.metrics.names import LOAD_GENERATOR
from benchmark.metrics.targets import path_labels
from benchmark.protocols.base import NoParameters, Protocol
from benchmark.protocols.declared.schema import (
    ClientDeclaration,
    Declaration,
    LoadDeclaration,
    ProcessDeclaration,
    parameters_model,
    read_declaration,
)
from benchmark.protocols.declared.templates import Templates, uses
from benchmark.protocols.declared.verification import OperationDeclaration, ReadDeclaration
from benchmark.protocols.load_generator import HttpRequest, LoadGenerator, generators, nearest
from benchmark.protocols.probe import KeyValueApi, Operation
from benchmark.protocols.process import Build, Plan, Process
from benchmark.settings import Document, redact_document

_BASH = ("bash", "-euo", "pipefail", "-c")
_SERIES = """\
exec 3<>/dev/tcp/127.0.0.1/{port}
printf '%s\\r\\n\\r\\n' {path} >&3
tr -d '\\r' <&3 | grep -E '^{metric}([{{ ]|$)' | sort
"""
_READY = re.compile(r"|tcp \d+|http \d+ /\S*|metric \d+ /\S* [A-Za-z_:][\w:]*|log \S.*|run [\w./-]+")
_METRICS = re.compile(r"(\d+)(/[^\s?]*)?(\?\S*)?")
Names = Mapping[str, object]
"""What templates can refer to, by name."""


class Declared(Protocol):
    """The base class of all protocols described in a file."""

    declaration: ClassVar[Declaration]
    document: ClassVar[Document]

    def __init__(self, node_parameters: BaseModel, client_parameters: BaseModel) -> None:
        super().__init__(node_parameters, client_parameters)
        self._templates = Templates(self.document)
        # Render every template for example hosts, so that errors are found before any real host is used.
        hosts = tuple(
            Host(
                name=f"host-{index}",
                provider="local",
                region="region",
                specs="",
                address=f"192.0.2.{index % 250 + 1}",
                host_key="",
            )
            for index in range(max(2, self.minimum_nodes))
        )
        shares = (self.load_step,) * len(hosts)
        clients = () if self.load_from == "node" else hosts
        plan = Plan(hosts, clients, sum(shares), shares, duration_s=1.0)
        self.nodes(plan)
        self.clients(plan)
        if "linearizability" in self.checks:
            self.key_value_api(plan)

    def definition(self) -> dict[str, JsonValue]:
        """Return the fields of the file without defaults and credentials; parameters are recorded with their values."""
        left_out = {"name", "summary", "node_parameters", "client_parameters"}
        fields = self.declaration.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude=left_out)
        found = redact_document(fields)
        assert isinstance(found, dict)
        return found

    def tolerated_faults(self, nodes: int) -> int:
        """Return how many of `nodes` may crash according to the description."""
        declared = self.declaration.tolerated_faults
        by_name = {"minority": (nodes - 1) // 2, "third": (nodes - 1) // 3, "all_but_one": nodes - 1}
        return by_name[declared] if isinstance(declared, str) else declared

    def nodes(self, plan: Plan) -> tuple[Process, ...]:
        """Return the described process for each node."""
        declared = self.declaration.node
        common = self._common_names(plan) | {"parameters": self.node_parameters.model_dump(), "ports": declared.ports}
        processes = []
        for index, (host, node) in enumerate(zip(plan.nodes, self._describe_nodes(plan), strict=True)):
            share = plan.shares[index] if self.load_from == "node" else 0
            names = common | {"node": node, "load": share}
            process = self._process("node", index, host, declared, names)
            processes.append(replace(process, agreement=self._agreement(process, names)))
        return tuple(processes)

    def clients(self, plan: Plan) -> tuple[Process, ...]:
        """Return the load generator for each client: the project's or the described one; none without clients."""
        nodes, clients = self._describe_nodes(plan), _describe("client", plan.clients)
        common = self._common_names(plan) | {"parameters": self.client_parameters.model_dump(mode="json")}
        names: list[dict[str, object]] = []
        for index, (host, client) in enumerate(zip(plan.clients, clients, strict=True)):
            near = nodes[plan.nodes.index(nearest(host, plan.nodes, index, plan.rtt_ms))]
            names.append(common | {"client": client, "load": plan.shares[index], "nearest": near})
        if self.declaration.load:
            assert isinstance(self.client_parameters, LoadGenerator)
            requests = [self._requests(each | {"ports": self.declaration.node.ports}) for each in names]
            for (path, _), request in zip(self._loads(), requests[0] if requests else (), strict=False):
                self._check(path, request)
            return generators(plan, "default", requests, self.client_parameters)
        declared = self.declaration.client
        if declared is None:
            return ()
        made = tuple(
            self._process("client", index, host, declared, each | {"ports": declared.ports})
            for index, (host, each) in enumerate(zip(plan.clients, names, strict=True))
        )
        if written := declared.written:
            made = tuple(replace(each, latency_log=written.file, latency_source=written.source) for each in made)
        return made

    def progress_within_s(self, plan: Plan) -> float:
        """Return the described time."""
        return self.declaration.progress_within.total_seconds()

    def key_value_api(self, plan: Plan) -> tuple[KeyValueApi, ...]:
        """Return the described operations on keys at each node."""
        declared = self.declaration.verify
        assert declared is not None
        common = self._common_names(plan) | {"parameters": self.node_parameters.model_dump()} | _PROBE_PLACEHOLDERS
        found = []
        for node in self._describe_nodes(plan):
            names = common | {"node": node, "ports": self.declaration.node.ports}
            operations = {
                name: self._operation(("verify", name), operation, names)
                for name in ("read", "write", "cas")
                if (operation := getattr(declared, name))
            }
            found.append(KeyValueApi(**operations))
        return tuple(found)

    def _agreement(self, node: Process, names: Names) -> tuple[str, ...]:
        """Return the command that prints what a node must agree on with the others; empty if nothing is described."""
        declared = self.declaration.verify and self.declaration.verify.agreement
        if not declared:
            return ()
        if declared.command:
            return self._command(("verify", "agreement", "command"), declared.command, names)
        path = shlex.quote(f"GET {node.metrics_path} HTTP/1.0")
        return (*_BASH, _SERIES.format(port=node.metrics_port, path=path, metric=declared.metric))

    def _operation(self, path: tuple[str, str], declared: OperationDeclaration, names: Names) -> Operation:
        operation = Operation(
            url=self._templates.render((*path, "url"), declared.url, names).strip(),
            method=declared.method,
            headers=self._render_all((*path, "headers"), declared.headers, names),
            body=self._templates.render((*path, "body"), declared.body, names),
            command=self._command((*path, "command"), declared.command, names) if declared.command else (),
            done=declared.done,
            otherwise=getattr(declared, "otherwise", ""),
            failed=declared.failed or "",
            base64=isinstance(declared, ReadDeclaration) and declared.base64,
        )
        if declared.url:
            self._check(path, HttpRequest(operation.method, operation.url, operation.headers))
        return operation

    def _requests(self, names: Names) -> list[HttpRequest]:
        return [
            HttpRequest(
                load.method,
                self._templates.render((*path, "url"), load.url, names),
                self._render_all((*path, "headers"), load.headers, names),
                self._templates.render((*path, "body"), load.body, {**names, **_PLACEHOLDERS}),
                load.expect.model_dump(exclude_defaults=True),
                load.workload,
                load.weight,
                load.preload,
            )
            for path, load in self._loads()
        ]

    def _loads(self) -> list[tuple[tuple[str | int, ...], LoadDeclaration]]:
        """Return the declared requests, and where the file has them."""
        load = self.declaration.load
        if isinstance(load, tuple):
            return [(("load", index), each) for index, each in enumerate(load)]
        return [(("load",), load)] if load else []

    def _check(self, path: tuple[str | int, ...], request: HttpRequest) -> None:
        """Raise SettingsError where the load generator would reject the request on the hosts."""
        try:
            request.check()
        except SettingsError as error:
            field = str(error).partition(":")[0].split(".")
            raise SettingsError(f"{self.document.where((*path, *field))}: {'.'.join(map(str, path))}.{error}") from None

    def _common_names(self, plan: Plan) -> dict[str, object]:
        """Return the names that every template can use."""
        rtt_ms = [plan.rtt_ms.get((a.region, b.region), 0.0) for a in plan.nodes for b in plan.nodes]
        return {
            "nodes": self._describe_nodes(plan),
            "clients": _describe("client", plan.clients),
            "total_load": plan.scheduled_tps,
            "duration_s": plan.duration_s,
            "rtt_ms": max(rtt_ms, default=0.0),
        }

    def _describe_nodes(self, plan: Plan) -> list[dict[str, object]]:
        return [each | {"ports": self.declaration.node.ports} for each in _describe("node", plan.nodes)]

    def _process(
        self, job: Literal["node", "client"], index: int, host: Host, declared: ProcessDeclaration, names: Names
    ) -> Process:
        metrics = self._match((job, "metrics"), declared.metrics, names, _METRICS, "PORT or PORT/PATH")
        metrics_path = f"{metrics[2] or '/metrics'}{metrics[3] or ''}" if metrics else "/metrics"
        try:
            path_labels(metrics_path)
        except UsageError as error:
            raise SettingsError(f"{self.document.where((job, 'metrics'))}: {error}") from None
        accepted = "tcp PORT, http PORT /PATH, metric PORT /PATH NAME, log PATTERN or run FILE"
        ready = self._match((job, "ready"), declared.ready, names, _READY, accepted)
        return Process(
            name=f"{job}-{index}",
            job=job,
            host=host,
            argv=self._command((job, "command"), declared.command, names),
            environment=self._render_all((job, "environment"), declared.environment, names),
            files=self._render_all((job, "files"), declared.files, names),
            ports=tuple(declared.ports.values()),
            metrics_port=int(metrics[1]) if metrics else None,
            metrics_path=metrics_path,
            ready=ready[0] if ready else "",
            grace=declared.grace,
            user=declared.user or "",
            prepare=self._command((job, "prepare"), declared.prepare, names),
        )

    def _render_all(self, path: tuple[str | int, ...], texts: Mapping[str, str], names: Names) -> dict[str, str]:
        return {name: self._templates.render((*path, name), text, names) for name, text in texts.items()}

    def _command(self, path: tuple[str, ...], declared: Sequence[str] | str, names: Names) -> tuple[str, ...]:
        if isinstance(declared, str):
            return (*_BASH, self._templates.render(path, declared, names))
        return tuple(self._templates.render((*path, index), word, names) for index, word in enumerate(declared))

    def _match(
        self, path: tuple[str, ...], text: str, names: Names, pattern: re.Pattern[str], accepted: str
    ) -> re.Match[str] | None:
        """Render a text and match it with `pattern`; None if it is empty, SettingsError if it does not match."""
        rendered = self._templates.render(path, text, names).strip()
        found = pattern.fullmatch(rendered)
        if rendered and not found:
            raise SettingsError(f"{self.document.where(path)}: found {rendered!r}, expected {accepted}")
        return found if rendered else None


def read_protocol(path: Path) -> type[Declared]:
    """Create the protocol described in a file; SettingsError lists every error with line and column."""
    found, document = read_declaration(path)
    build = found.build
    metrics = found.metrics.metrics() if found.metrics else LOAD_GENERATOR
    fields = {
        "name": found.name,
        "summary": found.summary,
        "packages": found.packages,
        "packages_on_clients": found.client is not None or bool(found.verify and found.verify.runs_commands),
        "build": Build(build.packages, build.command, build.outputs, build.repository) if build else None,
        "minimum_nodes": found.minimum_nodes,
        "most_nodes": found.most_nodes,
        "metrics": metrics,
        "load_from": "client" if found.load or found.client else "node",
        "load_step": found.load_step,
        "load_shapes": bool(found.load),
        "closed_loop": _is_closed_loop(found.client) if found.client else False,
        "random_arrivals": bool(found.client and found.client.written),  # files have no schedule to compare with
        "checks": found.verify.checks if found.verify else (),
        "agreement_within_s": found.verify.agreement.within.total_seconds()
        if found.verify and found.verify.agreement
        else Protocol.agreement_within_s,
        "leader_metric": found.leader_metric,
        "position_metric": found.position_metric,
        "breakdown": found.breakdown,
        "node_model": parameters_model("NodeParameters", found.node_parameters, NoParameters),
        "client_model": parameters_model(
            "ClientParameters", found.client_parameters, LoadGenerator if found.load else NoParameters
        ),
        "declaration": found,
        "document": document,
    }
    return type(found.name, (Declared,), fields)


def _is_closed_loop(client: ClientDeclaration) -> bool:
    """Return what the client declares; else whether no text of it names the load, which it then cannot follow."""
    if client.closed_loop is not None:
        return client.closed_loop
    texts = [client.command, client.prepare, tuple(client.environment.values()), tuple(client.files.values())]
    words = [word for text in texts for word in ([text] if isinstance(text, str) else text)]
    return not any(uses(word, "load", "total_load") for word in words)


def _placeholder(
    kind: str,
    size: int | None = None,
    base64: bool = False,
    zipf: float | None = None,
    uniform: Sequence[int] = (),
) -> str:
    """Return a placeholder of the load generator, such as `{{key:10:zipf=0.99:base64}}`."""
    options = {
        "size": "" if size is None else str(size),
        "uniform": f"uniform={'-'.join(map(str, uniform))}" if uniform else "",
        "zipf": "" if zipf is None else f"zipf={zipf}",
        "base64": "base64" if base64 else "",
    }
    return "{{" + ":".join([kind, *filter(None, options.values())]) + "}}"


_PLACEHOLDERS: dict[str, object] = {kind: partial(_placeholder, kind) for kind in ("key", "value", "sequence")}
"""Functions whose result the load generator replaces with a new value in each request."""


def _probe_placeholder(kind: str, base64: bool = False) -> str:
    return _placeholder(kind, base64=base64)


_PROBE_PLACEHOLDERS: dict[str, object] = {
    kind: partial(_probe_placeholder, kind) for kind in ("key", "value", "expected")
}
"""Functions whose result the probe workload replaces in each operation."""


def _describe(job: Literal["node", "client"], hosts: Sequence[Host]) -> list[dict[str, object]]:
    return [
        {"name": f"{job}-{index}", "index": index, "address": host.address, "host": host.name, "region": host.region}
        for index, host in enumerate(hosts)
    ]
