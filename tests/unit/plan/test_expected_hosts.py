"""The hosts that settings describe."""

from __future__ import annotations

from benchmark.plan.expected_hosts import expected_inventory
from benchmark.settings import Settings


def test_hosts_of_all_providers_have_the_names_that_they_will_have() -> None:
    machines = [{"region": "Bern", "address": f"192.0.2.{index}", "host_key": "ssh-ed25519 A"} for index in (1, 2)]
    settings = Settings.model_validate(
        {"regions": ["us-east-1", "vultr:ewr"], "instances": 2, "machines": machines, "specs": {"vultr": "vc2-1c-1gb"}}
    )
    found = expected_inventory(settings)
    assert [(host.name, host.provider, host.specs) for host in found.hosts] == [
        ("us-east-1-0", "local", "namespace"),
        ("us-east-1-1", "local", "namespace"),
        ("ewr-0", "vultr", "vc2-1c-1gb"),
        ("ewr-1", "vultr", "vc2-1c-1gb"),
        ("Bern-0", "machines", ""),
        ("Bern-1", "machines", ""),
    ]
    assert found.monitoring is not None
    assert found.monitoring.name == "us-east-1-0"
    assert found.hourly_cost_usd is None, "a price that is not known is not 0"


def test_local_hosts_are_free_and_monitoring_can_be_absent() -> None:
    found = expected_inventory(Settings(regions=("a",), instances=1, monitoring=False))
    assert found.hourly_cost_usd == 0
    assert found.monitoring is None
