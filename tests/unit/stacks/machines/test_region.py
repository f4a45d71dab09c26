"""Machines the user already has: described, never changed, identified by their host keys."""

from __future__ import annotations

import base64
from typing import Any

import pulumi
import pytest
from fakes.cloud_mocks import Declared, declare

from benchmark.errors import SettingsError
from benchmark.inventory import Host, Jump
from benchmark.settings import Settings, load_settings
from stacks.keys import OperatorKey
from stacks.machines.region import machine_hosts, parse_host_key, regions
from stacks.monitoring import DASHBOARDS
from stacks.region import Plan


def host_key(number: int = 0, kind: bytes = b"ssh-ed25519") -> str:
    blob = len(kind).to_bytes(4, "big") + kind + (32).to_bytes(4, "big") + bytes([number] * 32)
    return f"{kind.decode()} {base64.b64encode(blob).decode()}"


def settings(*machines: dict[str, Any]) -> Settings:
    return Settings.model_validate({"cloud_provider": "machines", "machines": list(machines)})


def described(*machines: dict[str, Any]) -> list[Host]:
    return machine_hosts(settings(*machines).machines)


def machine(number: int, region: str = "zurich", **fields: Any) -> dict[str, Any]:
    return {"region": region, "address": f"192.0.2.{number}", "host_key": host_key(number), **fields}


def test_machines_are_described_from_the_settings() -> None:
    hosts = described(machine(1, user="ada"), machine(2, "boston", port=2222), machine(3))
    assert [(host.name, host.region, host.address, host.ssh_port, host.ssh_user) for host in hosts] == [
        ("zurich-0", "zurich", "192.0.2.1", 22, "ada"),
        ("boston-0", "boston", "192.0.2.2", 2222, "root"),
        ("zurich-1", "zurich", "192.0.2.3", 22, "root"),
    ]
    assert [host.host_key for host in hosts] == [host_key(1), host_key(2), host_key(3)]


def test_regions_of_machines_declare_no_resources() -> None:
    wanted = settings(machine(1), machine(2, "boston"), machine(3))

    def program() -> pulumi.Output[Any]:
        nowhere = pulumi.Output.from_input("")
        plan = Plan(wanted, OperatorKey(nowhere, None, "key"), nowhere, "zurich-0", peers=3)
        made = regions(plan, ["zurich", "boston"])
        for region in made:
            region.authorize_ingress({"away": "192.0.2.1"})
        assert [region.hourly_cost_usd for region in made] == [0.0, 0.0]
        return pulumi.Output.all(*(pulumi.Output.all(*region.hosts) for region in made))

    declared = declare(program)
    assert declared.resources == []
    zurich, boston = declared.value
    assert [(host.name, host.role) for host in zurich] == [("zurich-0", "monitoring"), ("zurich-1", "instance")]
    assert [(host.name, host.role) for host in boston] == [("boston-0", "instance")]


def test_machines_need_a_key_that_the_user_names() -> None:
    made = pulumi.Output.from_input("")
    plan = Plan(settings(machine(1)), OperatorKey(made, made, None), made, "zurich-0", peers=1)
    with pytest.raises(SettingsError, match="ssh_private_key_file is missing"):
        regions(plan, ["zurich"])


def in_state(state: str, *listed: str) -> Declared:
    """Declare two machines in a testbed of that state, with additional regions."""
    fields = {"cloud_provider": "machines", "machines": [machine(1), machine(2)], "regions": listed, "state": state}

    def program() -> pulumi.Output[Any]:
        nowhere = pulumi.Output.from_input("")
        plan = Plan(Settings.model_validate(fields), OperatorKey(nowhere, None, "key"), nowhere, None, peers=2)
        (made,) = regions(plan, ["zurich"])
        return pulumi.Output.all(*made.hosts)

    return declare(program)


@pytest.mark.parametrize("listed", [(), ("zurich",)])
def test_a_testbed_of_machines_alone_cannot_be_stopped(listed: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError, match=r"state: found stopped, expected running.* `sudo systemctl poweroff`"):
        in_state("stopped", *listed)


def test_machines_beside_cloud_hosts_stay_up_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    running = in_state("running", "vultr:ewr").value
    assert caplog.text == ""
    assert in_state("stopped", "vultr:ewr").value == running
    assert "state: stopped leaves 192.0.2.1, 192.0.2.2 running" in caplog.text


def test_every_missing_host_key_is_reported_with_the_command_that_shows_it() -> None:
    with pytest.raises(SettingsError) as error:
        described(machine(1, host_key=None), machine(2), machine(3, host_key=None, port=2222))
    text = str(error.value)
    assert "machines.0.host_key: missing; `ssh-keyscan -t ed25519 -p 22 192.0.2.1` shows it" in text
    assert "machines.2.host_key: missing; `ssh-keyscan -t ed25519 -p 2222 192.0.2.3` shows it" in text
    assert "machines.1" not in text
    assert "compare with `cat /etc/ssh/ssh_host_ed25519_key.pub`" in text


def test_an_address_is_quoted_in_the_suggested_command() -> None:
    with pytest.raises(SettingsError, match=r"ssh-keyscan -t ed25519 -p 22 'a; reboot'"):
        described(machine(1, host_key=None, address="a; reboot"))


@pytest.mark.parametrize("around", ["{}", "{} root@host", "192.0.2.1 {}", "[192.0.2.1]:2222 {} # by keyscan", " {}\n"])
def test_a_host_key_is_read_from_the_formats_of_files_and_ssh_keyscan(around: str) -> None:
    assert parse_host_key(around.format(host_key(7))) == host_key(7)


def test_other_types_of_keys_are_accepted() -> None:
    assert parse_host_key(host_key(1, b"ecdsa-sha2-nistp256")) == host_key(1, b"ecdsa-sha2-nistp256")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "contains no key of type"),
        ("SHA256:abcdef", "contains no key of type"),
        ("ssh-dss AAAA", "contains no key of type"),
        ("ssh-ed25519", "is truncated or damaged"),
        ("ssh-ed25519 AAAA", "is truncated or damaged"),
        (host_key(1).replace("ssh-ed25519", "ssh-rsa"), "is truncated or damaged"),
    ],
)
def test_an_invalid_key_is_rejected(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_host_key(text)


def test_a_machine_listed_twice_is_rejected() -> None:
    with pytest.raises(SettingsError, match=r"machines\.1: 192\.0\.2\.1 port 22 is already listed as machines\.0"):
        described(machine(1), machine(1, "boston"))


def test_the_example_settings_are_complete() -> None:
    example = load_settings(DASHBOARDS.parent / "settings.machines.yaml")
    assert len(machine_hosts(example.machines)) == 3


def test_a_gateway_and_a_separate_address_for_the_operator_are_described() -> None:
    gateway = {"address": "gw.example.org", "user": "ada", "host_key": f"{host_key(9)} root@gw"}
    behind, forwarded = described(machine(1, jump=gateway), machine(2, ssh_address="203.0.113.9", port=2207))
    assert behind.jump == Jump(address="gw.example.org", ssh_user="ada", host_key=host_key(9))
    assert (forwarded.login_endpoint, forwarded.endpoint(80)) == ("203.0.113.9:2207", "192.0.2.2:80")
    assert forwarded.peer_ssh_endpoint == "192.0.2.2:22"


def test_a_damaged_host_key_of_a_gateway_is_rejected() -> None:
    with pytest.raises(SettingsError, match=r"machines\.0\.jump\.host_key: 'ssh-ed25519 AAAA' is truncated or damaged"):
        described(machine(1, jump={"address": "gw", "host_key": "ssh-ed25519 AAAA"}))
