"""A replicated key-value store with etcd's JSON API on loopback ports, correct or with a known fault."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Fault = Literal["none", "loses writes", "stale reads", "split brain", "no answer"]
REPLICAS = 3
_BEFORE_FAULT, _LOST, _LAG = 100, 20, 10


class Store:
    """The data of all replicas, and what a fault makes of it after some writes."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self._lock = threading.Lock()
        self._states: list[dict[str, str]] = [{}]
        """After each write."""
        self._other: dict[str, str] | None = None
        """What the last replica holds once it is separate from the others."""
        self.requests = 0

    def answer(self, replica: int, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Return the response to one request."""
        with self._lock:
            self.requests += 1
            found: dict[str, Any] = {"header": {"cluster_id": "1", "revision": str(len(self._states))}}
            if path == "/v3/kv/range":
                data = self._data(replica)
                if self.fault == "stale reads" and replica == REPLICAS - 1:
                    data = self._states[max(0, len(self._states) - 1 - _LAG)]
                if body["key"] in data:
                    found |= {"kvs": [{"key": body["key"], "value": data[body["key"]]}], "count": "1"}
            elif path == "/v3/kv/put":
                self._write(replica, body)
            else:
                (compare,), (success,) = body["compare"], body["success"]
                if self._data(replica).get(compare["key"]) == compare["value"]:
                    self._write(replica, success["requestPut"])
                    found["succeeded"] = True
            return found

    def _data(self, replica: int) -> dict[str, str]:
        return self._other if self._other is not None and replica == REPLICAS - 1 else self._states[-1]

    def _write(self, replica: int, put: dict[str, str]) -> None:
        changed = {**self._data(replica), put["key"]: put["value"]}
        if self._other is not None and replica == REPLICAS - 1:
            self._other = changed
            return
        self._states.append(changed)
        if len(self._states) == _BEFORE_FAULT:
            if self.fault == "loses writes":  # as after a crash without fsync
                self._states.append(self._states[-_LOST])
            elif self.fault == "split brain":
                self._other = changed


@contextmanager
def key_value_store(fault: Fault) -> Iterator[tuple[Store, list[str]]]:
    """Run a store; yield it and the endpoints of its replicas."""
    store = Store(fault)
    with ExitStack() as stack:
        endpoints = []
        for replica in range(REPLICAS):
            server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), _handler(store, replica)))
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
            stack.callback(server.shutdown)
            endpoints.append(f"127.0.0.1:{server.server_port}")
        yield store, endpoints


def _handler(store: Store, replica: int) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            if store.fault == "no answer":
                store.requests += 1
                self.close_connection = True
                return
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            text = json.dumps(store.answer(replica, self.path, body), separators=(",", ":")).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    return Handler
