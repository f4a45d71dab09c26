"""The emulated Vultr rejects the requests that the real one rejects, before any machine boots."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from fakes.emulators.properties import struct
from fakes.emulators.provider import Cloud, CloudError, Kind, NotReadyError, Provider
from fakes.emulators.vultr_kinds import RULES_PER_GROUP
from fakes.vultr_account import TOKEN, IdleVultr, idle_vultr
from pulumi.runtime.proto import provider_pb2

KEY, GROUP = "vultr:index/sSHKey:SSHKey", "vultr:index/firewallGroup:FirewallGroup"
RULE, SERVER = "vultr:index/firewallRule:FirewallRule", "vultr:index/instance:Instance"
METAL = "vultr:index/bareMetalServer:BareMetalServer"
SSH = {"ipType": "v4", "protocol": "tcp", "port": "22", "subnet": "198.51.100.0", "subnetSize": 24}


class Account:
    """An account with a key and a firewall group."""

    def __init__(self, vultr: IdleVultr) -> None:
        self.vultr = vultr
        self.kinds: dict[str, Kind] = self.vultr.cloud().kinds
        self.key = self.make(KEY, name="key", sshKey="ssh-ed25519 AAAA")
        self.group = self.make(GROUP, description="some")

    def make(self, token: str, **inputs: Any) -> str:
        return self.kinds[token].create(inputs)[0]

    def rule(self, **changed: Any) -> str:
        asked = {"firewallGroupId": self.group, **SSH, **changed}
        return self.make(RULE, **{name: value for name, value in asked.items() if value is not None})

    def server(self, token: str = SERVER, **changed: Any) -> str:
        return self.make(token, **self.inputs(**changed))

    def inputs(self, **changed: Any) -> dict[str, Any]:
        """Return the inputs of a server."""
        usual = {
            "plan": "vc2-1c-1gb",
            "region": "ewr",
            "osId": 2284,
            "label": "a",
            "hostname": "a",
            "sshKeyIds": [self.key],
            "userData": "#cloud-config\n{}\n",
        }
        return usual | changed

    def ask(self, method: str, path: str, token: str = TOKEN) -> int:
        """Send a request to the HTTP API and return the answer's code."""
        headers = {"Authorization": f"Bearer {token}"}
        request = urllib.request.Request(f"{self.vultr.url}{path}", method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code


@pytest.fixture(params=[2025])
def account(request: pytest.FixtureRequest) -> Iterator[Account]:
    with idle_vultr(request.param) as vultr:
        yield Account(vultr)


@pytest.mark.parametrize(
    ("token", "changed", "answer"),
    [
        (SERVER, {"region": "mars"}, "Invalid region mars"),
        (SERVER, {"plan": "vc2-999c"}, "Invalid plan chosen"),
        (SERVER, {"plan": "vbm-4c-32gb"}, "Invalid plan chosen"),
        (METAL, {"plan": "vc2-1c-1gb"}, "Invalid plan chosen"),
        (SERVER, {"osId": 1}, "Invalid os_id"),
        (SERVER, {"sshKeyIds": ["none"]}, "Invalid SSH key"),
        (SERVER, {"firewallGroupId": "none"}, "Invalid firewall group"),
        (SERVER, {"hostname": "a_b"}, "Invalid hostname"),
    ],
)
def test_invalid_servers_are_rejected(account: Account, token: str, changed: Any, answer: str) -> None:
    with pytest.raises(CloudError, match=answer):
        account.server(token, **changed)
    assert account.vultr.machines == {}


def test_identity_of_another_kind_is_rejected(account: Account) -> None:
    with pytest.raises(CloudError, match="Invalid SSH key"):
        account.server(sshKeyIds=[account.group])
    with pytest.raises(CloudError, match="Invalid firewall group"):
        account.server(firewallGroupId=account.key)
    with pytest.raises(CloudError, match="Invalid firewall group"):
        account.rule(firewallGroupId=account.key)
    assert account.kinds[GROUP].read(account.key) is None


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
def test_invalid_rules_are_rejected(account: Account, changed: Any, answer: str) -> None:
    with pytest.raises(CloudError, match=answer):
        account.rule(**changed)
    assert account.vultr.rules(account.group) == []


def test_duplicate_rules_and_more_than_the_limit_are_rejected(account: Account) -> None:
    account.rule(notes="one")
    with pytest.raises(CloudError, match="This rule is already defined"):
        account.rule(notes="another")
    for port in range(1, RULES_PER_GROUP):
        account.rule(port=f"{1000 + port}")
    with pytest.raises(CloudError, match="maximum of 50 rules"):
        account.rule(port="2000")


def test_invalid_public_key_is_rejected(account: Account) -> None:
    with pytest.raises(CloudError, match="Invalid SSH key"):
        account.make(KEY, name="key", sshKey="nonsense")


def test_two_keys_may_share_a_name(account: Account) -> None:
    other = account.make(KEY, name="key", sshKey="ssh-ed25519 BBBB")
    assert other != account.key
    for key, public in ((account.key, "ssh-ed25519 AAAA"), (other, "ssh-ed25519 BBBB")):
        assert account.kinds[KEY].read(key) == {"name": "key", "sshKey": public}


def test_fields_that_require_replacement_cannot_be_updated(account: Account) -> None:
    rule = account.rule()
    with pytest.raises(CloudError, match=r"error updating firewall rule: .*port cannot be changed"):
        account.kinds[RULE].update(rule, {"firewallGroupId": account.group, **SSH, "port": "23"})
    assert [one["port"] for one in account.vultr.rules(account.group)] == ["22"]
    account.kinds[KEY].update(account.key, {"name": "other", "sshKey": "ssh-ed25519 AAAA"})
    assert account.kinds[KEY].read(account.key) == {"name": "other", "sshKey": "ssh-ed25519 AAAA"}
    with pytest.raises(CloudError, match=r"error updating SSH key: .*Invalid SSH key"):
        account.kinds[KEY].update(account.key, {"name": "other", "sshKey": "nonsense"})


@pytest.mark.parametrize(
    ("token", "fixed", "free"),
    [
        (SERVER, {"hostname": "b", "sshKeyIds": [], "userData": "", "osId": 1}, {"label": "b", "tags": ["a=b"]}),
        (METAL, {"hostname": "b", "plan": "vbm-8c-132gb", "enableIpv6": True}, {"label": "b", "tags": ["a=b"]}),
    ],
)
def test_server_fields_are_updated_in_place_where_the_api_allows_it(
    account: Account, token: str, fixed: dict[str, Any], free: dict[str, Any]
) -> None:
    inputs = account.inputs(plan="vbm-4c-32gb" if token == METAL else "vc2-1c-1gb")
    server = account.make(token, **inputs)
    for name, value in fixed.items():
        with pytest.raises(CloudError, match=f"{name} cannot be changed"):
            account.kinds[token].update(server, inputs | {name: value})
    account.kinds[token].update(server, inputs | free)
    assert account.vultr.things[server].properties == inputs | free


def test_wrong_token_is_rejected_at_every_request(account: Account) -> None:
    cloud = account.vultr.cloud()
    cloud.configure({"apiKey": "another"})
    refused = pytest.raises(CloudError, match=r"Invalid API token\.")
    with refused:
        account.make(KEY, name="key", sshKey="ssh-ed25519 AAAA")
    with refused:
        account.kinds[GROUP].delete(account.group)
    with refused:
        cloud.functions["vultr:index/getOs:getOs"]({"filters": [{"name": "name", "values": ["Ubuntu 24.04 LTS x64"]}]})
    cloud.configure({"apiKey": TOKEN})
    account.kinds[GROUP].delete(account.group)


def test_unlisted_plan_has_no_price(account: Account) -> None:
    ask = account.vultr.cloud().functions["vultr:index/getPlan:getPlan"]
    assert ask({"filters": [{"name": "id", "values": ["vc2-1c-1gb"]}]})["monthlyCost"] == 5.0
    with pytest.raises(CloudError, match="no results were found"):
        ask({"filters": [{"name": "id", "values": ["vc2-999c"]}]})


def test_overloaded_api_returns_429_before_authentication(account: Account) -> None:
    account.vultr.api.busy = 2
    asked = [account.ask("GET", f"/instances/{account.key}", token) for token in (TOKEN, "another", TOKEN)]
    assert asked == [429, 429, 404]


def test_api_checks_the_kind_of_server_and_the_token(account: Account) -> None:
    server = account.server(METAL, plan="vbm-4c-32gb")
    assert account.ask("GET", f"/bare-metals/{server}") == 200
    assert account.ask("GET", f"/bare-metals/{account.key}") == 404
    assert account.ask("GET", f"/instances/{server}") == 404
    assert account.ask("POST", f"/bare-metals/{server}/explode") == 404
    assert account.ask("GET", f"/bare-metals/{server}/halt") == 404
    assert account.ask("POST", f"/bare-metals/{server}/halt", token="another") == 401


def diff(account: Account, token: str, before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return the inputs whose change replaces a resource with `before` in its state, as the provider says."""
    provider = Provider(Cloud(account.kinds, {}, lambda _: None))
    request = provider_pb2.DiffRequest(
        urn=f"urn:pulumi:e2e::geobench::{token}::a", old_inputs=struct(after), olds=struct(before), news=struct(after)
    )
    return sorted(provider.Diff(request, None).replaces)


@pytest.mark.parametrize(("account", "replaces"), [(2025, []), (2026, ["source"])], indirect=["account"])
def test_the_provider_replaces_rules_whose_source_the_api_reports(account: Account, replaces: list[str]) -> None:
    asked = {"firewallGroupId": account.group, **SSH, "source": ""}
    _, state = account.kinds[RULE].create(asked)
    assert diff(account, RULE, state, asked) == replaces


@pytest.mark.parametrize("account", [2026], indirect=True)
@pytest.mark.parametrize(("token", "plan"), [(SERVER, "vc2-1c-1gb"), (METAL, "vbm-4c-32gb")])
def test_the_provider_cannot_read_servers_since_vpc_2_has_ended(account: Account, token: str, plan: str) -> None:
    reason = r'error getting list of attached VPCs 2\.0: {"error":"Not found\.","status":404}'
    with pytest.raises(NotReadyError, match=reason):
        account.server(token, plan=plan)
    (server,) = account.vultr.machines
    with pytest.raises(CloudError, match=reason):
        account.kinds[token].read(server)
    assert account.ask("GET", f"/instances/{server}/vpc2") == 404


def test_a_server_can_only_become_larger(account: Account) -> None:
    server = account.server(plan="vc2-4c-8gb")
    assert account.vultr.larger_plans(server) == ["vc2-8c-16gb"]
    with pytest.raises(CloudError, match="not an upgrade of the current one"):
        account.kinds[SERVER].update(server, account.inputs(plan="vc2-1c-1gb"))
    account.kinds[SERVER].update(server, account.inputs(plan="vc2-8c-16gb"))
    assert account.vultr.plan(server) == "vc2-8c-16gb"


def test_more_requests_than_the_rate_limit_are_rejected(account: Account) -> None:
    answers = [account.vultr.api.answer("GET", "/instances", f"Bearer {TOKEN}")[0] for _ in range(32)]
    assert answers == [200] * 30 + [429] * 2
    assert account.vultr.api.throttled == 2
