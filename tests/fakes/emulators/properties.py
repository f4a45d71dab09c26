"""The values of resources' properties: as the engine sends them, and whether a cloud considers two equivalent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format, struct_pb2

Properties = dict[str, Any]

_SECRET = "4dabf18193072939515e22adb298388d"
"""The key that marks an object as a secret's wrapping."""


def plain(found: struct_pb2.Struct) -> Properties:
    """Read properties; whole numbers become int."""
    read: Properties = _whole(json_format.MessageToDict(found))
    return read


def struct(properties: Properties) -> struct_pb2.Struct:
    """Write properties; those that are None are left out."""
    return json_format.ParseDict(_whole(properties), struct_pb2.Struct())


def same(old: Any, new: Any) -> bool:
    """Return whether two values are equivalent: None, empty lists and empty texts are; lists have no order."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return all(same(old.get(name), new.get(name)) for name in {*old, *new} if not name.startswith("__"))
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and _covers(old, new) and _covers(new, old)
    return (old or None) == (new or None)


def asked_part(found: Any, *asked: Any) -> Any:
    """Reduce a value to the fields in any of `asked`: the cloud chooses the others, except tags."""
    if not isinstance(found, Mapping):
        return found
    wishes = [wish for wish in asked if isinstance(wish, Mapping)]
    names = {name for wish in wishes for name in wish}
    return {
        name: found[name] if name == "tags" else asked_part(found[name], *(wish.get(name) for wish in wishes))
        for name in names & set(found)
    }


def _covers(some: list[Any], others: list[Any]) -> bool:
    return all(any(same(one, other) for other in others) for one in some)


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        if _SECRET in value:
            return _whole(value["value"])
        return {key: _whole(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
