"""Vultr servers that halted at their expiry are started again as documented."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fakes.emulated_clouds import Clouds, emulated_clouds
from fakes.emulators.machine import Machine
from waiting import wait_for

pytestmark = pytest.mark.e2e

SETTINGS = """\
cloud_provider: vultr
regions: [ewr]
specs: PLAN
instances: 1
monitoring: false
operator_cidrs: [{operator}]
"""


@pytest.fixture(params=["vc2-4c-8gb", "vbm-4c-32gb"])
def halted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clouds]:
    """A testbed of one server, which has halted itself."""
    settings = SETTINGS.replace("PLAN", request.param)
    with emulated_clouds(tmp_path_factory.mktemp("halted"), "halted", settings, ["ewr"]) as clouds:
        clouds.stack.up()
        clouds.wait_until_ready()
        server = only_server(clouds)
        server.enter(["sh", "-c", "geobench-expiry 1; systemctl start geobench-expiry.service"])
        wait_for(lambda: not server.running, "the server halts itself")
        yield clouds


def only_server(clouds: Clouds) -> Machine:
    """The machine of the testbed's server."""
    (machine,) = clouds.machines.values()
    return machine


def test_server_halted_by_its_expiry_can_be_started_again(halted: Clouds) -> None:
    before, server = halted.only_host, only_server(halted)
    if before.specs.startswith("vbm-"):  # of whose power Vultr does not tell
        halted.stack.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes")
        halted.stack.up("-c", "state=stopped")
        halted.stack.up("-c", "state=running")
    else:
        halted.stack.pulumi("refresh", "--yes", "--skip-preview")
        halted.stack.up()
    assert only_server(halted) is server
    assert server.running
    halted.wait_until_ready()
    assert halted.only_host == before
