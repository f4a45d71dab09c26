"""The life of a testbed on each cloud alone: `pulumi up`, a benchmark, stop, start, `pulumi destroy`."""

from __future__ import annotations

import ipaddress
import json
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from fakes.emulated_clouds import Clouds, emulated_clouds
from fakes.runner import Runner

pytestmark = pytest.mark.e2e


@dataclass(frozen=True)
class Case:
    """A testbed over two regions of one cloud."""

    cloud: str
    regions: tuple[str, str]
    specs: str
    hourly_usd: float
    """Of its four hosts."""

    @property
    def settings(self) -> str:
        return (
            f"cloud_provider: {self.cloud}\nregions: [{', '.join(self.regions)}]\nspecs: {self.specs}\ninstances: 2\n"
            "operator_cidrs: [{operator}]\nscrape_interval: 2s\ngrafana_public: true\n"
        )


CASES = [
    Case("aws", ("us-east-1", "eu-west-1"), "m5d.2xlarge", 4 * (0.504 + 0.005 + 100 * 0.088 / 730)),
    Case("vultr", ("ewr", "fra"), "vc2-4c-8gb", 4 * 40 / 672),
]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.cloud)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.fixture(scope="module")
def cloud(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clouds]:
    folder = tmp_path_factory.mktemp(case.cloud)
    with emulated_clouds(folder, f"only-{case.cloud}", case.settings, case.regions) as made:
        made.stack.up()
        yield made


def left_on_aws(cloud: Clouds, region: str) -> list[str]:
    """What a region has that is the testbed's but for instances."""
    mark = [{"Name": "tag:testbed_id", "Values": [cloud.stack.testbed_id]}]
    kinds = {
        "describe_vpcs": "Vpcs",
        "describe_subnets": "Subnets",
        "describe_internet_gateways": "InternetGateways",
        "describe_security_groups": "SecurityGroups",
        "describe_managed_prefix_lists": "PrefixLists",
    }
    found = [cloud.site.aws.ec2(region, "describe_key_pairs")["KeyPairs"]]
    found += [cloud.site.aws.ec2(region, call, Filters=mark)[kind] for call, kind in kinds.items()]
    return [str(one) for some in found for one in some if one.get("State") != "delete-complete"]


def answer(address: str, port: int) -> str:
    """What this machine, the operator's, is answered."""
    try:
        with socket.create_connection((address, port), timeout=2.0):
            return "open"
    except ConnectionRefusedError:
        return "refused"
    except TimeoutError:
        return "silent"


def test_hosts_become_ready_at_the_listed_price(cloud: Clouds, case: Case) -> None:
    cloud.wait_until_ready()
    names = [f"{region}-{index}" for region in case.regions for index in (0, 1)]
    status = json.loads(cloud.benchmark("status", "--json"))
    assert status["hosts"] == dict.fromkeys(names, "ready")
    assert status["hourly_cost_usd"] == pytest.approx(case.hourly_usd, abs=1e-5)
    shown = cloud.benchmark("status")
    assert shown.count("2 ready") == 2
    assert f"${case.hourly_usd:.2f}" in shown


def test_public_grafana_has_an_address_and_a_password_and_is_reachable(cloud: Clouds) -> None:
    monitoring, *others = cloud.stack.inventory().hosts
    assert cloud.stack.pulumi("stack", "output", "grafana_url").strip() == f"http://{monitoring.address}:3000"
    assert "grafana_password" in cloud.stack.pulumi("stack", "output")
    password = cloud.stack.pulumi("stack", "output", "grafana_password", "--show-secrets").strip()
    assert len(password) == 20
    assert password not in cloud.stack.pulumi("stack", "export") + cloud.stack.pulumi("stack", "output")
    # The emulated clouds have no Grafana, so the open port is one where nobody listens.
    assert "warning: " + monitoring.name + ": Grafana was not installed" in cloud.benchmark("status")
    assert [answer(host.address, 3000) for host in (monitoring, *others)] == ["refused"] + ["silent"] * 3


def swap_addresses(cloud: Clouds, before: dict[str, str]) -> None:
    """Have stopped machines that gave back the addresses they had `before` come up with each other's."""
    first, *others = sorted(before, key=lambda name: ipaddress.ip_address(before[name]))
    for name in (*others, first):  # the lowest free address is claimed
        cloud.site.network.claim_address(cloud.machines[name].identity)


def test_stopped_hosts_start_again_and_run_a_benchmark(cloud: Clouds, case: Case) -> None:
    cloud.stack.up("-c", "state=running", "-c", "scrape_interval=2s")
    cloud.wait_until_ready()
    before = {name: machine.address for name, machine in cloud.machines.items()}
    cloud.stack.up("-c", "state=stopped")
    assert set(json.loads(cloud.benchmark("status", "--json"))["hosts"].values()) == {"stopped"}
    assert not any(machine.running for machine in cloud.machines.values())
    swap_addresses(cloud, before)
    cloud.stack.up("-c", "state=running", "-c", "scrape_interval=500ms")
    cloud.wait_until_ready()
    assert set(json.loads(cloud.benchmark("status", "--json"))["hosts"].values()) == {"ready"}
    addresses = {host.name: host.address for host in cloud.stack.inventory().hosts}
    assert addresses == {name: machine.address for name, machine in cloud.machines.items()}
    assert len(addresses.items() & before.items()) == (len(before) if case.cloud == "vultr" else 0)
    summary = cloud.measure("--loads", "100", "--duration", "5s", "--warm-up", "2s", "--name", "again")
    assert (summary["protocol"], summary["nodes"], summary["errors"]) == ("etcd", 3, {})
    assert summary["completed_tps"] == pytest.approx(100, rel=0.1)
    # If Prometheus had not taken up the new interval, every client would have gaps.
    gaps = [text for text in summary["warnings"] if "expected one every 0.5 s" in text]
    assert len({text.partition(":")[0] for text in gaps}) < summary["clients"]


def test_runs_that_outlast_their_hosts_are_rejected(cloud: Clouds) -> None:
    _, err = Runner(cloud.stack)("run", "--loads", "100", "--duration", "20h", codes=(2,))
    words = " ".join(err.split())
    assert "the runs take at least 20h" in words
    assert re.search(
        r"terminates automatically at .* UTC \(in 1[12]h\d\dm\); `geobench extend (9|10)h` postpones", words
    )
    assert "hosts terminate automatically at" in cloud.benchmark("check")


def test_leftovers_are_found_in_every_region(cloud: Clouds, case: Case) -> None:
    assert len(cloud.site.machines) == 4
    if case.cloud == "aws":
        assert all(len(left_on_aws(cloud, region)) >= 6 for region in case.regions)
    else:
        assert cloud.site.vultr.things


def test_destroy_removes_everything(cloud: Clouds, case: Case) -> None:
    cloud.stack.destroy()
    assert cloud.site.machines == []
    assert cloud.site.vultr.things == {}
    of_aws = case.regions if case.cloud == "aws" else ()
    assert [left for region in of_aws for left in left_on_aws(cloud, region)] == []
    assert json.loads(cloud.stack.pulumi("stack", "export"))["deployment"].get("resources", []) == []
