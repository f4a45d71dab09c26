"""Declarations and outputs of the Pulumi program."""

from __future__ import annotations

import ast
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pulumi
import pytest
from fakes.cloud_mocks import OPERATOR, Cloud
from fakes.cloud_mocks import declare as declare_clouds
from fakes.pulumi_mocks import Declared, declare
from pulumi.runtime.mocks import MockResourceArgs

import stacks
import stacks.local.region
import stacks.machines.region
import stacks.region
from benchmark.cli.target import Target
from benchmark.errors import InfrastructureError, SettingsError
from benchmark.inventory import Inventory, Provider, derive_capabilities
from benchmark.settings import Disk, Settings
from stacks.cloud.cloud_init import grafana_password
from stacks.keys import generate_key

ROOT = Path(stacks.__file__).resolve().parents[1]
CONTRACTS = {"benchmark.errors", "benchmark.inventory", "benchmark.host_layout", "benchmark.settings"}


@pytest.fixture(autouse=True)
def _able_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the check of this machine, so that the tests run anywhere."""
    monkeypatch.setattr(stacks.local.region, "check_machine", lambda _state, _disk: None)


def settings(**fields: object) -> Settings:
    return Settings.model_validate({"testbed_id": "t", "regions": ["us-east-1", "eu-west-1"], "instances": 3, **fields})


def created(**fields: object) -> Declared:
    return declare(lambda: stacks.create(settings(**fields)))


def inventory(**fields: object) -> Inventory:
    return Inventory.model_validate(declare(lambda: stacks.create(settings(**fields)).inventory).value)


def inputs(declared: Declared, name: str) -> dict[str, Any]:
    (found,) = (host.inputs for host in declared.of_type("LocalHost") if host.name == name)
    return {key: value for key, value in found.items() if key != "__provider"}


def test_every_region_has_its_hosts_named_by_region_and_index() -> None:
    hosts = sorted(host.name for host in created().of_type("LocalHost"))
    assert hosts == [f"{region}-{index}" for region in ("eu-west-1", "us-east-1") for index in range(3)]


def test_hosts_are_children_of_their_region_and_the_network_is_one_for_all() -> None:
    declared = created()
    assert "geobench:local:Region$" in declared.urn("eu-west-1-2", "LocalHost")
    assert "geobench:local:Region$" in declared.urn("eu-west-1-2", "SshKey")
    assert [network.name for network in declared.of_type("LocalNetwork")] == ["network"]


def test_the_first_host_of_the_first_region_is_the_monitoring_host() -> None:
    roles = {host.name: host.role for host in inventory().hosts}
    assert [name for name, role in roles.items() if role == "monitoring"] == ["us-east-1-0"]


def test_the_inventory_has_the_requested_round_trips_of_emulated_networks_only() -> None:
    found = inventory(network={"rtt_ms": {"us-east-1/eu-west-1": 70}}).round_trips
    assert {pair: wanted.rtt_ms for pair, wanted in found.items()} == {
        "us-east-1/us-east-1": 0.6,
        "us-east-1/eu-west-1": 70,
        "eu-west-1/us-east-1": 70,
        "eu-west-1/eu-west-1": 0.6,
    }


def test_without_monitoring_every_host_is_an_instance() -> None:
    assert {host.role for host in inventory(monitoring=False).hosts} == {"instance"}


def test_only_the_monitoring_host_has_the_files_of_prometheus() -> None:
    declared = created()
    with_files = [
        host.name for host in declared.of_type("LocalHost") if "/etc/prometheus/prometheus.yml" in host.inputs["files"]
    ]
    assert with_files == ["us-east-1-0"]


def test_a_host_has_a_disk_for_the_working_dir_and_knows_which() -> None:
    found = inputs(created(disk={"size": "1GB", "bandwidth": "5MB/s"}), "us-east-1-1")
    assert found["disk"] == {"size": 10**9, "folder": "/root/geobench", "bandwidth": 5_000_000}
    assert found["files"] == {"/etc/geobench/disk": "1GB at geobench, 5MB/s\n"}
    assert inputs(created(working_dir="/srv/x"), "us-east-1-1")["disk"]["folder"] == "/srv/x"


@pytest.mark.parametrize("disk", [{}, {"durable": False}, {"size": "1GB", "bandwidth": "5MB/s"}])
def test_the_inventory_states_the_disks_of_local_hosts(
    disk: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = settings(disk=disk, working_dir="/srv/x")
    file = tmp_path / "inventory.json"
    file.write_text(inventory(disk=disk, working_dir="/srv/x").model_dump_json())
    monkeypatch.chdir(ROOT)
    found = Target(None, file, None).settings
    assert (found.disk, found.working_dir) == (wanted.disk, "/srv/x")


def test_a_volatile_host_has_no_disk() -> None:
    found = inputs(created(disk={"durable": False}), "us-east-1-1")
    assert (found.get("disk"), found["files"]) == (None, {})


@pytest.mark.parametrize(
    "change",
    [
        {"instances": 5},
        {"regions": ["us-east-1", "eu-west-1", "ap-northeast-1"]},
        {"scrape_interval": "1s"},
        {"protocol": "other", "warm_up": "1s", "time_to_live": "1h"},
        {"network": {"loss": 0.1}},
    ],
)
def test_an_unrelated_change_keeps_a_hosts_inputs(change: dict[str, Any]) -> None:
    before, after = created(), created(**change)
    for host in before.of_type("LocalHost"):
        if host.name != "us-east-1-0":
            assert inputs(after, host.name) == inputs(before, host.name)


def test_the_scrape_interval_changes_the_monitoring_host() -> None:
    assert inputs(created(scrape_interval="1s"), "us-east-1-0") != inputs(created(), "us-east-1-0")


def test_each_host_has_its_own_key_and_accepts_the_operators() -> None:
    declared = created()
    for host in declared.of_type("LocalHost"):
        assert host.inputs["host_key"] == f"ssh-ed25519 {host.name}"
        assert host.inputs["operator_key"] == "ssh-ed25519 operator"
    assert len(declared.of_type("SshKey")) == 7


def test_the_inventory_contains_address_and_key_of_each_host() -> None:
    host = inventory().host("eu-west-1-1")
    assert (host.provider, host.region, host.specs) == ("local", "eu-west-1", "namespace")
    assert (host.address, host.ssh_port, host.host_key) == ("198.18.0.9", 22, "ssh-ed25519 eu-west-1-1")
    assert host.cpus is not None
    assert host.memory_mb is not None
    assert host.memory_mb > 100


def test_a_local_testbed_costs_nothing_and_does_not_expire() -> None:
    found = inventory()
    assert found.hourly_cost_usd == 0
    assert found.expires_at is None
    assert found.created_at.isoformat() == "2030-01-01T00:00:00+00:00"


def test_stopped_hosts_have_no_address() -> None:
    hosts = inventory(state="stopped").hosts
    assert {(host.state, host.address) for host in hosts} == {("stopped", "")}


def test_a_generated_key_is_exported_and_its_path_is_null() -> None:
    assert inventory().ssh.private_key_file is None
    exported = declare(lambda: stacks.create(settings()).ssh_private_key)
    assert exported.value == "PRIVATE operator"


def test_the_creation_time_is_taken_once() -> None:
    provider = stacks.region.CreationProvider()
    made = provider.create({})
    assert made.outs is not None
    assert made.outs["created_at"].endswith("+00:00")
    assert provider.diff(made.id, made.outs, {}).changes is False


def test_a_region_name_of_two_providers_is_rejected() -> None:
    with pytest.raises(SettingsError, match="us-east-1 is listed for two providers"):
        stacks.create(settings(regions=["local:us-east-1", "aws:us-east-1"]))


@pytest.mark.parametrize("name", ["a b", "São-Paulo", "x" * 62])
def test_a_local_region_whose_name_cannot_be_part_of_a_hostname_is_rejected(name: str) -> None:
    fields = {"regions": [name], "network": {"rtt_ms": {}}}
    with pytest.raises(SettingsError, match=r"regions: .* cannot be the name of a local region, .*use at most"):
        created(**fields)


class TimedCloud(Cloud):
    """Clouds with the hosts' addresses in ADDRESSES, and the time the testbed was created."""

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        identity, made = super().new_resource(args)
        if identity in self.addresses:
            made["mainIp"] = self.addresses[identity] = ADDRESSES[args.name]
        return identity, {**made, "created_at": "2030-01-01T00:00:00+00:00"}


ADDRESSES = {
    "ewr-0": "203.0.113.10", "ewr-1": "203.0.113.11", "us-east-1-0": "203.0.113.20", "us-east-1-1": "203.0.113.21",
    "sea-0": "203.0.113.30", "sea-1": "203.0.113.31",
}  # fmt: skip


def cloud_settings(folder: Path, **fields: object) -> Settings:
    """Return settings for two clouds, with Vultr in the first region."""
    (folder / "token").write_text("0123456789" * 4, encoding="utf-8")
    return Settings.model_validate(
        {
            "cloud_provider": "vultr",
            "regions": ["ewr", "aws:us-east-1", "sea"],
            "instances": 1,
            "specs": {"aws": "m5d.2xlarge", "vultr": "vc2-4c-8gb"},
            "operator_cidrs": [OPERATOR],
            "token_file": str(folder / "token"),
            "time_to_live": "2h",
            **fields,
        }
    )


def grafana(settings: Settings) -> tuple[object, object, object]:
    """Return what the program exports about Grafana: address, password, whether the password is a secret."""

    def program() -> pulumi.Output[Any]:
        testbed = stacks.create(settings)
        password = testbed.grafana_password
        secret = password.is_secret() if password else False
        return pulumi.Output.all(testbed.grafana_url, password, pulumi.Output.from_input(secret))

    url, password, secret = declare_clouds(program, TimedCloud()).value
    return url, password, secret


def test_a_public_grafana_has_an_address_and_a_secret_password(tmp_path: Path) -> None:
    url, password, secret = grafana(cloud_settings(tmp_path, grafana_public=True))
    assert url == f"http://{ADDRESSES['ewr-0']}:3000"
    assert password == grafana_password("PRIVATE-ewr-0-host-key")
    assert secret is True


@pytest.mark.parametrize("fields", [{}, {"grafana_public": True, "monitoring": False}])
def test_a_grafana_behind_the_tunnel_has_neither_address_nor_password(
    tmp_path: Path, fields: dict[str, object]
) -> None:
    assert grafana(cloud_settings(tmp_path, **fields)) == (None, None, False)


def test_a_testbed_over_two_clouds_keeps_the_order_of_the_settings_and_expires(tmp_path: Path) -> None:
    declared = declare_clouds(lambda: stacks.create(cloud_settings(tmp_path)).inventory, TimedCloud())
    found = Inventory.model_validate(declared.value)
    assert [host.name for host in found.hosts] == ["ewr-0", "us-east-1-0", "sea-0"]
    assert [host.provider for host in found.hosts] == ["vultr", "aws", "vultr"]
    assert found.monitoring == found.hosts[0]
    assert found.expires_at == datetime(2030, 1, 1, 2, tzinfo=UTC)
    assert found.hourly_cost_usd is not None
    assert found.hourly_cost_usd > 0


def test_each_cloud_states_the_capabilities_of_its_hosts(tmp_path: Path) -> None:
    declared = declare_clouds(lambda: stacks.create(cloud_settings(tmp_path)).inventory, TimedCloud())
    for host in Inventory.model_validate(declared.value).hosts:
        stated, derived = host.capabilities, derive_capabilities(host.provider, host.specs)
        assert stated == derived, host.name


@pytest.mark.parametrize("provider", ["local", "machines"])
def test_other_providers_state_the_capabilities_of_their_hosts(provider: Provider) -> None:
    regions = {"local": stacks.local.region.LocalRegion, "machines": stacks.machines.region.MachineRegion}
    stated, derived = regions[provider].capabilities, derive_capabilities(provider, "")
    assert stated.model_dump(exclude={"help"}) == derived.model_dump(exclude={"help"})
    assert "ssh_private_key_file" in stated.help.login_rejected


def test_each_cloud_allows_inbound_traffic_from_the_others_hosts(tmp_path: Path) -> None:
    declared = declare_clouds(lambda: stacks.create(cloud_settings(tmp_path, instances=2)).inventory, TimedCloud())
    found = Inventory.model_validate(declared.value)
    assert {host.name: host.address for host in found.hosts} == ADDRESSES
    (peers,) = declared.of_type("ManagedPrefixList").values()
    assert [entry["cidr"] for entry in peers["entries"]] == [f"{host.address}/32" for host in found.hosts]
    rules = declared.of_type("VultrFirewallRule").values()
    admitted = {(rule["firewall_group_id"], rule["network"], rule["protocol"], rule["port"]) for rule in rules}
    everything = [("tcp", "1:65535"), ("udp", "1:65535"), ("icmp", "")]
    sources = [(f"{address}/32", *ports) for address in ADDRESSES.values() for ports in everything]
    sources.append((OPERATOR, "tcp", "22"))
    assert admitted == {(f"{region}-firewall-id", *source) for region in ("ewr", "sea") for source in sources}


def test_machines_the_user_already_has_never_expire(tmp_path: Path) -> None:
    key, pair = tmp_path / "key", generate_key()
    key.write_text(pair.private_key)
    key.with_name("key.pub").write_text(pair.public_key)
    machine = {"region": "lab", "address": "192.0.2.1", "host_key": generate_key().public_key}
    fields = {"cloud_provider": "machines", "machines": [machine], "ssh_private_key_file": str(key)}
    found = Inventory.model_validate(declare(lambda: stacks.create(Settings.model_validate(fields)).inventory).value)
    assert [(host.name, host.region, host.address) for host in found.hosts] == [("lab-0", "lab", "192.0.2.1")]
    assert found.expires_at is None


def test_an_unsuitable_machine_is_an_error_before_anything_is_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_state: Path, _disk: Disk) -> None:
        raise InfrastructureError("not here")

    monkeypatch.setattr(stacks.local.region, "check_machine", refuse)
    with pytest.raises(InfrastructureError, match="not here"):
        created()


def test_a_local_testbed_imports_no_cloud_sdk() -> None:
    code = "import sys, stacks.local.region; print([name for name in sys.modules if 'aws' in name or 'vultr' in name])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_error_of_the_program_is_shown_once_without_remarks_of_pulumi(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr("pulumi.log.error", shown.append)
    with pytest.raises(SystemExit) as ended:
        stacks.fail(SettingsError("s.yaml, line 1, column 2: x"))
    assert (ended.value.code, shown) == (32, ["s.yaml, line 1, column 2: x"])


def test_the_program_itself_stays_small_and_stacks_imports_only_the_contracts() -> None:
    assert len((ROOT / "__main__.py").read_text(encoding="utf-8").splitlines()) <= 30
    for file in (ROOT / "stacks").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                if name.split(".")[0] == "benchmark":
                    assert name in CONTRACTS, file
