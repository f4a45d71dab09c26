"""The client of Vultr's API: rate limit, back-off, pagination, and errors in one line."""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path

import pytest
from fakes.vultr_account import TOKEN, IdleVultr

from benchmark.errors import InfrastructureError, SettingsError
from stacks.vultr import api
from stacks.vultr.api import RateLimit, UnclearError, VultrApi, read_token


def add_servers(vultr: IdleVultr, count: int) -> list[str]:
    inputs = {"plan": "vc2-1c-1gb", "region": "ewr", "label": "a", "userData": ""}
    known = [vultr.add("Instance", inputs) for _ in range(count)]
    for identity in known:
        vultr.boot(identity, inputs)
    return known


def test_all_pages_of_a_listing_are_read(vultr: IdleVultr, token: Path) -> None:
    known = add_servers(vultr, 1203)
    assert [one["id"] for one in VultrApi(token).servers("instances")] == known
    assert [request.partition("?")[0] for request in vultr.api.requests] == ["GET /instances"] * 3
    assert VultrApi(token).servers("bare-metals") == []


def test_what_does_not_exist_is_none(vultr: IdleVultr, token: Path) -> None:
    assert VultrApi(token).server("instances", "nobody") is None
    assert VultrApi(token).server("bare-metals", "nobody") is None
    assert VultrApi(token).rules("nobody") == []
    assert VultrApi(token).request("DELETE", "/instances/nobody") is None


@pytest.mark.parametrize(("method", "body"), [("GET", None), ("POST", {"region": "mars"})])
def test_requests_to_an_overloaded_api_are_repeated(
    vultr: IdleVultr, token: Path, method: api.Method, body: object
) -> None:
    vultr.api.busy = 3
    if body is None:
        assert VultrApi(token).request(method, "/instances") is not None
    else:
        with pytest.raises(InfrastructureError, match="400 Invalid region mars; try again"):
            VultrApi(token).request(method, "/instances", {**body, "plan": "", "os_id": 0})  # type: ignore[dict-item]
    assert vultr.api.requests == [f"{method} /instances"] * 4
    assert vultr.api.agents == {"geobench"}


def test_repeated_requests_stop_after_a_few_attempts(vultr: IdleVultr, token: Path) -> None:
    vultr.api.busy = 100
    with pytest.raises(InfrastructureError, match="429 Too many requests; try again"):
        VultrApi(token).request("GET", "/instances")
    assert len(vultr.api.requests) < 10


def test_an_order_whose_answer_is_lost_is_not_repeated(token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VULTR_API_URL", "http://127.0.0.1:1")
    monkeypatch.setattr(api.time, "sleep", lambda _: None)
    with pytest.raises(UnclearError, match=r"POST /instances: .*refused"):
        VultrApi(token).request("POST", "/instances", {})
    with pytest.raises(InfrastructureError, match=r"GET /instances: .*refused") as error:
        VultrApi(token).request("GET", "/instances")
    assert not isinstance(error.value, UnclearError)


def test_a_rejected_token_is_reported_without_showing_it(vultr: IdleVultr, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("hidden")
    with pytest.raises(InfrastructureError, match=r"401 Invalid API token; check the token in .*/wrong") as error:
        VultrApi(wrong).server("instances", "a")
    assert "hidden" not in str(error.value)


def test_a_token_file_with_two_words_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("one two")
    with pytest.raises(SettingsError, match="found 2 words, expected Vultr's token and nothing else"):
        read_token(path)


def test_an_answer_that_is_not_json_is_an_error(vultr: IdleVultr, token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vultr.api, "answer", lambda *_: (200, ["a list"]))
    with pytest.raises(InfrastructureError, match="GET /instances/a: found list for an answer, expected an object"):
        VultrApi(token).server("instances", "a")
    monkeypatch.setattr(vultr.api, "answer", lambda *_: (200, {"other": 1}))
    with pytest.raises(InfrastructureError, match="the answer has no server"):
        VultrApi(token).server("instances", "a")


@pytest.mark.parametrize(
    "reply", [{}, {"instances": None, "meta": None}, {"instances": [{}], "meta": {"links": {"next": "same"}}}]
)
def test_a_listing_without_its_parts_is_empty_and_ends(
    vultr: IdleVultr, token: Path, monkeypatch: pytest.MonkeyPatch, reply: dict[str, object]
) -> None:
    monkeypatch.setattr(vultr.api, "answer", lambda *_: (200, reply))
    assert VultrApi(token).servers("instances") == []


class Clock:
    """A clock that only sleeping threads move on."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_requests_are_spaced_and_pause_together(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(api, "time", clock)
    limit = RateLimit(20)
    turns = []
    for _ in range(5):
        limit.wait()
        turns.append(clock.now)
    limit.pause(3)
    limit.wait()
    assert [round(later - earlier, 6) for earlier, later in itertools.pairwise(turns)] == [0.05] * 4
    assert clock.now == pytest.approx(turns[-1] + 3)


def test_parallel_threads_stay_below_the_rate_limit_of_the_service(
    vultr: IdleVultr, token: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("VULTR_API_URL", vultr.url)
    vultr.api.limit = 30
    began = time.monotonic()
    threads = [threading.Thread(target=VultrApi(token).server, args=("instances", "a")) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert vultr.api.throttled == 0
    assert time.monotonic() - began >= 15 / api.REQUESTS_PER_SECOND
    assert TOKEN not in "".join(vultr.api.requests)
