"""What Pulumi, which prints `traceback.format_exc()`, shows of a provider's error."""

from __future__ import annotations

import sys
import traceback

import pytest

from benchmark.errors import InfrastructureError
from stacks.errors import hide_traceback


def shown(error: Exception) -> str:
    @hide_traceback
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        fail()
    return "".join(traceback.format_exception(caught.value)).strip()


@pytest.fixture(autouse=True)
def _limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "tracebacklimit", 1000, raising=False)


def test_a_testbed_error_shows_only_its_message() -> None:
    assert shown(InfrastructureError("no subnet is left")) == "benchmark.errors.InfrastructureError: no subnet is left"


def test_an_operating_system_error_shows_one_line() -> None:
    assert shown(OSError(28, "No space left on device", "/state")).splitlines() == [
        "OSError: [Errno 28] No space left on device: '/state'"
    ]


def test_a_programming_error_keeps_its_traceback() -> None:
    assert "Traceback" in shown(KeyError("state"))


def test_the_return_value_is_passed_on() -> None:
    assert hide_traceback(abs)(-3) == 3
