"""Select series by metric name and label matchers, as PromQL does: `rpc_latency{method="Put"}`."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from warnings import catch_warnings

TARGET_LABELS = ("job", "host", "instance", "region", "role")
"""Labels that every scrape target gets; Prometheus renames those that a process exports to `exported_…`."""
_NAME = re.compile(r"\s*([A-Za-z_:][A-Za-z0-9_:]*)\s*(?:\{(.*)\})?\s*", re.DOTALL)
_MATCHER = re.compile(
    r"""\s*([A-Za-z_][A-Za-z0-9_]*)\s*(=~|!~|!=|=)\s*("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')\s*(?:,|$)"""
)


@dataclass(frozen=True)
class Matcher:
    """A condition on one label, such as `method="Put"`; a missing label counts as empty."""

    label: str
    operator: str
    value: str

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether these labels meet the condition."""
        found = labels.get(self.label, "")
        same = re.fullmatch(self.value, found) is not None if "~" in self.operator else found == self.value
        return same != self.operator.startswith("!")

    def __str__(self) -> str:
        return f"{self.label}{self.operator}{json.dumps(self.value, ensure_ascii=False)}"


@dataclass(frozen=True)
class Selector:
    """The series of one metric, or of one histogram, whose labels meet all conditions."""

    name: str
    matchers: tuple[Matcher, ...] = ()

    def promql(self, suffix: str = "", job: str = "") -> str:
        """Return the selector in PromQL, with `suffix` appended to the name, of the targets of `job`."""
        conditions = [f'job="{job}"'] * bool(job) + [str(each) for each in self.matchers]
        return f"{self.name}{suffix}" + (f"{{{','.join(conditions)}}}" if conditions else "")

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether these labels meet all conditions."""
        return all(each.matches(labels) for each in self.matchers)


@lru_cache(maxsize=256)
def parse_selector(text: str) -> Selector:
    """Parse `NAME` or `NAME{LABEL="VALUE",…}`; ValueError says what is wrong."""
    found = _NAME.fullmatch(text)
    if not found:
        raise ValueError(f'found {text!r}, expected NAME or NAME{{LABEL="VALUE"}}')
    matchers, rest = [], found[2] or ""
    while rest.strip():
        condition = _MATCHER.match(rest)
        if not condition:
            raise ValueError(
                f'found {rest.strip()!r} in the braces of {text!r}, expected LABEL="VALUE" with =, !=, =~ or !~'
            )
        label, operator, quoted = condition.groups()
        try:
            with catch_warnings(action="error"):  # PromQL knows no escapes but those of characters, either
                value = ast.literal_eval(quoted)
            re.compile(value)
        except (SyntaxError, ValueError, Warning) as error:
            raise ValueError(f"found {quoted} in {text!r}, which is not a text: {error}") from None
        except (re.error, OverflowError, RecursionError) as error:
            if "~" in operator:
                raise ValueError(f"found {quoted} in {text!r}, which is not a regular expression: {error}") from None
        matchers.append(Matcher(f"exported_{label}" if label in TARGET_LABELS else label, operator, value))
        rest = rest[condition.end() :]
    return Selector(found[1], tuple(matchers))
