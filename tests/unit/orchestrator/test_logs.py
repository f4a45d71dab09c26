"""The real script searches and compresses logs, and its report is parsed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from factories.hosts import inventory
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.orchestrator.logs import (
    collect_command,
    collected,
    names_by_host,
    parse_report,
    script,
)
from benchmark.protocols.process import Process
from benchmark.results.log_files import read_log
from benchmark.results.log_findings import LIMIT, Finding, LogReport

RUST = "thread 'tokio-runtime-worker' panicked at crates/dag/src/core.rs:17:5:\nindex out of bounds\n"
GO = "panic: runtime error: invalid memory address\n\ngoroutine 1 [running]:\nmain.main()\n"


def collect(folder: Path, logs: dict[str, str | bytes], limit: int = LIMIT) -> LogReport:
    (folder / "run" / "logs").mkdir(parents=True)
    for name, content in logs.items():
        path = folder / "run" / "logs" / f"{name}.log"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = subprocess.run(
        ["bash", "-c", collect_command("run", limit)],
        cwd=folder, input=script(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    report = parse_report({"a-0": done.stdout}, {"a-0": list(logs)})
    assert report.problems == {}
    assert report.kept == {"a-0": sorted(logs)}
    return report


def kept(folder: Path, name: str) -> str:
    return read_log(folder / "run" / "collected" / f"{name}.log.gz")


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("thread 'main' panicked at src/main.rs:3:5:", "panic"),
        ("panic: assignment to entry in nil map", "panic"),
        ("fatal error: all goroutines are asleep - deadlock!", "panic"),
        ('{"level":"panic","msg":"tocommit is out of range"}', "panic"),
        ("bash: line 1:  4711 Segmentation fault      ./server", "crash"),
        ("[signal SIGSEGV: segmentation violation code=0x1]", "crash"),
        ("terminate called after throwing an instance of 'std::bad_alloc'", "crash"),
        ("java.lang.OutOfMemoryError: Java heap space", "crash"),
        ("server: main.c:7: main: Assertion `n > 0' failed.", "crash"),
        ("thread 'main' has overflowed its stack", "crash"),
        ("E[2026-01-01|00:00:00.000] CONSENSUS FAILURE!!! err=boom module=consensus", "panic"),
        ("F0301 12:34:56.789 1 main.cc:7] Check failed: n > 0", "panic"),
        ("F20260301 12:34:56.789 1 main.cc:7] gone", "panic"),
        ('Exception in thread "main" java.lang.NullPointerException', "panic"),
        ("2026/01/01 00:00:00 http: panic serving 10.0.0.1:1: boom", "panic"),
        ("terminate called after throwing an instance of 'int'", "crash"),
        ("terminate called without an active exception", "crash"),
        ("memory allocation of 1234567 bytes failed", "crash"),
        ("double free or corruption (fasttop)", "crash"),
        ("free(): invalid pointer", "crash"),
        ("server: malloc.c:2: sysmalloc: Assertion `x' failed.", "crash"),
        ("munmap_chunk(): invalid pointer", "crash"),
        ("fatal runtime error: stack overflow", "crash"),
        ("#  SIGSEGV (0xb) at pc=0x7f, pid=1, tid=2", "crash"),
        ("*** SIGABRT (@0x1) received by PID 1 ***", "crash"),
        ("Program received signal SIGSEGV, Segmentation fault.", "crash"),
        ("process didn't exit successfully: (signal: 11, SIGSEGV: invalid memory reference)", "crash"),
        ("==1==ERROR: AddressSanitizer: heap-use-after-free", "crash"),
        ("Fatal Python error: Segmentation fault", "crash"),
        ("MemoryError", "crash"),
        ("E0301 12:34:56.789 1 main.cc:7] lost", "error"),
        ("installed handler for SIGSEGV", None),
        ("installed handler for SIGSEGV (11)", None),
        ("ignoring SIGABRT, SIGBUS", None),
        ("-XX:+HeapDumpOnOutOfMemoryError -XX:+ExitOnOutOfMemoryError", None),
        ("PANIC_ON_OOPS=0 ERROR_LIMIT=5", None),
        ("AddressSanitizer is enabled", None),
        ("I0301 12:34:56.789 1 main.cc:7] fine", None),
        ("FOO0301 assertions passed: 7, no memory allocation failed", None),
        ("2026-01-01T00:00:00Z ERROR dag::net: connection lost", "error"),
        ("\x1b[2m2026-01-01T00:00:00Z\x1b[0m \x1b[31mERROR\x1b[0m \x1b[2mdag\x1b[0m: lost", "error"),
        ('{"level":"error","ts":"2026","msg":"failed to publish"}', "error"),
        ('{"level":"fatal","msg":"discovery failed"}', "error"),
        ("ts=2026 level=error msg=lost", "error"),
        ("2026/11/22 16:47:31 [error] 1249#1249: *1095 open() failed", "error"),
        ("Traceback (most recent call last):", "error"),
        ("error: unexpected argument", "error"),
        ('{"level":"warn","error":"not yet"}', None),
        ("no errors so far, 0 failed", None),
        ("the TERROR of the sea", None),
    ],
)
def test_log_line_has_at_most_one_kind(tmp_path: Path, line: str, kind: str | None) -> None:
    report = collect(tmp_path, {"node-0": f"starting\n{line}\n"})
    expected = {"node-0": {kind: 1}} if kind else {}
    assert {name: {k: f.count for k, f in kinds.items()} for name, kinds in report.findings.items()} == expected


def test_all_matching_lines_are_counted_and_the_first_are_kept(tmp_path: Path) -> None:
    errors = "".join(f"ERROR number\t{index} {'x' * 500}\n" for index in range(5000))
    report = collect(tmp_path, {"node-0": errors + RUST, "node-1": GO, "client-0": "fine\n"})
    assert sorted(report.findings) == ["node-0", "node-1"]
    assert list(report.findings["node-0"]) == ["panic", "error"]
    found = report.findings["node-0"]["error"]
    assert found.count == 5000
    assert [line[:14] for line in found.first] == ["ERROR number 0", "ERROR number 1", "ERROR number 2"]
    assert {len(line) for line in found.first} == {400}
    assert report.findings["node-1"]["panic"] == Finding(
        count=1, first=["panic: runtime error: invalid memory address"]
    )


def test_panics_and_crashes_are_warnings_errors_are_only_counted(tmp_path: Path) -> None:
    report = collect(tmp_path, {"node-0": f"ERROR one\n{RUST}", "node-1": "ERROR two\n"})
    assert report.warnings() == [
        "node-0: lines of a panic in its log: 1, the first: "
        "thread 'tokio-runtime-worker' panicked at crates/dag/src/core.rs:17:5:"
    ]


def test_a_log_below_the_limit_is_kept_unchanged(tmp_path: Path) -> None:
    report = collect(tmp_path, {"node-0": b"no text: \x00\xff\n" + b"y" * 991}, limit=1100)
    assert report.cut == {}
    assert kept(tmp_path, "node-0") == "no text: \x00\ufffd\n" + "y" * 991


def test_a_larger_log_is_cut_in_the_middle_with_a_warning(tmp_path: Path) -> None:
    text = "".join(f"line {index:06d}\n" for index in range(1000)) + RUST
    report = collect(tmp_path, {"node-0": text}, limit=600)
    assert report.cut == {"node-0": len(text)}
    assert report.findings["node-0"]["panic"].count == 1  # what is left out was searched, too
    assert kept(tmp_path, "node-0") == (
        text[:300] + f"\n[{len(text) - 600} of {len(text)} bytes omitted here, the limit is 600]\n" + text[-300:]
    )
    assert f"node-0: its log has {len(text)} bytes, of which the first and the last" in report.warnings()[-1]


def test_a_second_collection_replaces_the_first(tmp_path: Path) -> None:
    collect(tmp_path, {"node-0": "first\n"})
    (tmp_path / "run/logs/node-0.log").rename(tmp_path / "run/logs/node-1.log")
    subprocess.run(["bash", "-c", collect_command("run")], cwd=tmp_path, input=script(), text=True, check=True)
    assert [path.name for path in (tmp_path / "run/collected").iterdir()] == ["node-1.log.gz"]


def test_logs_that_exist_are_downloaded_from_the_host_of_each_process() -> None:
    first, second = inventory(a=2).hosts
    processes = [Process("node-0", "node", first, ()), Process("client-0", "client", first, ())]
    known = names_by_host([*processes, Process("node-1", "node", second, ())])
    assert known == {"a-0": ["node-0", "client-0"], "a-1": ["node-1"]}
    report = parse_report({"a-0": "kept\tnode-0\n", "a-1": ""}, known)
    assert collected(report, "w/run") == {"a-0": ["w/run/collected/node-0.log.gz"]}


@pytest.mark.parametrize(
    "line",
    ["gzip: stdin", "found\tnode-0\tpanic\tx", "kept\tnode-9", "kept\t../../x", "found\tnode-0\tpanic", "\t"],
)
def test_output_of_a_host_that_is_something_else_is_noted_and_the_rest_kept(line: str) -> None:
    outputs = {"a-0": f"kept\tnode-0\n{line}\nkept\tnode-0\n", "a-1": "kept\tnode-1\n"}
    report = parse_report(outputs, {"a-0": ["node-0"], "a-1": ["node-1"]})
    assert report.kept == {"a-0": ["node-0"], "a-1": ["node-1"]}
    assert report.problems == {"a-0": f"collect_logs.sh printed {line!r}"}


@settings(max_examples=100, derandomize=True, deadline=None)
@given(
    st.lists(
        st.sampled_from(["found", "line", "cut", "kept", "node-0", "panic", "\t", "\n", "-1", "7", "\x1b", "\u2028"])
    )
)
def test_no_output_of_a_host_is_an_error(parts: list[str]) -> None:
    report = parse_report({"a-0": "".join(parts)}, {"a-0": ["node-0"]})
    assert set(report.findings) | set(report.cut) <= {"node-0"}
    report.warnings()


def test_separators_of_other_alphabets_do_not_end_a_line(tmp_path: Path) -> None:
    report = collect(tmp_path, {"node-0": "panic: a\u2028b\x0bc\x85d\r\n"})
    assert report.findings["node-0"]["panic"].first == ["panic: a\u2028b c\x85d"]
