"""Commands about hosts of a local testbed whose emulated network is down."""

from __future__ import annotations

from pathlib import Path

import pytest
from factories.command_line import call, write
from factories.hosts import inventory, of_provider

from benchmark.inventory import HostCapabilities


@pytest.mark.parametrize("command", [["status"], ["check"], ["stop"], ["ssh", "a-0"]], ids=lambda words: words[0])
def test_commands_name_the_emulated_network_if_that_is_down(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    through = HostCapabilities(through="203.0.113.9")
    options = write(tmp_path, [of_provider(host, "local", capabilities=through) for host in inventory(a=2, b=2).hosts])
    assert call(command[0], *options, *command[1:]) == 3
    assert "the emulated network of testbed t is down" in capsys.readouterr().err
