"""The emulated Vultr refuses what the real one refuses, before any machine boots."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from emulators.machine import Image
from emulators.provider import CloudError, Kind
from emulators.vultr import RULES_PER_GROUP, Vultr

from stacks.local.network import WideAreaNetwork

KEY, GROUP = "vultr:index/sSHKey:SSHKey", "vultr:index/firewallGroup:FirewallGroup"
RULE, SERVER = "vultr:index/firewallRule:FirewallRule", "vultr:index/instance:Instance"
METAL = "vultr:index/bareMetalServer:BareMetalServer"
SSH = {"ipType": "v4", "protocol": "tcp", "port": "22", "subnet": "198.51.100.0", "subnetSize": 24}


class Account:
    """An account with a key and a firewall group."""

    def __init__(self, folder: Path) -> None:
        # No machine boots: what is asked for is refused, or needs none.
        self.vultr = Vultr(folder, cast("Image", None), cast("WideAreaNetwork", None), "T0KEN")
        self.kinds: dict[str, Kind] = self.vultr.cloud().kinds
        self.key = self.make(KEY, name="key", sshKey="ssh-ed25519 AAAA")
        self.group = self.make(GROUP, description="some")

    def make(self, token: str, **inputs: Any) -> str:
        return self.kinds[token].create(inputs)[0]

    def rule(self, **changed: Any) -> str:
        asked = {"firewallGroupId": self.group, **SSH, **changed}
        return self.make(RULE, **{name: value for name, value in asked.items() if value is not None})

    def server(self, token: str = SERVER, **changed: Any) -> str:
        usual = {
            "plan": "vc2-1c-1gb",
            "region": "ewr",
            "osId": 2284,
            "label": "a",
            "hostname": "a",
            "sshKeyIds": [self.key],
            "userData": "#cloud-config\n{}\n",
        }
        return self.make(token, **usual | changed)

    def ask(self, method: str, path: str, token: str = "T0KEN") -> int:
        """Send a request to the HTTP API and return the answer's code."""
        headers = {"Authorization": f"Bearer {token}"}
        request = urllib.request.Request(f"{self.vultr.url}{path}", method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    made = Account(tmp_path)
    yield made
    made.vultr.machines.clear()
    made.vultr.close()


@pytest.mark.parametrize(
    ("token", "changed", "answer"),
    [
        (SERVER, {"region": "mars"}, "Invalid region mars"),
        (SERVER, {"plan": "vc2-999c"}, "Invalid plan vc2-999c"),
        (SERVER, {"plan": "vbm-4c-32gb"}, "Invalid plan vbm-4c-32gb"),
        (METAL, {"plan": "vc2-1c-1gb"}, "Invalid plan vc2-1c-1gb"),
        (SERVER, {"osId": 1}, "Invalid os_id"),
        (SERVER, {"sshKeyIds": ["none"]}, "Invalid SSH key"),
        (SERVER, {"firewallGroupId": "none"}, "Invalid firewall group"),
        (SERVER, {"hostname": "a_b"}, "Invalid hostname"),
    ],
)
def test_a_server_that_cannot_be_is_refused(account: Account, token: str, changed: Any, answer: str) -> None:
    with pytest.raises(CloudError, match=answer):
        account.server(token, **changed)
    assert account.vultr.machines == {}


def test_a_group_is_no_key(account: Account) -> None:
    with pytest.raises(CloudError, match="Invalid SSH key"):
        account.server(sshKeyIds=[account.group])


@pytest.mark.parametrize(
    ("changed", "answer"),
    [
        ({"firewallGroupId": "none"}, "Invalid firewall group"),
        ({"protocol": "tpc"}, "Invalid protocol tpc"),
        ({"port": None}, "Port is required"),
        ({"protocol": "icmp"}, "Port is required for TCP and UDP, and for nothing else"),
        ({"port": "70000"}, "Invalid port"),
        ({"port": "9:8"}, "Invalid port"),
        ({"subnet": "198.51.100.7"}, "Invalid subnet"),
        ({"ipType": "v6"}, "Invalid subnet"),
    ],
)
def test_a_rule_that_means_nothing_is_refused(account: Account, changed: Any, answer: str) -> None:
    with pytest.raises(CloudError, match=answer):
        account.rule(**changed)
    assert account.vultr.rules(account.group) == []


def test_a_rule_that_exists_and_one_too_many_are_refused(account: Account) -> None:
    account.rule(notes="one")
    with pytest.raises(CloudError, match="This rule is already defined"):
        account.rule(notes="another")
    for port in range(1, RULES_PER_GROUP):
        account.rule(port=f"{1000 + port}")
    with pytest.raises(CloudError, match="maximum of 50 rules"):
        account.rule(port="2000")


def test_a_key_is_a_public_key(account: Account) -> None:
    with pytest.raises(CloudError, match="Invalid SSH key"):
        account.make(KEY, name="key", sshKey="nonsense")


def test_the_api_knows_servers_by_their_kind_and_who_asks(account: Account) -> None:
    server = account.vultr.add({"plan": "vbm-4c-32gb"})
    account.vultr.machines[server] = cast("Any", object())
    assert account.ask("GET", f"/bare-metals/{server}") == 200
    assert account.ask("GET", f"/bare-metals/{account.key}") == 404
    assert account.ask("GET", f"/instances/{server}") == 404
    assert account.ask("POST", f"/bare-metals/{server}/explode") == 404
    assert account.ask("GET", f"/bare-metals/{server}/halt") == 404
    assert account.ask("POST", f"/bare-metals/{server}/halt", token="another") == 401
