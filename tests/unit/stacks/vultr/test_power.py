"""Halting and starting Vultr servers, against an HTTP server that implements the part of the API that is used."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from benchmark.errors import InfrastructureError, SettingsError
from stacks.vultr import power as vultr_power
from stacks.vultr.power import VultrPowerProvider, read_token


@dataclass
class Api:
    """Servers by id. The first `busy` requests get status 429; the first `installing` queries find a pending server."""

    servers: dict[str, str] = field(default_factory=lambda: {"a": "running"})
    busy: int = 0
    installing: int = 0
    requests: list[str] = field(default_factory=list)
    agents: set[str | None] = field(default_factory=set)

    def answer(self, method: str, path: str, token: str | None) -> tuple[int, dict[str, Any]]:
        self.requests.append(f"{method} {path}")
        _, kind, server, *action = path.split("/")
        if token != "Bearer T0KEN":
            return 401, {"error": "Invalid API token."}
        if self.busy:
            self.busy -= 1
            return 429, {"error": "Rate limit exceeded"}
        if server not in self.servers:
            return 404, {"error": "not found"}
        if action:
            self.servers[server] = {"halt": "stopped", "start": "running"}[action[0]]
            return 204, {}
        return 200, {"instance" if kind == "instances" else "bare_metal": self.describe(kind, server)}

    def describe(self, kind: str, server: str) -> dict[str, str]:
        if self.installing:
            self.installing -= 1
            return {"status": "pending", "power_status": "stopped"}
        power = {"power_status": self.servers[server]} if kind == "instances" else {}
        return {"status": "active", **power}


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    made = Api()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.agents.add(self.headers["User-Agent"])
            code, body = made.answer(self.command, self.path, self.headers["Authorization"])
            self.send_response(code)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode() if body else b"")

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    monkeypatch.setenv("VULTR_API_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(vultr_power.time, "sleep", lambda _: None)
    yield made
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def _limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore the limit that hiding a traceback sets for the whole process."""
    monkeypatch.setattr(sys, "tracebacklimit", 1000, raising=False)


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("T0KEN\n")
    return path


def props(token: Path, state: str, kind: str = "instances", server: str = "a") -> dict[str, Any]:
    return {"server": server, "kind": kind, "state": state, "token_file": str(token)}


def test_a_running_server_is_not_changed(api: Api, token: Path) -> None:
    VultrPowerProvider().create(props(token, "running"))
    assert api.requests == ["GET /instances/a"]
    assert api.agents == {"geobench"}


def test_a_server_is_halted_and_started_again(api: Api, token: Path) -> None:
    provider = VultrPowerProvider()
    provider.update("a", props(token, "running"), props(token, "stopped"))
    assert api.servers == {"a": "stopped"}
    provider.update("a", props(token, "stopped"), props(token, "running"))
    assert api.servers == {"a": "running"}
    assert [request for request in api.requests if "POST" in request] == [
        "POST /instances/a/halt",
        "POST /instances/a/start",
    ]


def test_bare_metal_reports_no_power_state_so_the_last_known_one_is_used(api: Api, token: Path) -> None:
    provider = VultrPowerProvider()
    provider.create(props(token, "running", "bare-metals"))
    assert api.requests == ["GET /bare-metals/a"]
    provider.update("a", props(token, "running", "bare-metals"), props(token, "stopped", "bare-metals"))
    assert api.servers == {"a": "stopped"}
    assert provider.read("a", props(token, "stopped", "bare-metals")).outs["state"] == "stopped"


def test_a_server_is_halted_once_it_is_installed(api: Api, token: Path) -> None:
    api.installing = 2
    VultrPowerProvider().create(props(token, "stopped"))
    assert api.servers == {"a": "stopped"}


def test_waiting_for_a_server_times_out(api: Api, token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    api.installing = 10**9
    monkeypatch.setattr(vultr_power, "_POWER_SECONDS", 0.05)
    with pytest.raises(InfrastructureError, match="waited 0 s for server a to be installed"):
        VultrPowerProvider().create(props(token, "stopped"))


def test_requests_to_an_overloaded_api_are_repeated(api: Api, token: Path) -> None:
    api.busy = 3
    VultrPowerProvider().create(props(token, "stopped"))
    assert api.servers == {"a": "stopped"}


def test_repeated_requests_stop_after_a_few_attempts(api: Api, token: Path) -> None:
    api.busy = 100
    with pytest.raises(InfrastructureError, match="429 Rate limit exceeded; try again"):
        VultrPowerProvider().create(props(token, "stopped"))


def test_a_refresh_detects_changes_made_elsewhere(api: Api, token: Path) -> None:
    api.servers["a"] = "stopped"
    assert VultrPowerProvider().read("a", props(token, "running")).outs["state"] == "stopped"
    assert VultrPowerProvider().read("b", props(token, "running", server="b")).id is None


def test_a_deleted_server_is_an_error(api: Api, token: Path) -> None:
    with pytest.raises(InfrastructureError, match="no server b any more; `pulumi up --refresh`"):
        VultrPowerProvider().create(props(token, "running", server="b"))


def test_a_new_state_is_an_update_and_another_server_a_replacement(token: Path) -> None:
    diff = VultrPowerProvider().diff
    running = props(token, "running")
    assert diff("a", running, running).changes is False
    stopped = diff("a", running, props(token, "stopped"))
    assert (stopped.changes, stopped.replaces) == (True, [])
    assert diff("a", running, props(token, "running", server="b")).replaces == ["server"]


def test_a_rejected_token_is_reported_without_showing_it(api: Api, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("hidden")
    with pytest.raises(InfrastructureError, match=r"401 Invalid API token; check the token in .*/wrong") as error:
        VultrPowerProvider().create(props(wrong, "running"))
    assert "hidden" not in str(error.value)


def test_a_token_file_with_two_words_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("one two")
    with pytest.raises(SettingsError, match="found 2 words, expected Vultr's token and nothing else"):
        read_token(path)
