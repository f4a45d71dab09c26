"""A local testbed belongs to one stack of one checkout."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmark.errors import InfrastructureError
from stacks.local.host.resource import HostProps, LocalHostProvider
from stacks.local.owner import Owner, claim, find_owner, require_owner
from stacks.local.wan.resource import NetworkProps, NetworkProvider


@pytest.fixture
def first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Owner:
    """Return the owner of testbed `t`: stack `dev` of the project `first`, beside which is a project `second`."""
    monkeypatch.setenv("GEOBENCH_STATE_DIR", str(tmp_path / "state"))
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "Pulumi.yaml").touch()
    monkeypatch.chdir(tmp_path / "first")
    owner = Owner.here("dev")
    claim("t", owner)
    return owner


def test_the_owner_may_claim_its_testbed_again(first: Owner) -> None:
    claim("t", first)
    assert find_owner("t") == first


@pytest.mark.parametrize(("folder", "stack"), [("second", "dev"), ("first", "other")], ids=["checkout", "stack"])
def test_another_checkout_or_stack_is_rejected_with_the_owner_and_the_remedy(
    first: Owner, folder: str, stack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path / folder)
    with pytest.raises(InfrastructureError) as caught:
        claim("t", Owner.here(stack))
    text = str(caught.value)
    assert f"belongs to stack dev of {tmp_path / 'first'}" in text
    assert "pulumi config set testbed_id t-2" in text
    assert "pulumi destroy" in text
    assert find_owner("t") == first


def test_a_testbed_whose_checkout_was_deleted_or_moved_can_be_taken_over(first: Owner, tmp_path: Path) -> None:
    (tmp_path / "first").rename(tmp_path / "moved")
    claim("t", Owner("dev", str(tmp_path / "moved")))
    assert find_owner("t") == Owner("dev", str(tmp_path / "moved"))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"stack": 1}', "\x00"])
def test_a_damaged_record_is_nobodys(first: Owner, text: str, tmp_path: Path) -> None:
    (tmp_path / "state/t/network/owner").write_text(text)
    require_owner("t", Owner("any", "/any"))


def test_resources_of_another_checkout_leave_hosts_and_network_untouched(
    first: Owner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copied checkout has the state of the original, but does not own its hosts."""
    monkeypatch.setattr(sys, "tracebacklimit", 1000, raising=False)  # restored after the providers have set it
    monkeypatch.chdir(tmp_path / "second")
    host: HostProps = {"testbed_id": "t", "stack": "dev", "name": "a-0", "state": "running"}  # type: ignore[typeddict-item]
    network: NetworkProps = {"testbed_id": "t", "stack": "dev", "links": '{"rtt_ms": {"a/a": 1}}'}  # type: ignore[typeddict-item]
    disk = tmp_path / "state/t/hosts/a-0/upper"
    disk.mkdir(parents=True)
    for change in (
        lambda: LocalHostProvider().create(host),
        lambda: LocalHostProvider().update("t/a-0", host, host),
        lambda: LocalHostProvider().delete("t/a-0", host),
        lambda: NetworkProvider().create(network),
        lambda: NetworkProvider().update("t", network, network),
        lambda: NetworkProvider().delete("t", network),
    ):
        with pytest.raises(InfrastructureError, match="belongs to stack dev"):
            change()
    assert disk.exists()
    assert find_owner("t") == first
