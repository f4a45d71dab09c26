"""Vultr servers as resources: their life on an emulated account, and what an interrupted update leaves."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from fakes.vultr_account import IdleVultr

from benchmark.errors import InfrastructureError
from stacks.vultr.api import UnclearError
from stacks.vultr.server import UNCONFIRMED, VultrCensusProvider, VultrServerProvider

PLANS = {"instances": "vc2-4c-8gb", "bare-metals": "vbm-4c-32gb"}
both_years = pytest.mark.parametrize("vultr", [2025, 2026], indirect=True)
both_kinds = pytest.mark.parametrize("kind", ["instances", "bare-metals"])


def order(vultr: IdleVultr, token: Path, kind: str = "instances", **changed: Any) -> dict[str, Any]:
    """Return the properties of a server, with a key and a firewall group in the account."""
    metal = kind == "bare-metals"
    usual = {
        "kind": kind,
        "token_file": str(token),
        "plan": PLANS[kind],
        "region": "ewr",
        "os_id": 2284.0,  # numbers come from Pulumi as floats
        "hostname": "ewr-0",
        "label": "bed-ewr-0",
        "tags": ["testbed_id=bed", "role=instance"],
        "user_data": "#cloud-config\nkey: 0\n",
        "ssh_key_ids": [vultr.add("SSHKey", {"sshKey": "ssh-ed25519 AAAA"})],
        "firewall_group_id": "" if metal else vultr.add("FirewallGroup", {}),
    }
    return usual | changed


def create(props: dict[str, Any]) -> str:
    return str(VultrServerProvider().create(props).id)


def outputs(props: dict[str, Any]) -> dict[str, Any]:
    """Return the properties in the state, which has a digest of the first-boot script."""
    digest = hashlib.sha256(props["user_data"].encode()).hexdigest()
    return props | {"user_data": f"sha256:{digest}"}


def census(props: dict[str, Any], *servers: str) -> list[str]:
    """Take the census of a stack that has these servers; return the strays."""
    asked = {"servers": [*servers], "kind": props["kind"], "testbed_id": "bed", "token_file": props["token_file"]}
    outs = VultrCensusProvider().create(asked).outs
    assert outs is not None
    return list(outs["strays"])


def orders(vultr: IdleVultr) -> int:
    return sum(request.startswith("POST /instances") for request in vultr.api.requests)


@both_years
@both_kinds
def test_a_server_is_ordered_read_changed_and_deleted(vultr: IdleVultr, token: Path, kind: str) -> None:
    provider, props = VultrServerProvider(), order(vultr, token, kind)
    server = create(props)
    known = vultr.things[server].properties
    assert (known["plan"], known["region"], known["osId"]) == (PLANS[kind], "ewr", 2284)
    assert (known["label"], known["hostname"], known["userData"]) == ("bed-ewr-0", "ewr-0", props["user_data"])
    found = provider.read(server, props)
    assert (found.id, found.outs) == (server, outputs(props))
    assert provider.diff(server, found.outs, props).changes is False
    changed = props | {"label": "other", "tags": ["testbed_id=bed"]}
    assert provider.diff(server, props, changed).replaces == []
    assert provider.update(server, found.outs, changed).outs == outputs(changed)
    assert provider.read(server, outputs(changed)).outs == outputs(changed)
    provider.delete(server, changed)
    assert provider.read(server, changed).id is None
    assert vultr.machines == {}
    provider.delete(server, changed)  # it is gone: nothing to do


def test_a_server_is_imported_from_its_id_and_inputs(vultr: IdleVultr, token: Path) -> None:
    props = order(vultr, token)
    server = create(props)
    found = VultrServerProvider().read(server, props | {"label": "unknown", "plan": "vc2-1c-1gb"})
    assert found.outs == outputs(props)


def test_a_refresh_detects_changes_made_elsewhere(vultr: IdleVultr, token: Path) -> None:
    props = order(vultr, token)
    server = create(props)
    vultr.put(server, vultr.things[server].properties | {"label": "renamed", "tags": ["a=b"], "plan": "vc2-8c-16gb"})
    outs = VultrServerProvider().read(server, props).outs
    assert (outs["label"], outs["tags"], outs["plan"]) == ("renamed", ["a=b"], "vc2-8c-16gb")
    assert VultrServerProvider().diff(server, outs, props | {"plan": "vc2-8c-16gb"}).replaces == []


def test_tags_have_no_order(vultr: IdleVultr, token: Path) -> None:
    props = order(vultr, token, tags=["z=1", "a=2"])
    server = create(props)
    assert VultrServerProvider().read(server, props).outs["tags"] == ["z=1", "a=2"]


@pytest.mark.parametrize("name", ["region", "os_id", "hostname", "ssh_key_ids", "user_data", "kind"])
def test_what_the_api_cannot_change_replaces_a_server(vultr: IdleVultr, token: Path, name: str) -> None:
    props = order(vultr, token)
    assert VultrServerProvider().diff("a", props, props | {name: "other"}).replaces == [name]


def test_a_larger_plan_is_an_upgrade_in_place(vultr: IdleVultr, token: Path) -> None:
    props = order(vultr, token, plan="vc2-1c-1gb")
    server, larger = create(props), props | {"plan": "vc2-8c-16gb"}
    assert VultrServerProvider().diff(server, props, larger).replaces == []
    VultrServerProvider().update(server, props, larger)
    assert vultr.plan(server) == "vc2-8c-16gb"


@pytest.mark.parametrize(
    ("before", "after", "possible"),
    [
        ("vc2-4c-8gb", "vc2-1c-1gb", "only to one of vc2-8c-16gb; "),
        ("vc2-8c-16gb", "vc2-4c-8gb", "only to none, as it is the largest; "),
        ("vc2-4c-8gb", "vc2-999c", "only to one of vc2-8c-16gb; "),
    ],
)
def test_a_smaller_plan_is_rejected_before_anything_is_changed(
    vultr: IdleVultr, token: Path, before: str, after: str, possible: str
) -> None:
    props = order(vultr, token, plan=before)
    server = create(props)
    message = f"specs: Vultr cannot change bed-ewr-0 from {before} to {after}, {possible}`pulumi destroy` and"
    with pytest.raises(InfrastructureError, match=message):
        VultrServerProvider().diff(server, props, props | {"plan": after})
    assert not [request for request in vultr.api.requests if request.startswith("PATCH")]


def test_another_plan_replaces_bare_metal(vultr: IdleVultr, token: Path) -> None:
    props = order(vultr, token, "bare-metals")
    assert VultrServerProvider().diff("a", props, props | {"plan": "vbm-8c"}).replaces == ["plan"]


def test_a_deleted_server_cannot_be_changed(vultr: IdleVultr, token: Path) -> None:
    props = order(vultr, token)
    with pytest.raises(InfrastructureError, match="no server gone any more; `pulumi up --refresh` replaces it"):
        VultrServerProvider().update("gone", props, props | {"label": "b"})


def test_a_rejected_order_leaves_nothing(vultr: IdleVultr, token: Path) -> None:
    props = order(vultr, token)
    vultr.faults["bed-ewr-0"] = "capacity"
    with pytest.raises(InfrastructureError, match="is not available in the selected location; try again"):
        create(props)
    assert vultr.machines == {}


@both_kinds
def test_a_server_of_an_interrupted_update_is_adopted(vultr: IdleVultr, token: Path, kind: str) -> None:
    props = order(vultr, token, kind)
    left = create(props)  # and Pulumi is killed before it has written that into the state
    new_group = {} if kind == "bare-metals" else {"firewall_group_id": vultr.add("FirewallGroup", {})}
    again = props | new_group | {"tags": ["testbed_id=bed", "role=instance", "expiry=later"]}
    forget_listing()
    assert create(again) == left
    assert len(vultr.machines) == 1
    assert VultrServerProvider().read(left, again).outs == outputs(again)
    assert UNCONFIRMED in vultr.things[left].properties["tags"]


def forget_listing() -> None:
    """Do what a new process does."""
    from stacks.vultr import server

    server._listings.clear()


@pytest.mark.parametrize("changed", [{"user_data": "#cloud-config\nkey: 1\n"}, {"plan": "vc2-1c-1gb"}, {"label": "b"}])
def test_a_server_that_differs_from_the_order_is_not_adopted(
    vultr: IdleVultr, token: Path, changed: dict[str, str]
) -> None:
    props = order(vultr, token)
    left = create(props)
    forget_listing()
    made = create(props | changed)
    assert made != left
    (stray,) = census(props, made)
    assert stray.startswith(f"vultr {left} (bed-ewr-0, ewr, 198.18.0.")


def test_a_server_that_the_state_has_is_not_adopted(vultr: IdleVultr, token: Path) -> None:
    """A server that is replaced exists beside its replacement, with the same label and first-boot script."""
    props = order(vultr, token)
    former = create(props)
    assert census(props, former) == []
    forget_listing()
    assert create(props) != former


def test_an_adopted_server_that_was_deleted_meanwhile_is_ordered_again(vultr: IdleVultr, token: Path) -> None:
    props = order(vultr, token)
    left = create(props)
    forget_listing()
    create(props | {"label": "other"})  # lists the servers
    VultrServerProvider().delete(left, props)
    assert create(props) not in ("", left)


def test_an_order_whose_answer_is_lost_is_carried_out_once(vultr: IdleVultr, token: Path) -> None:
    vultr.api.silent = 1
    server = create(order(vultr, token))
    assert [*vultr.machines] == [server]
    assert orders(vultr) == 1


def test_orders_whose_answers_are_lost_are_not_repeated_for_ever(
    vultr: IdleVultr, token: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = vultr.api.answer

    def deaf(method: str, address: str, *rest: Any) -> Any:
        return (503, {"error": "no"}) if method == "POST" else answer(method, address, *rest)

    monkeypatch.setattr(vultr.api, "answer", deaf)
    with pytest.raises(UnclearError, match="503 no; try again"):
        create(order(vultr, token))


def test_servers_are_listed_once_for_all_orders_of_an_update(vultr: IdleVultr, token: Path) -> None:
    props = order(vultr, token)
    for number in range(3):
        create(props | {"label": f"bed-ewr-{number}"})
    assert len([request for request in vultr.api.requests if request.startswith("GET /instances?")]) == 1


def test_census_confirms_the_servers_of_the_stack(vultr: IdleVultr, token: Path) -> None:
    props = order(vultr, token)
    servers = [create(props | {"label": f"bed-ewr-{number}"}) for number in range(3)]
    foreign = create(props | {"label": "bed2-ewr-0", "tags": ["testbed_id=bed2"]})
    assert census(props, *servers) == []
    assert not [server for server in servers if UNCONFIRMED in vultr.things[server].properties["tags"]]
    assert UNCONFIRMED in vultr.things[foreign].properties["tags"]
    asked = {"servers": servers, "kind": "instances", "testbed_id": "bed", "token_file": str(token)}
    assert VultrCensusProvider().diff("bed", asked | {"strays": []}, asked).changes is False


def test_a_stray_that_was_removed_changes_the_census(vultr: IdleVultr, token: Path) -> None:
    props = order(vultr, token)
    left = create(props)
    asked = {"servers": [], "kind": "instances", "testbed_id": "bed", "token_file": str(token)}
    outs = VultrCensusProvider().create(asked).outs
    assert VultrCensusProvider().diff("bed", outs, asked).changes is False
    VultrServerProvider().delete(left, props)
    assert VultrCensusProvider().diff("bed", outs, asked).changes is True
    assert VultrCensusProvider().update("bed", outs, asked).outs["strays"] == []
