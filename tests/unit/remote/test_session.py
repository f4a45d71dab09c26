"""Sessions on a real SSH connection."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from queue import SimpleQueue

import pytest
from fakes.sshd import USER, Sshd

from benchmark.errors import HostError
from benchmark.remote.connection import connect, disconnect, load_key
from benchmark.remote.session import Session, Sessions

Start = Callable[..., Session]


@pytest.fixture
def start(server: Sshd) -> Iterator[Start]:
    connection = connect(server.host(), USER, load_key(server.user_key), 10)

    def start(command: str, **options: object) -> Session:
        session = Session("host-0", command, connection.transport.open_session(timeout=10), **options)  # type: ignore[arg-type]
        session.start()
        return session

    yield start
    disconnect(connection)


def end(session: Session) -> Session:
    """Wait until a session has ended."""
    assert Sessions([session]).wait(10) == [session]
    return session


def lines(session: Session, count: int) -> list[str]:
    """Wait for `count` lines."""
    news: SimpleQueue[None] = SimpleQueue()
    session.watch(partial(news.put, None))
    seen: list[str] = []
    while len(seen) < count:
        news.get(timeout=10)
        seen += session.read_lines()
    return seen


def test_reads_lines_while_the_command_runs(start: Start) -> None:
    session = start("while read line; do echo got $line; done; echo end; exit 5")
    session.send("one\ntwo\n")
    assert lines(session, 2) == ["got one", "got two"]
    assert not session.ended
    assert session.exit_status is None
    session.finish_input()
    assert end(session).exit_status == 5
    assert session.read_lines() == ["end"]
    assert session.stdout == "got one\ngot two\nend\n"
    assert session.failure is None


def test_returns_a_line_only_once_it_is_complete(start: Start) -> None:
    session = start("printf 'a\\nb'; read x; echo c")
    assert lines(session, 1) == ["a"]
    session.send("\n")
    assert lines(session, 1) == ["bc"]


def test_separates_stdout_and_stderr(start: Start) -> None:
    session = end(start("echo out; echo err >&2"))
    assert (session.stdout, session.stderr) == ("out\n", "err\n")


def test_replaces_bytes_that_are_not_utf_8(start: Start) -> None:
    assert end(start("printf 'a\\377b\\n'")).read_lines() == ["a\N{REPLACEMENT CHARACTER}b"]


def test_drops_the_oldest_output_at_the_limit(start: Start) -> None:
    session = end(start("seq 1 100000", limit=1000))
    assert session.overflowed
    assert len(session.stdout) == 1000
    assert session.read_lines()[-1] == "100000"


def test_returns_each_line_once_though_older_ones_were_dropped(start: Start) -> None:
    session = start("while read n; do seq $n; echo done; done", limit=50)
    for _ in range(3):
        session.send("100\n")
        seen: list[str] = []
        while not seen or seen[-1] != "done":
            seen += lines(session, 1)
        assert seen.count("done") == 1
    session.close()


def test_writes_all_output_to_the_sink(start: Start) -> None:
    sink = io.BytesIO()
    session = end(start("seq 1 1000", sink=sink))
    assert sink.getvalue().split() == [str(number).encode() for number in range(1, 1001)]
    assert session.stdout == ""


def test_seconds_stop_at_the_end(start: Start) -> None:
    session = end(start("sleep 0.2"))
    assert 0.2 <= session.seconds < 5
    assert session.seconds == session.seconds


def test_sending_to_an_ended_command_is_an_error(start: Start) -> None:
    session = end(start("exit 0"))
    with pytest.raises(HostError, match="could not send input to the command on:\n  host-0: the command has ended"):
        session.send("x")


def test_a_closed_session_reports_why_it_has_no_exit_code(start: Start) -> None:
    session = start("cat")
    session.close()
    assert session.ended
    assert session.exit_status is None
    assert session.failure == "closed before the command ended"


def test_closing_after_the_end_keeps_the_exit_code(start: Start) -> None:
    session = end(start("exit 4"))
    session.close()
    assert session.exit_status == 4


def test_reports_each_end_once(start: Start) -> None:
    sessions = {name: start("read x; exit 1") for name in "abc"}
    watched = Sessions(sessions.values())
    assert watched.wait(0) == []
    sessions["b"].send("\n")
    assert watched.wait(10) == [sessions["b"]]
    assert watched.wait(0) == []
    for name in "ac":
        sessions[name].send("\n")
    rest = watched.wait(10)
    while len(rest) < 2:
        rest += watched.wait(10)
    assert set(rest) == {sessions["a"], sessions["c"]}
    assert watched.wait(0) == []


def test_reports_a_session_that_ended_before_it_was_watched(start: Start) -> None:
    session = end(start("exit 0"))
    assert Sessions([session]).wait(10) == [session]


def test_wait_ends_at_the_timeout_while_output_arrives(start: Start) -> None:
    watched = Sessions([start("while echo x; do sleep 0.01; done")])
    began = time.monotonic()
    assert watched.wait(0.3) == []
    assert 0.3 <= time.monotonic() - began < 2


def test_wait_receives_output_so_that_the_command_does_not_block(start: Start) -> None:
    session = start("head -c 10000000 /dev/zero; exit 2")
    assert Sessions([session]).wait(20) == [session]
    assert session.exit_status == 2
    assert len(session.stdout) == 10_000_000


def test_starts_no_thread_for_a_session(start: Start) -> None:
    before = set(threading.enumerate())
    watched = Sessions([start("cat") for _ in range(5)])
    assert watched.wait(0) == []
    assert set(threading.enumerate()) <= before
