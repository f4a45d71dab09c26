"""Results of several hosts, failures included."""

from __future__ import annotations

import time
from concurrent.futures import Future

import pytest

from benchmark.errors import HostError
from benchmark.remote.fanout import Completed, RemoteCall, Results, brief, collect, exit_reason


def started(error: Exception | None = None) -> Future[None]:
    future: Future[None] = Future()
    if error:
        future.set_exception(error)
    else:
        future.set_result(None)
    return future


def test_returns_the_results_if_no_host_failed() -> None:
    assert Results({"a": 1}).raise_for_failures("unused") == {"a": 1}


def test_an_error_lists_the_failed_hosts_with_their_reasons() -> None:
    results = Results({"a": 1}, {"b": "is down", "c": "is late"})
    with pytest.raises(HostError, match="cannot install\n  b: is down\n  c: is late") as caught:
        results.raise_for_failures("cannot install")
    assert caught.value.exit_code == 3
    assert results.ok == {"a": 1}


def test_the_deadline_counts_from_when_a_thread_takes_the_call_up() -> None:
    call = RemoteCall("a", "true", (), deadline=0.0)
    assert not call.poll()
    call.ends = time.monotonic() - 1
    assert call.poll()
    assert call.reason == "no answer within 0 s: true"


def test_reports_the_error_of_the_start() -> None:
    call = RemoteCall("a", "true", (), 1.0, started=started(OSError("no route")))
    assert call.poll()
    assert collect([call], check=True) == Results({}, {"a": "no route"})


def test_reports_the_deadline_when_the_start_timed_out_too() -> None:
    call = RemoteCall(
        "a", "true", (), 1.0, ends=time.monotonic() - 0.1, started=started(OSError("Timeout opening channel."))
    )
    assert call.poll()
    assert call.reason == "no answer within 1 s: true"


def test_reports_the_class_of_an_error_without_a_message() -> None:
    call = RemoteCall("a", "true", (), 1.0, started=started(EOFError()))
    assert call.poll()
    assert call.reason == "EOFError"


def test_a_call_with_open_input_is_over_once_it_has_started() -> None:
    call = RemoteCall("a", "cat", (), 1.0, keep_open=True, started=started())
    assert call.poll()
    assert call.reason is None


def test_shortens_a_command_to_one_line() -> None:
    assert brief("echo a\n  echo b") == "echo a echo b"
    assert brief("x" * 81) == "x" * 79 + "…"


@pytest.mark.parametrize(
    ("stdout", "stderr", "last"),
    [("out", "err", ["err"]), ("out\n", " \n", ["out"]), ("", "", []), ("", "1\n2\n3\n4\n5\n6\n", list("23456"))],
)
def test_exit_reason_ends_with_the_last_lines_of_output(stdout: str, stderr: str, last: list[str]) -> None:
    reason = exit_reason(Completed("a", stdout, stderr, 2, 0.1), "make")
    assert [line.strip() for line in reason.splitlines()] == ["exit code 2: make", *last]


def test_a_full_disk_is_named_first() -> None:
    completed = Completed("a", "", "tar: x: Cannot write: No space left on device\n", 2, 0.1)
    assert exit_reason(completed, "tar").splitlines()[0] == "its disk is full; exit code 2: tar"
