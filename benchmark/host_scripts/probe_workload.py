"""Read, write and compare-and-swap a few keys of a key-value system, and write the history of all operations.

usage: python3 -I -S probe_workload.py --config CONFIG

Waits for the line `go UNIX_TIME` on standard input. At SIGTERM, it completes the operations in flight, reads all keys
back from every replica, and exits; a second SIGTERM ends it at once. The history is `history.jsonl` in the current
folder, one JSON object per line: a header, an operation each, and an end that names the keys nobody could read back.
Times are in ns of this host's monotonic clock. The outcome of an operation is `ok`, `failed` if it was never sent or
the response shows that it has no effect, or `unknown`: then it may take effect at any later time.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import random
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

FORMAT = 1
HISTORY = "history.jsonl"
PAUSE_S = 0.5
"""After an operation without success, so that an outage leaves few operations with unknown outcome."""
LARGEST = 1 << 20
OWN_VALUE = re.compile(r"c\d+-\d+")
"""Other values are not used in requests and commands."""


KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
"""Exit codes of `timeout` if it killed the command."""


class NotSentError(Exception):
    """An operation was not sent."""


class History:
    """The file of all operations; threads may write at the same time."""

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        self._lock = threading.Lock()
        self._file = path.open("w", encoding="utf-8", buffering=1)  # lines survive a kill
        self.write({"format": FORMAT, **header})

    def write(self, line: dict[str, Any]) -> None:
        """Append a line."""
        text = json.dumps(line) + "\n"
        with self._lock:
            self._file.write(text)

    def end(self, unread: list[str]) -> None:
        """Append the line without which a history counts as incomplete."""
        self.write({"complete": True, "unread": unread})
        self._file.close()


class Client:
    """One client of the system: it sends one operation at a time, always to the same replica."""

    def __init__(self, number: int, config: dict[str, Any], history: History, seen: dict[str, str]) -> None:
        self._number = number
        self._replica = config["replicas"][number % len(config["replicas"])]
        self._config = config
        self._history = history
        self._seen = seen
        self._random = random.Random(f"{config['seed']}/{number}")
        self._connections: dict[str, http.client.HTTPConnection] = {}
        self._sent = 0

    def load(self, keys: list[str], begin: float, stopping: threading.Event) -> None:
        """Send operations until `stopping`, from `begin` (monotonic s) on."""
        interval = self._config["clients"] / self._config["rate"]
        due = begin + interval * self._number / self._config["clients"]
        while not stopping.wait(max(0.0, due - time.monotonic())):
            due = max(due + interval, time.monotonic())
            key = self._random.choice(keys)
            op = self._random.choices(("read", "write", "cas"), (2, 2, 1))[0]
            if op == "cas" and (key not in self._seen or "cas" not in self._replica):
                op = "write"
            if not self.operate(op, key):
                due = max(due, time.monotonic() + PAUSE_S)

    def read_back(self, keys: list[str], deadline: float, found: set[str]) -> None:
        """Read all keys, and try again until `deadline` (monotonic s); add those that were read to `found`.

        A replica that does not answer is given up once others have returned all keys. Clients begin with different
        keys, so that they have read all of them soon.
        """
        first = self._number % len(keys)
        for key in keys[first:] + keys[:first]:
            if time.monotonic() > deadline:
                return
            while not self.operate("read", key):
                if time.monotonic() + PAUSE_S > deadline or len(found) == len(keys):
                    return
                time.sleep(PAUSE_S)
            found.add(key)

    def operate(self, op: str, key: str) -> bool:
        """Send one operation, and write it into the history; return whether its outcome is known."""
        line: dict[str, Any] = {"client": self._number, "op": op, "key": key}
        if op != "read":
            self._sent += 1
            line["value"] = f"c{self._number}-{self._sent}"  # unique
        if op == "cas":
            line["expected"] = self._seen[key]
        line["start"] = time.monotonic_ns()
        line |= self._send(op, line)
        line["end"] = time.monotonic_ns()
        self._history.write(line)
        if line["outcome"] != "ok":
            self._disconnect()
            return False
        now = line.get("found") if op == "read" else line["value"] if line.get("swapped", True) else None
        if now is not None and OWN_VALUE.fullmatch(now):
            self._seen[key] = now
        return True

    def _send(self, op: str, line: dict[str, Any]) -> dict[str, Any]:
        """Return the outcome of an operation."""
        request = self._replica[op]
        words = {name: line.get(name, "") for name in ("value", "expected")} | {
            "key": self._config["prefix"] + line["key"]
        }
        send = self._run if request["command"] else self._request
        try:
            good, text = send(request, words)
        except NotSentError as error:
            return {"outcome": "failed", "error": str(error)}
        except (OSError, http.client.HTTPException, subprocess.SubprocessError) as error:
            return {"outcome": "unknown", "error": str(error) or type(error).__name__}
        done = re.search(request["done"], text) if good else None
        otherwise = bool(request["otherwise"]) and re.search(request["otherwise"], text) is not None
        failed = bool(request["failed"]) and re.search(request["failed"], text) is not None
        if (done is not None) + otherwise + failed != 1 or (op == "read" and done and done[1] is None):
            return {"outcome": "unknown", "error": f"unexpected response: {text[:200]}"}
        if failed:
            return {"outcome": "failed", "error": text[:200]}
        if op == "read":
            return {"outcome": "ok", "found": self._decode(request, done[1]) if done else None}
        return {"outcome": "ok", "swapped": bool(done)} if op == "cas" else {"outcome": "ok"}

    def _request(self, request: dict[str, Any], words: dict[str, str]) -> tuple[bool, str]:
        """Send a request; return whether the status is 2xx, and the response as a text."""
        url = urlsplit(_fill(request["url"], words))
        connection = self._connections.get(url.netloc)
        try:
            if connection is None:
                connection = http.client.HTTPConnection(url.netloc, timeout=self._config["timeout_s"])
                connection.connect()
                self._connections[url.netloc] = connection
        except OSError as error:
            raise NotSentError(f"cannot connect: {error}") from None
        path = f"{url.path or '/'}{'?' if url.query else ''}{url.query}"
        connection.request(request["method"], path, _fill(request["body"], words).encode(), request["headers"])
        answer = connection.getresponse()
        text = f"{answer.status} {answer.read(LARGEST).decode('utf-8', 'replace')}"
        return 200 <= answer.status < 300, text

    def _run(self, request: dict[str, Any], words: dict[str, str]) -> tuple[bool, str]:
        """Run a command; return whether its exit code is 0, and that and its output as a text."""
        # It ends with all its children even if this process is killed.
        command = ["timeout", "-s", "KILL", str(self._config["timeout_s"])]
        command += [_fill(word, words) for word in request["command"]]
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            assert process.stdout is not None
            output = process.stdout.read(LARGEST).decode("utf-8", "replace")
        if process.returncode in KILLED:
            raise subprocess.SubprocessError(f"no result within {self._config['timeout_s']} s: {output[:200]}")
        return process.returncode == 0, f"{process.returncode} {output}"

    def _decode(self, request: dict[str, Any], value: str) -> str:
        try:
            return base64.b64decode(value).decode("utf-8", "replace") if request["base64"] else value
        except ValueError:
            return value

    def _disconnect(self) -> None:
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()


def _fill(template: str, words: dict[str, str]) -> str:
    """Replace the placeholders `{{NAME}}` and `{{NAME:base64}}`."""
    for name, word in words.items():
        encoded = base64.b64encode(word.encode()).decode()
        template = template.replace(f"{{{{{name}}}}}", word).replace(f"{{{{{name}:base64}}}}", encoded)
    return template


def _in_threads(calls: list[tuple[Any, ...]]) -> list[threading.Thread]:
    threads = [threading.Thread(target=function, args=arguments, daemon=True) for function, *arguments in calls]
    for thread in threads:
        thread.start()
    return threads


def main(arguments: list[str]) -> int:
    """Run the workload; return the exit code."""
    parser = argparse.ArgumentParser(description="Run a probe workload and write its history.")
    parser.add_argument("--config", type=Path, required=True)
    config = json.loads(parser.parse_args(arguments).config.read_text(encoding="utf-8"))
    # Keys of another run on the same data are others.
    config["prefix"] = f"geobench-probe-{secrets.token_hex(4)}-"
    stopping = threading.Event()
    running = False

    def stop(*_: object) -> None:
        if stopping.is_set() or not running:
            sys.exit(1)
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    word, _, begin = sys.stdin.readline().partition(" ")
    if word != "go":
        return 1
    started = time.monotonic() + float(begin) - time.time()
    running = True
    header = {
        "started": int(started * 1e9),
        "started_unix": float(begin),
        "clients": config["clients"],
        "replicas": [each["node"] for each in config["replicas"]],
    }
    history = History(Path(HISTORY), header)
    keys = [str(number) for number in range(config["keys"])]
    seen: dict[str, str] = {}
    clients = [Client(number, config, history, seen) for number in range(config["clients"])]
    threads = _in_threads([(client.load, keys, started, stopping) for client in clients])
    stopping.wait()
    for thread in threads:
        thread.join()
    found: set[str] = set()
    deadline = time.monotonic() + config["read_back_s"]
    for thread in _in_threads([(client.read_back, keys, deadline, found) for client in clients]):
        thread.join()
    history.end([key for key in keys if key not in found])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
