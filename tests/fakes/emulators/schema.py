"""The schema of providers, from the installed SDKs: names, types and required properties of resources and functions.

A resource's argument class carries them, as does the signature of a function; nothing is duplicated here.
"""

from __future__ import annotations

import ast
import enum
import functools
import importlib
import inspect
import json
import re
import textwrap
import threading
import typing
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, get_args, get_origin

import pulumi
from pulumi import _types

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""How the engine writes a value that only exists once something was created."""

_IMPORTING = threading.Lock()
_KINDS: dict[Any, tuple[type, ...]] = {str: (str,), bool: (bool,), int: (int, float), float: (int, float)}
_OF_THE_ENGINE = ("version", "pluginDownloadURL")
"""What the configuration of every provider may hold besides its own."""
_PACKAGES = {"aws": "pulumi_aws", "vultr": "ediri_vultr"}


def check(token: str, found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """List what is wrong with a resource's inputs as (property, reason): unknown, missing or of a wrong type."""
    arguments = _arguments(token)
    types = _types.input_type_types(arguments)
    names = _types.input_type_py_to_pulumi_names(arguments)
    parameters = inspect.signature(arguments.__init__).parameters
    required = [names[name] for name, one in parameters.items() if name in names and one.default is one.empty]
    return _wrong(found, types, required, "")


@functools.cache
def kept(token: str) -> frozenset[str]:
    """Return the inputs of a resource that keep their value when removed from the program: no change.

    The provider computes what is optional and not named; the SDK then types the output without Optional, as
    tfgen's `variable.optional` does: https://github.com/pulumi/pulumi-terraform-bridge/blob/main/pkg/tfgen/generate.go
    """
    arguments, resource = _arguments(token), _located(token, lambda name: name)
    names = _types.input_type_py_to_pulumi_names(arguments)
    parameters = inspect.signature(arguments.__init__).parameters
    optional = [
        name for name in names if name in parameters and parameters[name].default is not inspect.Parameter.empty
    ]
    outputs = {name: typing.get_type_hints(getattr(resource, name).fget)["return"] for name in optional}
    return frozenset(names[name] for name, hint in outputs.items() if type(None) not in get_args(get_args(hint)[0]))


def check_call(token: str, found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """List what is wrong with a function's arguments."""
    function = _function(token)
    hints = typing.get_type_hints(function, vars(importlib.import_module(function.__module__)))
    types = {_camel(name): hint for name, hint in hints.items() if name not in ("opts", "return")}
    return _wrong(found, types, _required(_function(token, "_output")), "")


def check_config(package: str, found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """List what is wrong with the configuration of a provider, in which everything but text is written as JSON."""
    types = _types.input_type_types(importlib.import_module(_PACKAGES[package]).ProviderArgs)
    read: dict[str, Any] = {}
    wrong = []
    for name, value in found.items():
        if name in _OF_THE_ENGINE:
            continue
        try:
            read[name] = value if types.get(name) in (None, str) or value == UNKNOWN else json.loads(value)
        except ValueError:
            wrong.append((name, f"must be written as JSON, found {value!r}"))
    return wrong + _wrong(read, types, [], "")


def _required(function: Any) -> list[str]:
    """The arguments that a function cannot do without: in its form for outputs only they are not Optional twice."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(definition, ast.FunctionDef)
    required = []
    for argument in definition.args.args:
        hint = ast.unparse(argument.annotation) if argument.annotation else ""
        wrapped = re.match(r"((?:pulumi\.Input|Optional)\[)*", hint)
        if wrapped and wrapped[0].count("Optional") < 2 and argument.arg != "opts":
            required.append(_camel(argument.arg))
    return required


def _wrong(
    found: Mapping[str, Any], types: Mapping[str, Any], required: list[str], where: str
) -> list[tuple[str, str]]:
    wrong = [(f"{where}{name}", "is required") for name in required if found.get(name) is None]
    for name, value in found.items():
        if name.startswith("__"):
            continue
        if name not in types:
            wrong.append((f"{where}{name}", f"is no property; these are: {', '.join(sorted(types))}"))
        elif value is not None:
            wrong += _mismatch(value, types[name], f"{where}{name}")
    return wrong


def _mismatch(value: Any, hint: Any, where: str) -> list[tuple[str, str]]:
    if value == UNKNOWN or hint is Any:
        return []
    origin, inner = get_origin(hint), get_args(hint)
    if origin is typing.Union or str(origin) == "<class 'types.UnionType'>":
        options = [one for one in inner if get_origin(one) not in (Awaitable, pulumi.Output) and one is not type(None)]
        if any(_types.is_input_type(one) for one in options):  # the type of a dictionary or an output is less precise
            options = [one for one in options if _types.is_input_type(one)]
        options = [one for one in options if _checkable(one)] or options
        results = [_mismatch(value, option, where) for option in options]
        return [] if not results or [] in results else min(results, key=len)
    if origin is not None and issubclass(origin, Mapping):
        expected = "an object" if not isinstance(value, Mapping) else ""
        return (
            [(where, expected)]
            if expected
            else [m for k, v in value.items() for m in _mismatch(v, inner[1], f"{where}.{k}")]
        )
    if origin is not None:
        if not isinstance(value, list):
            return [(where, "must be a list")]
        return [m for index, one in enumerate(value) for m in _mismatch(one, inner[0], f"{where}[{index}]")]
    return _plain_mismatch(value, hint, where)


def _plain_mismatch(value: Any, hint: Any, where: str) -> list[tuple[str, str]]:
    if _types.is_input_type(hint):
        if not isinstance(value, Mapping):
            return [(where, "must be an object")]
        names = _types.input_type_py_to_pulumi_names(hint)
        parameters = inspect.signature(hint.__init__).parameters
        required = [names[name] for name, one in parameters.items() if name in names and one.default is one.empty]
        return _wrong(value, _types.input_type_types(hint), required, f"{where}.")
    if _is_enumeration(hint):
        known = [one.value for one in hint]
        return [] if value in known else [(where, f"must be one of {known}, found {value!r}")]
    if hint not in _KINDS:  # an output type that an input may also be
        return []
    fits = isinstance(value, _KINDS[hint]) and (hint is bool or not isinstance(value, bool))
    whole = hint is not int or not isinstance(value, float) or value.is_integer()
    return [] if fits and whole else [(where, f"must be of type {hint.__name__}, found {value!r}")]


def _checkable(hint: Any) -> bool:
    """Whether `_mismatch` can find a value wrong by this type, where another type of a union is one that it can."""
    plain = hint in _KINDS or _is_enumeration(hint) or _types.is_input_type(hint)
    return hint is Any or get_origin(hint) is not None or plain


def _is_enumeration(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, enum.Enum)


def _arguments(token: str) -> type:
    """The argument class of a resource such as `aws:ec2/instance:Instance`."""
    found: type = _located(token, lambda name: f"{name}Args")
    return found


def _function(token: str, suffix: str = "") -> Any:
    """The function of a token such as `aws:ec2/getAmi:getAmi`."""
    return _located(token, lambda name: re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower() + suffix)


def _located(token: str, attribute: Callable[[str], str]) -> Any:
    package, module, name = re.fullmatch(r"(\w+):(\w+)/\w+:(\w+)", token).groups()  # type: ignore[union-attr]
    with _IMPORTING:  # the SDK's modules import each other when first used, which threads must not do concurrently
        found = importlib.import_module(_PACKAGES[package] if module == "index" else f"{_PACKAGES[package]}.{module}")
        return getattr(found, attribute(name))


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
