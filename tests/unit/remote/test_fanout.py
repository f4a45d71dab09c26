"""Answers and failures of several hosts."""

from __future__ import annotations

import time
from concurrent.futures import Future

import pytest

from benchmark.errors import HostError
from benchmark.remote.fanout import Completed, Job, Results, brief, collect, exit_reason


def started(error: Exception | None = None) -> Future[None]:
    future: Future[None] = Future()
    if error:
        future.set_exception(error)
    else:
        future.set_result(None)
    return future


def test_results_without_failure_are_returned() -> None:
    assert Results({"a": 1}).raise_for_failures("unused") == {"a": 1}


def test_results_with_failures_name_hosts_and_reasons() -> None:
    results = Results({"a": 1}, {"b": "is down", "c": "is late"})
    with pytest.raises(HostError, match="cannot install\n  b: is down\n  c: is late") as caught:
        results.raise_for_failures("cannot install")
    assert caught.value.exit_code == 3
    assert results.ok == {"a": 1}


def test_job_that_has_not_begun_is_not_late() -> None:
    job = Job("a", "true", (), deadline=0.0)
    assert not job.settle()
    job.ends = time.monotonic() - 1
    assert job.settle()
    assert job.reason == "no answer within 0 s: true"


def test_error_of_the_start_is_the_reason() -> None:
    job = Job("a", "true", (), 1.0, started=started(OSError("no route")))
    assert job.settle()
    assert collect([job], check=True) == Results({}, {"a": "no route"})


def test_deadline_is_the_reason_when_the_start_gave_up_on_it() -> None:
    job = Job("a", "true", (), 1.0, ends=time.monotonic() - 0.1, started=started(OSError("Timeout opening channel.")))
    assert job.settle()
    assert job.reason == "no answer within 1 s: true"


def test_error_without_words_gives_its_name() -> None:
    job = Job("a", "true", (), 1.0, started=started(EOFError()))
    assert job.settle()
    assert job.reason == "EOFError"


def test_start_is_enough_when_input_is_kept_open() -> None:
    job = Job("a", "cat", (), 1.0, keep_open=True, started=started())
    assert job.settle()
    assert job.reason is None


def test_brief_command_is_one_line() -> None:
    assert brief("echo a\n  echo b") == "echo a echo b"
    assert brief("x" * 81) == "x" * 79 + "…"


@pytest.mark.parametrize(
    ("stdout", "stderr", "last"),
    [("out", "err", ["err"]), ("out\n", " \n", ["out"]), ("", "", []), ("", "1\n2\n3\n4\n5\n6\n", list("23456"))],
)
def test_exit_reason_ends_with_the_last_words(stdout: str, stderr: str, last: list[str]) -> None:
    reason = exit_reason(Completed("a", stdout, stderr, 2, 0.1), "make")
    assert [line.strip() for line in reason.splitlines()] == ["exit code 2: make", *last]
