"""`pulumi up` killed while it orders Vultr servers: they are found, adopted by the next update, or removed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from fakes.emulators.machine import Machine
from fakes.emulators.provider import Properties
from fakes.pulumi_stack import Stack
from fakes.vultr_account import IdleVultr, idle_vultr_stack

pytestmark = pytest.mark.e2e

SETTINGS = """\
cloud_provider: vultr
regions: [ewr]
specs: vc2-1c-1gb
instances: 4
monitoring: false
operator_cidrs: [198.51.100.7/32]
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, IdleVultr]]:
    """A stack whose first update was killed while the API carried out its second order, and the account."""
    with idle_vultr_stack(tmp_path_factory.mktemp("killed"), "killed", SETTINGS) as (stack, vultr):
        program = ["pulumi", "--non-interactive", "up", "--yes", "--skip-preview"]
        process = subprocess.Popen(
            program, cwd=stack.project, env=stack.environment, start_new_session=True, stdout=subprocess.DEVNULL
        )
        boot = vultr.boot

        def boot_and_kill(identity: str, inputs: Properties) -> Machine:
            machine = boot(identity, inputs)
            if len(vultr.machines) == 2:
                kill_session(process.pid)
            return machine

        vultr.boot = boot_and_kill  # type: ignore[method-assign]
        process.wait(120)
        vultr.boot = boot  # type: ignore[method-assign]
        assert process.returncode == -signal.SIGKILL
        yield stack, vultr


def kill_session(leader: int) -> None:
    """Kill a session's processes at once: Pulumi and its plugins, which have process groups of their own."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            if int(fields[3]) == leader:
                os.kill(int(path.parent.name), signal.SIGKILL)


def strays(stack: Stack, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stacks.strays", *options],
        cwd=stack.project, env=stack.environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_servers_that_the_state_does_not_have_are_named(killed: tuple[Stack, IdleVultr]) -> None:
    stack, vultr = killed
    left = set(vultr.machines)
    assert len(left) >= 2
    stack.pulumi("cancel", "--yes")
    listed = strays(stack, "--json")
    assert listed.returncode == 0, listed.stderr
    found = {one["id"] for one in json.loads(listed.stdout)}
    assert found
    assert found <= left
    shown = subprocess.run(
        [sys.executable, "-m", "benchmark", "status"],
        cwd=stack.project, env=stack.environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert shown.returncode == 2
    assert "stack e2e has no hosts" in shown.stderr
    assert all(identity in shown.stderr for identity in found)
    assert "`python -m stacks.strays --remove " in shown.stderr


def test_next_update_adopts_them(killed: tuple[Stack, IdleVultr]) -> None:
    stack, vultr = killed
    left = set(vultr.machines)
    stack.up()
    assert left <= set(vultr.machines)
    assert sorted(machine.name for machine in vultr.machines.values()) == [f"killed-ewr-{n}" for n in range(4)]
    assert strays(stack).stdout == "none\n"
    stack.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")
    stack.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes")


def test_a_server_that_cannot_be_adopted_is_named_by_update_and_removed(killed: tuple[Stack, IdleVultr]) -> None:
    stack, vultr = killed
    inputs = {
        "plan": "vc2-1c-1gb", "region": "ewr", "label": "killed-ewr-9", "userData": "", "firewallGroupId": "",
        "tags": ["testbed_id=killed", "unconfirmed"],
    }  # fmt: skip
    stray = vultr.add("Instance", inputs)
    vultr.boot(stray, inputs)
    assert f"an interrupted update has left vultr {stray} (killed-ewr-9, ewr, " in stack.up()
    removed = strays(stack, "--remove", stray)
    assert removed.stdout.startswith(f"removed vultr {stray} (killed-ewr-9, ewr, ")
    assert stray not in vultr.machines
    assert "interrupted update" not in stack.up()
