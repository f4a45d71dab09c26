"""Run templates from files that may come from strangers: no access to Python objects, bounded time and memory.

Jinja's own sandbox hides only attributes that begin with an underscore and bounds nothing but `range`. Here, templates
reach only entries of mappings and a few methods, and every value, loop and call counts against a limit.
"""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from numbers import Number
from typing import Any

from jinja2 import StrictUndefined, Undefined, filters, nodes, pass_context, pass_environment, pass_eval_context
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

LARGEST = 1_000_000
"""Characters or items of a value, and characters that a template inserts into its text."""
LONGEST_S = 2.0
"""CPU time of rendering one template."""
_BITS = 1024
_BUDGET = "budget of this rendering"  # no template can spell this name
_GLOBALS = ("range", "dict", "namespace", "joiner")
_FILTERS = (
    *("abs", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "first", "float", "groupby", "int"),
    *("items", "last", "length", "list", "lower", "max", "min", "reject", "rejectattr", "reverse", "select"),
    *("selectattr", "sort", "string", "title", "trim", "truncate", "unique", "upper", "urlencode", "wordcount"),
)
_GROWING = (nodes.Concat, nodes.Add, nodes.Mul, nodes.Mod, nodes.Filter, nodes.List, nodes.Tuple, nodes.Dict)
_ATTRIBUTES: Mapping[type, frozenset[str]] = {
    LoopContext: frozenset(
        {"index", "index0", "revindex", "revindex0", "first", "last", "length", "depth", "depth0"}
        | {"previtem", "nextitem", "cycle", "changed"}
    ),
    str: frozenset(
        {"capitalize", "count", "endswith", "find", "isalpha", "isdigit", "lower", "lstrip", "removeprefix"}
        | {"removesuffix", "rsplit", "rstrip", "split", "splitlines", "startswith", "strip", "title", "upper"}
    ),
    tuple: frozenset({"grouper", "list"}),  # of the filter groupby
}


class TooLarge(SecurityError):
    """A template exceeds a limit."""


class Budget:
    """What is left of the limits while one template is rendered."""

    def __init__(self) -> None:
        self._end = time.thread_time() + LONGEST_S
        self._printed = 0

    def spend(self, characters: int = 0) -> None:
        """Count one step and the characters it prints; TooLarge beyond the limits."""
        self._printed += characters
        if self._printed > LARGEST:
            raise TooLarge(f"the template inserts more than {LARGEST} characters")
        if time.thread_time() > self._end:
            raise TooLarge(f"the template needs more than {LONGEST_S:.0f} s of CPU time")


def describe_unknown(name: str, known: Iterable[str]) -> str:
    """Return the message about an unknown name: the nearest known one, and the list of them."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" did you mean {near[0]!r}?" if near else ""
    return f"{name!r} is unknown;{hint} known are: {', '.join(names) or 'none'}"


class Environment(ImmutableSandboxedEnvironment):
    """Compile and run templates within limits."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
        self.autoescape = False
        self.globals = {name: self.globals[name] for name in _GLOBALS}
        self.filters = {name: self.filters[name] for name in _FILTERS} | _BOUNDED_FILTERS | _STEPS

    def getattr(self, obj: object, attribute: str) -> object:
        """Return an entry of a mapping, never one of its methods: `parameters.keys` is the user's parameter."""
        if isinstance(obj, Mapping):
            if attribute in obj:
                return obj[attribute]
            return self.undefined(describe_unknown(attribute, map(str, obj)), obj=obj, name=attribute)
        allowed = any(isinstance(obj, kind) and attribute in names for kind, names in _ATTRIBUTES.items())
        if allowed or isinstance(obj, Undefined) or (isinstance(obj, Namespace) and not attribute.startswith("_")):
            return super().getattr(obj, attribute)
        raise SecurityError(f"{attribute!r} of {type(obj).__name__} values cannot be used in templates")

    def getitem(self, obj: object, argument: object) -> object:
        """Return an item of a list, or what `getattr` returns."""
        if isinstance(argument, str):
            return self.getattr(obj, argument)
        return super().getitem(obj, argument)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Compute `*`, `**` or `%`, whose results can be larger than any memory."""
        if operator == "%" and isinstance(left, str):
            return _format(left, right)
        if operator == "*":
            for value, times in ((left, right), (right, left)):
                if isinstance(value, str | list | tuple) and isinstance(times, int) and size(value) * times > LARGEST:
                    raise TooLarge(f"a value has more than {LARGEST} characters or items")
        if isinstance(left, int) and isinstance(right, int):
            bits = left.bit_length() * right if operator == "**" else left.bit_length() + right.bit_length()
            if bits > _BITS:
                raise TooLarge(f"a number has more than {_BITS} bits")
        return super().call_binop(context, operator, left, right)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805, as in Jinja
        """Call a function, macro or method."""
        return _checked(__context, super().call(__context, __obj, *args, **kwargs))

    def guard(self, tree: nodes.Template) -> nodes.Template:
        """Add steps to a parsed template that count what it does; it is rendered with names from `with_budget`."""
        _Guard().visit(tree)
        return tree


def with_budget(names: Mapping[str, object]) -> dict[str, object]:
    """Return the names for one rendering of a template."""
    return {**names, _BUDGET: Budget()}


def size(value: object) -> int:
    """Return the number of characters and items in a value, counting those that occur twice twice; stop at LARGEST."""
    total, rest = 0, [value]
    while rest and total <= LARGEST:
        item = rest.pop()
        if isinstance(item, str | range):
            total += len(item)
        elif isinstance(item, Mapping):
            total += len(item)
            rest.extend([*item.keys(), *item.values()])
        elif isinstance(item, list | tuple):
            total += len(item)
            rest.extend(item)
        total += 1
    return total


class _Guard(NodeTransformer):
    """Pass everything that loops over, prints or can grow through a filter that counts it."""

    def visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> Any:
        self.generic_visit(node)
        if isinstance(node, nodes.For):
            node.iter = _step("each", node.iter)
        elif isinstance(node, nodes.Output):
            node.nodes = [n if isinstance(n, nodes.TemplateData) else _step("printed", n) for n in node.nodes]
        elif isinstance(node, _GROWING) and getattr(node, "ctx", "load") == "load":
            return _step("checked", node)
        return node


def _step(name: str, node: nodes.Node) -> nodes.Filter:
    assert isinstance(node, nodes.Expr)
    return nodes.Filter(node, f"{name} value", [], [], None, None, lineno=node.lineno)


@pass_context
def _each(context: Context, items: Iterable[object]) -> Iterator[object]:
    budget: Budget = context[_BUDGET]
    for item in items:
        budget.spend()
        yield item


@pass_context
def _printed(context: Context, value: object) -> object:
    if not isinstance(value, str | Number | list | tuple | Mapping | Undefined | None):
        raise SecurityError(f"found a {type(value).__name__}, expected a text; end with `| join(',')` or `| list`")
    text = value if isinstance(value, Undefined) else str(value)
    context[_BUDGET].spend(size(text))
    return text


@pass_context
def _checked(context: Context, value: object) -> object:
    context[_BUDGET].spend()
    if size(value) > LARGEST:
        raise TooLarge(f"a value has more than {LARGEST} characters or items")
    return value


# What no template can spell, so that none can leave out or repeat a step.
_STEPS: dict[str, Callable[..., Any]] = {"each value": _each, "printed value": _printed, "checked value": _checked}


def _require(characters: int) -> None:
    if characters > LARGEST:
        raise TooLarge(f"a value has more than {LARGEST} characters or items")


def _replace(value: object, old: str, new: str, count: int = -1) -> str:
    text, old, new = str(value), str(old), str(new)
    _require(len(text) + text.count(old) * len(new))
    return text.replace(old, new, count)


@pass_context
def _map(context: Context, value: Iterable[object], *args: Any, **kwargs: Any) -> Iterator[object]:
    total = 0
    for item in filters.sync_do_map(context, value, *args, **kwargs):
        if isinstance(item, Undefined):
            str(item)  # raises
        total += size(item)
        _require(total)
        yield item


@pass_eval_context
def _join(eval_ctx: nodes.EvalContext, value: Iterable[object], d: str = "", attribute: str | None = None) -> str:
    items = list(value)
    _require(len(items) * len(str(d)))
    return filters.sync_do_join(eval_ctx, items, d, attribute)


def _indent(value: str, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    _require((str(value).count("\n") + 1) * (len(width) if isinstance(width, str) else int(width)))
    return filters.do_indent(str(value), width, first, blank)


def _format(value: str, *args: Any, **kwargs: Any) -> str:
    if re.search(r"\d{4}|\*", str(value)):
        raise TooLarge("a format has a width of more than three digits")
    return str(value) % (kwargs or args)


@pass_eval_context
def _tojson(eval_ctx: nodes.EvalContext, value: object, indent: int | None = None) -> str:
    _require(size(value) * (int(indent) if indent else 1))
    return filters.do_tojson(eval_ctx, value, indent)


def _round(value: float, precision: int = 0, method: Any = "common") -> float:
    _require(abs(int(precision)) * (LARGEST // 20))
    return filters.do_round(value, precision, method)


@pass_environment
def _sum(environment: Environment, value: Iterable[Any], attribute: str | int | None = None) -> Any:
    return filters.sync_do_sum(environment, value, attribute)  # a list as the start would add up lists


_BOUNDED_FILTERS: dict[str, Callable[..., Any]] = {
    "replace": _replace,
    "map": _map,
    "join": _join,
    "indent": _indent,
    "format": _format,
    "tojson": _tojson,
    "round": _round,
    "sum": _sum,
}
