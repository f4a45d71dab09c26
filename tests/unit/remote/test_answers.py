"""Whatever a host prints where a script's answer is expected is read, or is an error that shows it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from benchmark.artifacts.source import Origin, parse_revision
from benchmark.artifacts.store import parse_cache, parse_files
from benchmark.errors import InfrastructureError, TestbedError
from benchmark.orchestrator.logs import parse_report
from benchmark.orchestrator.profiler import parse_running, parse_stacks
from benchmark.remote.answers import reading
from benchmark.testbed import facts, machines, round_trips
from benchmark.testbed.bootstrap import parse_status
from benchmark.testbed.packages import parse_versions

ORIGIN = Origin("https://x.org/a", "main")
READERS: dict[str, Callable[[str], object]] = {
    "revision": lambda text: parse_revision(ORIGIN, text.splitlines()),
    "files": parse_files,
    "cache": parse_cache,
    "running": lambda text: parse_running({"a-0": text}),
    "stacks": lambda text: parse_stacks(text, "node-0"),
    "log report": lambda text: parse_report({"a-0": text}, {"a-0": ["node-0"]}),
    "status": parse_status,
    "facts": facts.parse,
    "round trips": lambda text: round_trips.parse("a", text, ["a", "b"]),
    "machine": machines.parse,
    "versions": parse_versions,
}
WORDS = [
    *(
        "commit",
        "previous",
        "file",
        "known",
        "ambiguous",
        "arch",
        "artifact",
        "built",
        "changed",
        "state",
        "end",
        "disk",
    ),
    *("warning", "interval", "listening", "package", "cpus", "missing", "set-up", "problem", "node-0", "a;b"),
    *(
        "found\tnode-0\terror\t",
        "line\tnode-0\tpanic\tx",
        "cut\tnode-0\t",
        "kept\tnode-0",
        '["b", 0.1, 70.5]',
        "0" * 40,
        "nan",
        "inf",
        "-1",
    ),
    *("9" * 400, "179589890890895", "\x1b[2J", "²", "1 ", "\0", "\x0b", ""),
]
TEXTS = st.lists(st.lists(st.sampled_from(WORDS) | st.text(max_size=5), max_size=5).map(" ".join), max_size=6)


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@settings(max_examples=100, deadline=None, derandomize=True)
@example(["previous abc 1234789012345678901", "commit " + "0" * 40])
@example(['["b", "x", 1]', "[[], 0, 1]", "null", "1"])
@example(["state ready", "end " + "9" * 60])
@given(lines=TEXTS)
def test_any_answer_is_read_or_an_error(read: Callable[[str], object], lines: list[str]) -> None:
    with suppress(TestbedError):
        read("\n".join(lines))


def test_error_shows_what_the_host_printed() -> None:
    expected = r"could not read the size \(invalid literal.*\); the host printed:\nWelcome"
    with pytest.raises(InfrastructureError, match=expected), reading("the size", "Welcome"):
        int("Welcome")
