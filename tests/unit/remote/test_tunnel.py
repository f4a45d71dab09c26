"""Tunnels through a real SSH server to real servers on loopback."""

from __future__ import annotations

import http.server
import os
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fakes.sshd import free_port

from benchmark.remote.fleet import Fleet
from benchmark.remote.tunnel import opened_by_this_user

BODY = os.urandom(1 << 20)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answer `/` at once, and `/both` only when two requests have arrived."""

    together = threading.Barrier(2, timeout=10)

    def do_GET(self) -> None:
        if self.path == "/both":
            self.together.wait()
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def fetch(port: int, path: str = "/") -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=15) as answer:
        return bytes(answer.read())


def test_forwards_requests_to_the_remote_port(fleet: Fleet, web: int) -> None:
    with fleet.tunnel("host-0", web) as port:
        assert port != web
        assert [fetch(port) for _ in range(3)] == [BODY] * 3


def test_forwards_two_requests_in_parallel(fleet: Fleet, web: int) -> None:
    with fleet.tunnel("host-0", web) as port, ThreadPoolExecutor(2) as pool:
        assert list(pool.map(fetch, [port] * 2, ["/both"] * 2)) == [BODY] * 2


def test_queues_more_connections_than_the_limit(fleet: Fleet, web: int) -> None:
    with fleet.tunnel("host-0", web) as port, ThreadPoolExecutor(40) as pool:
        assert list(pool.map(fetch, [port] * 40)) == [BODY] * 40


def test_closes_the_connection_if_nothing_listens_on_the_host(fleet: Fleet) -> None:
    with fleet.tunnel("host-0", free_port()) as port, pytest.raises((urllib.error.URLError, ConnectionError)):
        fetch(port)


def test_a_half_closed_connection_still_delivers_the_response(fleet: Fleet) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        listener.settimeout(10)

        def echo_reversed() -> None:
            listener.accept()[0].close()  # opening the tunnel tries the port
            peer, _ = listener.accept()
            with peer:
                peer.sendall(b"".join(iter(lambda: peer.recv(1 << 16), b""))[::-1])

        served = pool.submit(echo_reversed)
        with (
            fleet.tunnel("host-0", listener.getsockname()[1]) as port,
            socket.create_connection(("127.0.0.1", port), timeout=10) as client,
        ):
            client.sendall(b"abc" * 10000)
            client.shutdown(socket.SHUT_WR)
            assert b"".join(iter(lambda: client.recv(1 << 16), b"")) == b"cba" * 10000
        served.result()


def test_leaving_closes_idle_connections_and_ends_all_threads(fleet: Fleet, web: int) -> None:
    fleet.connect()
    before = set(threading.enumerate())
    with fleet.tunnel("host-0", web) as port:
        idle = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(3)]
        assert fetch(port) == BODY
    for sock in idle:
        with sock:
            assert sock.recv(1) == b""
    # The web server's threads end once their connections are closed.
    assert not [thread for thread in set(threading.enumerate()) - before if "tunnel" in thread.name]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


ROW = "0: {local} {remote} 01 00000000:00000000 00:00000000 00000000 {user} 0 {inode} 1 0000000000000000 20 4 30 10 -1"


@pytest.mark.parametrize(
    ("user", "inode", "admitted"),
    [(os.getuid(), 5, True), (0, 5, True), (65534, 5, False), (0, 0, False), (None, 5, False)],
    ids=["this user", "root", "another user", "closed by its owner", "not listed"],
)
def test_only_connections_of_this_user_and_root_are_forwarded(
    tmp_path: Path, user: int | None, inode: int, admitted: bool
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        accepted, (_, port) = listener.accept()
        ends = {"local": f"0100007F:{port:04X}", "remote": f"0100007F:{listener.getsockname()[1]:04X}"}
        # The other direction is listed too.
        rows = ["header", ROW.format(local=ends["remote"], remote=ends["local"], user=os.getuid(), inode=7)]
        rows += [ROW.format(**ends, user=user, inode=inode)] if user is not None else []
        (tmp_path / "tcp").write_text("\n".join(rows))
        with accepted:
            assert opened_by_this_user(accepted, tmp_path / "tcp") is admitted
            assert opened_by_this_user(accepted)
        assert client


@pytest.mark.integration
def test_another_user_of_this_machine_gets_no_answer(fleet: Fleet, web: int) -> None:
    ask = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=10)"
    with fleet.tunnel("host-0", web) as port:
        assert fetch(port) == BODY
        done = subprocess.run(
            ["/usr/bin/python3", "-c", ask, f"http://127.0.0.1:{port}/"],
            user="nobody", cwd="/", capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert "RemoteDisconnected" in done.stderr or "ConnectionReset" in done.stderr
