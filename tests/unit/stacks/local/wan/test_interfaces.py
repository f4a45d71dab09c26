"""Errors of the `ip` command; real interfaces are tested in integration/test_wan.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmark.errors import InfrastructureError
from stacks.local.wan import interfaces


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InfrastructureError, match="`ip` not found; install iproute2"):
        interfaces.configure_operator("geobench0", "198.18.0.1", 20)


def test_an_error_of_the_command_is_quoted() -> None:
    with pytest.raises(InfrastructureError, match=r"`ip -batch -` failed: .*no-such-link"):
        interfaces.configure_operator("no-such-link", "198.18.0.1", 20)


@pytest.mark.integration
def test_an_interface_is_exclusive_and_ends_with_its_descriptor() -> None:
    fd, name = interfaces.open_tun("gbtest%d")
    try:
        assert Path("/sys/class/net", name).exists()
        with pytest.raises(FileExistsError, match=f"interface {name} exists"):
            interfaces.open_tun(name)
        interfaces.configure_operator(name, "198.19.255.253", 30)
        assert Path("/sys/class/net", name, "mtu").read_text() == "1500\n"
        assert Path("/sys/class/net", name, "tx_queue_len").read_text() == "4096\n"
    finally:
        os.close(fd)
    assert not Path("/sys/class/net", name).exists()
