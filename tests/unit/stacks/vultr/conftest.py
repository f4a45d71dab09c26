"""An emulated Vultr account for the resources' providers, which answers at once."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.vultr_account import TOKEN, IdleVultr, idle_vultr

from stacks.vultr import api, server


@pytest.fixture(params=[2026])
def vultr(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[IdleVultr]:
    """An account without rate limit, whose client does not wait; the service answers as in the given year."""
    with idle_vultr(request.param) as made:
        made.api.limit = sys.maxsize
        monkeypatch.setenv("VULTR_API_URL", made.url)
        monkeypatch.setattr(api.time, "sleep", lambda _: None)
        monkeypatch.setattr(api, "_limit", api.RateLimit(math.inf))
        monkeypatch.setattr(server, "_listings", {})
        monkeypatch.setattr(server, "_upgrades", {})
        yield made


@pytest.fixture(autouse=True)
def _limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore the limit that hiding a traceback sets for the whole process."""
    monkeypatch.setattr(sys, "tracebacklimit", 1000, raising=False)


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return path
