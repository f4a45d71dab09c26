"""A changed first region moves the monitoring host, in a testbed over two clouds under the real pulumi."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from fakes.emulated_clouds import SETTINGS, Clouds, emulated_clouds
from fakes.emulators.machine import Machine

pytestmark = pytest.mark.e2e

ORDER, OTHER_ORDER = "regions=[us-east-1, vultr:ewr]", "regions=[vultr:ewr, us-east-1]"


@pytest.fixture(scope="module")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clouds]:
    settings = SETTINGS.replace("instances: 2", "instances: 1")
    with emulated_clouds(tmp_path_factory.mktemp("moved"), "moved", settings) as made:
        made.stack.up()
        yield made


def monitors(machine: Machine) -> bool:
    """Whether it has a Prometheus."""
    found: bool = machine.enter(["systemctl", "is-active", "--quiet", "prometheus"]).returncode == 0
    return found


def test_preview_shows_that_both_hosts_are_replaced(clouds: Clouds) -> None:
    clouds.wait_until_ready()
    steps = json.loads(clouds.stack.pulumi("preview", "--json", "-c", OTHER_ORDER))["steps"]
    replaced = [step["urn"].rpartition("::")[2] for step in steps if step["op"] == "replace"]
    assert {"us-east-1-0", "ewr-0"} <= set(replaced)


def test_new_monitoring_host_has_prometheus(clouds: Clouds) -> None:
    clouds.stack.up("-c", ORDER)
    clouds.wait_until_ready()
    before, machines = clouds.stack.inventory(), clouds.machines
    assert {name: monitors(machine) for name, machine in machines.items()} == {"us-east-1-0": True, "ewr-0": False}
    clouds.stack.up("-c", OTHER_ORDER)
    clouds.wait_until_ready()
    after = clouds.stack.inventory()
    assert [(host.name, host.role) for host in after.hosts] == [("ewr-0", "monitoring"), ("us-east-1-0", "instance")]
    assert {host.name: host.host_key for host in after.hosts} == {host.name: host.host_key for host in before.hosts}
    assert {name: monitors(machine) for name, machine in clouds.machines.items()} == {
        "us-east-1-0": False,
        "ewr-0": True,
    }
    assert not any(machine.running for machine in machines.values()), "no host of before is left"


def test_benchmark_is_measured_by_the_new_monitoring_host(clouds: Clouds) -> None:
    found = clouds.measure("--loads", "100", "--duration", "5s", "--warm-up", "2s")
    assert (found["nodes"], found["errors"]) == (1, {})
    assert found["completed_tps"] == pytest.approx(100, rel=0.1)


def test_next_update_and_refresh_change_nothing(clouds: Clouds) -> None:
    clouds.stack.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes")
    clouds.stack.pulumi("preview", "--expect-no-changes")


def test_destroy_removes_the_hosts_of_both_orders(clouds: Clouds) -> None:
    clouds.stack.destroy()
    assert clouds.site.machines == []
    assert clouds.site.vultr.things == {}
