"""A Pulumi provider served from this process: the engine's protocol in front of an emulated cloud.

The engine gets its address from PULUMI_DEBUG_PROVIDERS=aws:PORT,vultr:PORT. Inputs are checked against the installed
SDK before the cloud sees them. https://pulumi-developer-docs.readthedocs.io/latest/developer-docs/providers/
"""

# ruff: noqa: N802
from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

import grpc
from fakes.emulators import schema
from fakes.emulators.properties import Properties, asked_part, plain, same, struct
from google.protobuf import any_pb2, empty_pb2
from google.rpc import status_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc


class CloudError(Exception):
    """Error that the cloud's API returns for a rejected request."""


class NotReadyError(Exception):
    """A resource was created, but its creation was not confirmed in time."""

    def __init__(self, identity: str, properties: Properties, reason: str) -> None:
        super().__init__(reason)
        self.identity, self.properties = identity, properties


class Kind(Protocol):
    """The life cycle of one resource type in the cloud; properties have the SDK's names."""

    replaces: frozenset[str]
    """Inputs whose change requires a replacement."""
    named: str | None
    """The input that gets a name generated from the resource's, if it is missing."""

    def create(self, inputs: Properties) -> tuple[str, Properties]: ...
    def read(self, identity: str) -> Properties | None: ...
    def update(self, identity: str, inputs: Properties) -> Properties: ...
    def delete(self, identity: str) -> None: ...


@dataclass
class Cloud:
    """What a provider offers: resources and functions by their token; `configure` checks the credentials."""

    kinds: dict[str, Kind]
    functions: dict[str, Callable[[Properties], Properties]]
    configure: Callable[[Properties], None]
    created: list[str] = field(default_factory=list)
    """The types of all created resources, for tests to count."""

    @property
    def package(self) -> str:
        """The name of its SDK in tokens."""
        return next(iter(self.kinds)).partition(":")[0]


class Provider(provider_pb2_grpc.ResourceProviderServicer):  # type: ignore[misc]
    """Speaks the engine's protocol for one cloud."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def Handshake(self, request: Any, context: Any) -> Any:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "the engine attaches without")

    def Attach(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()

    def Cancel(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version="7.51.1")

    def CheckConfig(self, request: Any, context: Any) -> Any:
        wrong = schema.check_config(self._cloud.package, plain(request.news))
        return provider_pb2.CheckResponse(inputs=request.news, failures=_failures(wrong))

    def DiffConfig(self, request: Any, context: Any) -> Any:
        changed = request.olds != request.news
        some = provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(changes=some)

    def Configure(self, request: Any, context: Any) -> Any:
        with _answering(context):
            self._cloud.configure(plain(request.args))
        return provider_pb2.ConfigureResponse(acceptSecrets=False, supportsPreview=False)

    def Invoke(self, request: Any, context: Any) -> Any:
        arguments = plain(request.args)
        wrong = schema.check_call(request.tok, arguments)
        if wrong:
            return provider_pb2.InvokeResponse(failures=_failures(wrong))
        try:
            return provider_pb2.InvokeResponse(**{"return": struct(self._cloud.functions[request.tok](arguments))})
        except Exception as error:  # as the bridge to Terraform's providers writes it
            context.abort(grpc.StatusCode.UNKNOWN, f"invoking {request.tok}: 1 error occurred:\n\t* {error}\n\n")

    def Check(self, request: Any, context: Any) -> Any:
        news, olds = plain(request.news), plain(request.olds)
        token = _token(request.urn)
        named = self._cloud.kinds[token].named
        if named and not news.get(named):
            news[named] = olds.get(named) or f"{request.urn.split('::')[-1]}-{request.randomSeed[:4].hex()}"
        news = {**getattr(self._cloud.kinds[token], "defaults", {}), **news}
        return provider_pb2.CheckResponse(inputs=struct(news), failures=_failures(schema.check(token, news)))

    def Diff(self, request: Any, context: Any) -> Any:
        olds, news = plain(request.olds), plain(request.news)
        before = plain(request.old_inputs)
        there = asked_part({**before, **olds}, before, news)
        kind = self._kind(request.urn)
        gone = {*before} - {*news} - schema.kept(_token(request.urn))
        kept = {name for name in getattr(kind, "computed", ()) if not news.get(name)}
        changed = [name for name in {*gone, *news} - kept if not same(there.get(name), news.get(name))]
        forced = kind.forced({**before, **olds}, news) if hasattr(kind, "forced") else ()
        replaces = [name for name in changed if name in kind.replaces or name in forced]
        some = provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(changes=some, replaces=replaces, diffs=changed)

    def Create(self, request: Any, context: Any) -> Any:
        try:
            with _answering(context):
                identity, made = self._kind(request.urn).create(plain(request.properties))
        except NotReadyError as error:
            _fail_half_way(context, error)
        self._cloud.created.append(_token(request.urn))
        return provider_pb2.CreateResponse(id=identity, properties=struct(made))

    def Read(self, request: Any, context: Any) -> Any:
        with _answering(context):
            found = self._kind(request.urn).read(request.id)
        if found is None:
            return provider_pb2.ReadResponse()
        state = {**plain(request.properties), **found}
        wished = plain(request.inputs)
        there = asked_part(state, wished)
        inputs = {name: value if same(value, there.get(name)) else there.get(name) for name, value in wished.items()}
        return provider_pb2.ReadResponse(id=request.id, properties=struct(state), inputs=struct(inputs))

    def Update(self, request: Any, context: Any) -> Any:
        with _answering(context):
            found = self._kind(request.urn).update(request.id, plain(request.news))
        made = {**plain(request.olds), **plain(request.news), **found}
        return provider_pb2.UpdateResponse(properties=struct(made))

    def Delete(self, request: Any, context: Any) -> Any:
        with _answering(context):
            self._kind(request.urn).delete(request.id)
        return empty_pb2.Empty()

    def _kind(self, urn: str) -> Kind:
        return self._cloud.kinds[_token(urn)]


class Served:
    """A cloud's provider on a port of the loopback device, until `close`."""

    def __init__(self, cloud: Cloud) -> None:
        self._server = grpc.server(ThreadPoolExecutor(max_workers=16))
        provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(cloud), self._server)
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def close(self) -> None:
        stopped: threading.Event = self._server.stop(grace=None)
        stopped.wait()


class _answering:  # noqa: N801
    """Return the cloud's error to the engine."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if error is not None and not isinstance(error, NotReadyError):
            self._context.abort(grpc.StatusCode.UNKNOWN, f"{type(error).__name__}: {error}")


def _token(urn: str) -> str:
    """The type of a resource, without those of its parents."""
    return urn.split("::")[2].split("$")[-1]


def _failures(wrong: list[tuple[str, str]]) -> list[Any]:
    return [provider_pb2.CheckFailure(property=name, reason=reason) for name, reason in wrong]


def _fail_half_way(context: Any, error: NotReadyError) -> NoReturn:
    """Report that a resource exists in a wrong state: the engine keeps it and tries again to update it."""
    detail = any_pb2.Any()
    detail.Pack(
        provider_pb2.ErrorResourceInitFailed(
            id=error.identity, properties=struct(error.properties), reasons=[str(error)]
        )
    )
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(error), details=[detail])
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(grpc.StatusCode.UNKNOWN, str(error))
    raise AssertionError("abort raises")
