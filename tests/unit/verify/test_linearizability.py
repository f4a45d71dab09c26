"""The checker judges histories written by hand."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from benchmark.verify import linearizability
from benchmark.verify.linearizability import build_checker, check_history

pytestmark = pytest.mark.skipif(shutil.which("go") is None, reason="building the checker needs Go")


def write(value: str, start: int, end: int, outcome: str = "ok", key: str = "0") -> dict[str, Any]:
    return {"op": "write", "key": key, "value": value, "outcome": outcome, "start": start, "end": end}


def read(found: str | None, start: int, end: int, key: str = "0") -> dict[str, Any]:
    return {"op": "read", "key": key, "found": found, "outcome": "ok", "start": start, "end": end}


def cas(expected: str, value: str, swapped: bool | None, start: int, end: int) -> dict[str, Any]:
    known = {"outcome": "unknown"} if swapped is None else {"outcome": "ok", "swapped": swapped}
    return {"op": "cas", "key": "0", "expected": expected, "value": value, "start": start, "end": end, **known}


def history(folder: Path, *operations: dict[str, Any], complete: bool = True, unread: tuple[str, ...] = ()) -> Path:
    every = [{"format": 1, "started": 0}, *({"client": 0, **each} for each in operations)]
    end = [{"complete": True, "unread": unread}] if complete else []
    path = folder / "history.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in [*every, *end]))
    return path


LINEARIZABLE = {
    "in order": [read(None, 0, 1), write("a", 2, 3), read("a", 4, 5), cas("a", "b", True, 6, 7), read("b", 8, 9)],
    "concurrent, either order": [write("a", 0, 10), write("b", 0, 10), read("b", 11, 12), read("b", 13, 14)],
    "a read during a write": [write("a", 0, 10), read(None, 1, 2), read("a", 3, 4)],
    "a write without answer takes effect late": [
        write("a", 0, 1, "unknown"), write("b", 2, 3), read("b", 4, 5), read("a", 6, 7),
    ],
    "a write without answer has no effect": [write("a", 0, 1, "unknown"), write("b", 2, 3), read("b", 6, 7)],
    "a swap without answer takes effect late": [
        write("a", 0, 1), cas("a", "b", None, 2, 3), read("a", 4, 5), read("b", 6, 7),
    ],
    "a swap without answer has no effect": [write("a", 0, 1), cas("a", "b", None, 2, 3), read("a", 4, 5)],
    "a failed comparison": [write("a", 0, 1), cas("b", "c", False, 2, 3), read("a", 4, 5)],
    "keys are independent": [write("a", 0, 1), write("b", 2, 3, key="1"), read("a", 4, 5), read("b", 4, 5, key="1")],
}  # fmt: skip

VIOLATIONS = {
    "lost write": [write("a", 0, 1), write("b", 2, 3), read("a", 4, 5)],
    "lost only write": [write("a", 0, 1), read(None, 2, 3)],
    "stale read": [write("a", 0, 1), write("b", 2, 9), read("b", 3, 4), read("a", 5, 6)],
    "invented value": [write("a", 0, 1), read("z", 2, 3)],
    "read of a write that was never sent": [write("a", 0, 1, "failed"), read("a", 2, 3)],
    "read before the write": [read("a", 0, 1), write("a", 2, 3)],
    "two swaps of one value": [write("a", 0, 1), cas("a", "b", True, 2, 9), cas("a", "c", True, 2, 9)],
    "false failed comparison": [write("a", 0, 1), cas("a", "b", False, 2, 3)],
    "without answer, effect undone": [
        write("a", 0, 1), write("b", 2, 3, "unknown"), read("b", 4, 5), read("a", 6, 7),
    ],
}  # fmt: skip


@pytest.mark.parametrize("operations", LINEARIZABLE.values(), ids=LINEARIZABLE)
def test_linearizable_histories_are_ok(operations: list[dict[str, Any]], tmp_path: Path) -> None:
    found, window = check_history(history(tmp_path, *operations))
    assert (found.verdict, found.reason, window) == ("ok", "", None)
    assert found.operations == len(operations)
    assert found.timeouts == sum(each["outcome"] == "unknown" for each in operations)


@pytest.mark.parametrize("operations", VIOLATIONS.values(), ids=VIOLATIONS)
def test_other_histories_are_violations(operations: list[dict[str, Any]], tmp_path: Path) -> None:
    found, window = check_history(history(tmp_path, *operations))
    assert found.verdict == "violation"
    assert window is not None
    assert window.key == "0"


def test_the_window_of_a_violation_is_short(tmp_path: Path) -> None:
    ms = 1_000_000
    before = [write(f"v{n}", 10 * n * ms, (10 * n + 5) * ms) for n in range(500)]
    wrong = [read("v498", 5010 * ms, 5011 * ms)]
    after = [write(f"w{n}", (6000 + n) * ms, (6001 + n) * ms) for n in range(500)]
    found, window = check_history(history(tmp_path, *before, *wrong, *after))
    assert window is not None
    assert [(each["op"], each.get("value"), each.get("found")) for each in window.operations] == [
        ("write", "v499", None), ("read", None, "v498"),
    ]  # fmt: skip
    assert (window.before, window.start_s, window.end_s) == ("any", 4.99, 5.011)
    text = 'key 0, 4.990 s to 5.011 s: no order of 2 operations explains that a read returned "v498"'
    assert found.reason == text


def test_open_operations_do_not_hide_a_violation(tmp_path: Path) -> None:
    hidden = [write(f"v{n}", n, n + 1, "unknown") for n in range(60)]
    wrong = [
        write("a", 100, 101),
        write("b", 102, 103),
        read("v7", 104, 105),
        read("v9", 106, 107),
        read("v7", 108, 109),
    ]
    found, window = check_history(history(tmp_path, *hidden, *wrong), limit_s=6.0)
    assert (found.verdict, found.timeouts) == ("violation", 60)
    assert window is not None
    assert {each.get("value") or each["found"] for each in window.operations} <= {"a", "b", "v7", "v9"}


def test_what_was_not_read_back_is_unknown_but_hides_no_violation(tmp_path: Path) -> None:
    found, _ = check_history(history(tmp_path, write("a", 0, 1), unread=("0",)))
    assert (found.verdict, found.reason) == ("unknown", "1 keys could not be read back at the end")
    found, _ = check_history(history(tmp_path, *VIOLATIONS["stale read"], unread=("0",)))
    assert found.verdict == "violation"


def test_an_incomplete_history_shows_violations_but_is_never_ok(tmp_path: Path) -> None:
    for operations in LINEARIZABLE.values():
        for known in range(1, len(operations)):
            # The others were in flight when the probe workload was killed, or had ended without being written.
            for kept in (operations[:known], operations[known:]):
                found, _ = check_history(history(tmp_path, *kept, complete=False))
                assert found.verdict == "unknown"
                assert found.reason == "the history is incomplete: the probe workload was killed"
    for name in ("lost write", "stale read", "read before the write", "two swaps of one value"):
        found, window = check_history(history(tmp_path, *VIOLATIONS[name], complete=False))
        assert (found.verdict, window is not None) == ("violation", True), name


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the history is incomplete: the probe workload was killed"),
        ('{"format": 2}\n', "the history cannot be read: line 1: found format 2, expected 1"),
        ('{"format": 1}\n{"op": "re\n{"complete": true}\n', "the history cannot be read: line 2 is damaged"),
        ('{"format": 1}\n{"op": "re', "the history is incomplete: the probe workload was killed"),
        ('{"format": 1}\n{"op": "drop", "outcome": "ok"}\n', "line 2: found operation \"drop\", expected read, write"),
        ('{"format": 1}\n{"op": "cas", "outcome": "ok", "value": "a"}\n', "line 2: a cas without its value"),
        ('{"format": 1}\n{"complete": true, "unread": []}\n', "no operation succeeded"),
        ('{"format": 1}\n' + "x" * 2_000_000, "token too long"),
    ],
)  # fmt: skip
def test_a_damaged_history_is_unknown(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_text(text)
    found, window = check_history(tmp_path / "history.jsonl")
    assert (found.verdict, window) == ("unknown", None)
    assert reason in found.reason


def test_a_check_that_takes_too_long_is_unknown(tmp_path: Path) -> None:
    # Every subset of the writes may have come first.
    together = [write(f"v{n}", 0, 10) for n in range(40)]
    found, _ = check_history(history(tmp_path, *together, read("v0", 11, 12), read("v1", 13, 14)), limit_s=0.8)
    assert (found.verdict, found.reason) == ("unknown", "1 of 1 keys could not be checked within 600ms")


def test_a_killed_checker_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = tmp_path / "hanging"
    hanging.write_text("#!/bin/sh\nexec sleep 60\n")
    hanging.chmod(hanging.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(linearizability, "build_checker", lambda: hanging)
    found, _ = check_history(history(tmp_path), limit_s=0.2)
    assert (found.verdict, found.reason) == ("unknown", "the check did not end within 0.2 s")
    hanging.write_text("#!/bin/sh\necho fatal error: out of memory >&2\nexit 2\n")
    found, _ = check_history(history(tmp_path))
    assert found.reason == "the checker failed with exit code 2: fatal error: out of memory"


def test_without_go_the_verdict_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    found, _ = check_history(history(tmp_path, read(None, 0, 1)))
    assert found.verdict == "unknown"
    assert found.reason.startswith("no checker: go is not on PATH: install Go 1.25.0 or later")
    assert found.operations is None


def test_a_failed_build_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\necho go: go.mod requires go '>=' 1.25.0 >&2\nexit 1\n")
    go.chmod(0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    found, _ = check_history(history(tmp_path))
    assert "go.mod requires go >= 1.25.0; install Go 1.25.0 or later" in found.reason
    assert [file.name for file in (tmp_path / "cache" / "geobench").iterdir()] == ["build.lock"]


def test_the_checker_is_built_once() -> None:
    first = build_checker()
    built = first.stat().st_mtime_ns
    assert (build_checker(), first.stat().st_mtime_ns) == (first, built)
