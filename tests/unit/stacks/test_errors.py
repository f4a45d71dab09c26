"""What pulumi, which shows `traceback.format_exc()`, prints of a provider's error."""

from __future__ import annotations

import sys
import traceback

import pytest

from benchmark.errors import InfrastructureError
from stacks.errors import plain_errors


def shown(error: Exception) -> str:
    @plain_errors
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        fail()
    return "".join(traceback.format_exception(caught.value)).strip()


@pytest.fixture(autouse=True)
def _limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "tracebacklimit", 1000, raising=False)


def test_an_error_raised_on_purpose_is_its_message() -> None:
    assert shown(InfrastructureError("no subnet is left")) == "benchmark.errors.InfrastructureError: no subnet is left"


def test_a_full_disk_is_one_line() -> None:
    assert shown(OSError(28, "No space left on device", "/state")).splitlines() == [
        "OSError: [Errno 28] No space left on device: '/state'"
    ]


def test_a_mistake_in_the_program_keeps_its_traceback() -> None:
    assert "Traceback" in shown(KeyError("state"))


def test_what_a_method_returns_passes() -> None:
    assert plain_errors(lambda value: value + 1)(2) == 3
