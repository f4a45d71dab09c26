"""A Pulumi provider served from this process: the engine's protocol in front of an emulated cloud.

The engine is told its address by PULUMI_DEBUG_PROVIDERS=aws:PORT,vultr:PORT. Inputs are checked against the installed
SDK before the cloud sees them. https://pulumi-developer-docs.readthedocs.io/latest/developer-docs/providers/
"""

# ruff: noqa: N802
from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

import grpc
from google.protobuf import any_pb2, empty_pb2, json_format, struct_pb2
from google.rpc import status_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from emulators import schema

Properties = dict[str, Any]

_SECRET = "4dabf18193072939515e22adb298388d"
"""The key that marks an object as a secret's wrapping."""


class CloudError(Exception):
    """What the cloud's own API answers to a request that it refuses."""


class NotReadyError(Exception):
    """Something was created, but the answer that says so did not arrive in time."""

    def __init__(self, identity: str, properties: Properties, reason: str) -> None:
        super().__init__(reason)
        self.identity, self.properties = identity, properties


class Kind(Protocol):
    """How one type of resource lives in the cloud; properties have the SDK's names."""

    replaces: frozenset[str]
    """Inputs whose change needs another resource."""
    named: str | None
    """The input that gets a name made up from the resource's, if it has none."""

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
    """The types of all that was created, for tests to count."""


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
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    def Configure(self, request: Any, context: Any) -> Any:
        with _answering(context):
            self._cloud.configure(_plain(request.args))
        return provider_pb2.ConfigureResponse(acceptSecrets=False, supportsPreview=False)

    def Invoke(self, request: Any, context: Any) -> Any:
        arguments = _plain(request.args)
        wrong = schema.check_call(request.tok, arguments)
        if wrong:
            failures = [provider_pb2.CheckFailure(property=name, reason=reason) for name, reason in wrong]
            return provider_pb2.InvokeResponse(failures=failures)
        with _answering(context):
            return provider_pb2.InvokeResponse(**{"return": _struct(self._cloud.functions[request.tok](arguments))})

    def Check(self, request: Any, context: Any) -> Any:
        news, olds = _plain(request.news), _plain(request.olds)
        token = request.urn.split("::")[2].split("$")[-1]
        named = self._cloud.kinds[token].named
        if named and not news.get(named):
            news[named] = olds.get(named) or f"{request.urn.split('::')[-1]}-{request.randomSeed[:4].hex()}"
        failures = [
            provider_pb2.CheckFailure(property=name, reason=reason) for name, reason in schema.check(token, news)
        ]
        return provider_pb2.CheckResponse(inputs=_struct(news), failures=failures)

    def Diff(self, request: Any, context: Any) -> Any:
        olds, news = _plain(request.olds), _plain(request.news)
        before = _plain(request.old_inputs)
        changed = [name for name in {*before, *news} if not _same(olds.get(name, before.get(name)), news.get(name))]
        kind = self._kind(request.urn)
        replaces = [name for name in changed if name in kind.replaces]
        some = provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(changes=some, replaces=replaces, diffs=changed)

    def Create(self, request: Any, context: Any) -> Any:
        try:
            with _answering(context):
                identity, made = self._kind(request.urn).create(_plain(request.properties))
        except NotReadyError as error:
            _fail_half_way(context, error)
        self._cloud.created.append(request.urn.split("::")[2].split("$")[-1])
        return provider_pb2.CreateResponse(id=identity, properties=_struct(made))

    def Read(self, request: Any, context: Any) -> Any:
        with _answering(context):
            found = self._kind(request.urn).read(request.id)
        if found is None:
            return provider_pb2.ReadResponse()
        state = {**_plain(request.properties), **found}
        inputs = {name: state.get(name, value) for name, value in _plain(request.inputs).items()}
        return provider_pb2.ReadResponse(id=request.id, properties=_struct(state), inputs=_struct(inputs))

    def Update(self, request: Any, context: Any) -> Any:
        with _answering(context):
            found = self._kind(request.urn).update(request.id, _plain(request.news))
        return provider_pb2.UpdateResponse(
            properties=_struct({**_plain(request.olds), **_plain(request.news), **found})
        )

    def Delete(self, request: Any, context: Any) -> Any:
        with _answering(context):
            self._kind(request.urn).delete(request.id)
        return empty_pb2.Empty()

    def _kind(self, urn: str) -> Kind:
        return self._cloud.kinds[urn.split("::")[2].split("$")[-1]]


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
    """Answers the engine with an error's text where the cloud refuses."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if error is not None and not isinstance(error, NotReadyError):
            self._context.abort(grpc.StatusCode.UNKNOWN, f"{type(error).__name__}: {error}")


def _fail_half_way(context: Any, error: NotReadyError) -> NoReturn:
    """Say that a resource exists and is not what it should be: the engine keeps it and tries again to update it."""
    detail = any_pb2.Any()
    detail.Pack(
        provider_pb2.ErrorResourceInitFailed(
            id=error.identity, properties=_struct(error.properties), reasons=[str(error)]
        )
    )
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(error), details=[detail])
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(grpc.StatusCode.UNKNOWN, str(error))
    raise AssertionError("abort raises")


def _same(old: Any, new: Any) -> bool:
    """Whether two values are one to the cloud: nothing, an empty list and an empty text are."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return all(_same(old.get(name), new.get(name)) for name in {*old, *new} if not name.startswith("__"))
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(_same(a, b) for a, b in zip(old, new, strict=True))
    return (old or None) == (new or None)


def _plain(found: struct_pb2.Struct) -> Properties:
    """Read properties; whole numbers become int."""
    plain: Properties = _whole(json_format.MessageToDict(found))
    return plain


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        if _SECRET in value:
            return _whole(value["value"])
        return {key: _whole(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _struct(properties: Properties) -> struct_pb2.Struct:
    return json_format.ParseDict(properties, struct_pb2.Struct())
