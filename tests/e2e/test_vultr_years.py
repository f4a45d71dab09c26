"""The life of a Vultr testbed under the real pulumi, with the API answering as in 2025 and as in 2026.

The servers do not boot: those that do are tested in test_each_cloud.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fakes.pulumi_stack import Stack
from fakes.vultr_account import TOKEN, IdleVultr, idle_vultr_stack

pytestmark = pytest.mark.e2e

SETTINGS = """\
cloud_provider: vultr
regions: [ewr]
specs: vc2-1c-1gb
instances: 2
monitoring: false
operator_cidrs: [198.51.100.7/32]
"""


class Testbed:
    """A stack that is up, and the account that it is deployed to."""

    __test__ = False

    def __init__(self, stack: Stack, vultr: IdleVultr) -> None:
        self.stack, self.vultr = stack, vultr
        self.printed = stack.up()

    def identities(self) -> set[str]:
        """Servers, rules, groups and keys of the account."""
        return set(self.vultr.things)

    def refused(self, *command: str) -> str:
        """Run a command that fails, and return what it prints."""
        done = self.stack.run(*command, "--yes", "--skip-preview")
        assert done.returncode != 0
        assert "Traceback" not in done.stdout + done.stderr
        return done.stdout + done.stderr

    def delete_in_console(self, name: str) -> None:
        (identity,) = [key for key, one in self.vultr.machines.items() if one.name.endswith(name)]
        self.vultr.machines.pop(identity).remove()
        del self.vultr.things[identity]


@pytest.fixture(scope="module", params=[2025, 2026])
def testbed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testbed]:
    folder = tmp_path_factory.mktemp("years")
    with idle_vultr_stack(folder, f"vultr-{request.param}", SETTINGS, request.param, install_s=1.0) as (stack, vultr):
        yield Testbed(stack, vultr)


def test_update_and_refresh_change_nothing(testbed: Testbed) -> None:
    before = testbed.identities()
    assert len(testbed.vultr.machines) == 2
    for command in ("up", "refresh", "up"):
        testbed.stack.pulumi(command, "--yes", "--skip-preview", "--expect-no-changes")
    assert testbed.identities() == before
    assert {host.address for host in testbed.stack.inventory().hosts} == {
        machine.address for machine in testbed.vultr.machines.values()
    }


def test_token_is_in_no_state_and_no_output(testbed: Testbed) -> None:
    state = testbed.stack.pulumi("stack", "export")
    assert "api.vultr.com" not in state
    assert TOKEN not in state + testbed.printed
    assert "PRIVATE KEY" not in state


def test_servers_are_enlarged_in_place_and_never_made_smaller(testbed: Testbed) -> None:
    before = testbed.identities()
    testbed.stack.up("-c", "specs=vc2-4c-8gb")
    assert testbed.identities() == before
    assert {(host.specs, host.cpus, host.memory_mb) for host in testbed.stack.inventory().hosts} == {
        ("vc2-4c-8gb", 4, 8192)
    }
    requests = len(testbed.vultr.api.requests)
    printed = testbed.refused("up", "-c", "specs=vc2-1c-1gb")
    assert "from vc2-4c-8gb to vc2-1c-1gb, only to one of vc2-8c-16gb; `pulumi destroy` and `pulumi up`" in printed
    assert not [one for one in testbed.vultr.api.requests[requests:] if not one.startswith("GET")]
    testbed.stack.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes", "-c", "specs=vc2-4c-8gb")


def test_servers_stop_and_start(testbed: Testbed) -> None:
    before = testbed.stack.inventory()
    testbed.stack.up("-c", "state=stopped")
    assert not any(machine.running for machine in testbed.vultr.machines.values())
    testbed.stack.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes")
    testbed.stack.up("-c", "state=running")
    assert all(machine.running for machine in testbed.vultr.machines.values())
    assert testbed.stack.inventory() == before


def test_server_deleted_in_the_console_is_recreated(testbed: Testbed) -> None:
    testbed.delete_in_console("ewr-1")
    assert "any more; `pulumi up --refresh` replaces it" in testbed.refused("up", "-c", "state=stopped")
    testbed.stack.up("--refresh", "-c", "state=running")
    assert {host.address for host in testbed.stack.inventory().hosts} == {
        machine.address for machine in testbed.vultr.machines.values()
    }
    assert len(testbed.vultr.machines) == 2


def test_destroy_removes_everything(testbed: Testbed) -> None:
    testbed.delete_in_console("ewr-0")  # does not prevent it
    testbed.stack.destroy()
    assert testbed.identities() == set()
    assert testbed.vultr.machines == {}
