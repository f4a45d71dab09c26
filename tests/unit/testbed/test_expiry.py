"""Expiry and state of hosts: over a real SSH server whose commands are small files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from factories.hosts import inventory, of_provider
from fakes.prometheus import fake_testbed
from fakes.sshd import USER, Sshd

from benchmark.errors import HostError, UsageError
from benchmark.inventory import Host, Inventory
from benchmark.remote.fleet import Fleet
from benchmark.settings import Settings
from benchmark.testbed import bootstrap, expiry
from benchmark.testbed.bootstrap import BootstrapStatus
from benchmark.testbed.expiry import (
    HostStatus,
    check_time_left,
    cost,
    extend,
    host_statuses,
    status_from_report,
    status_when_unreachable,
    to_dict,
    when,
)
from benchmark.testbed.testbed import Testbed

NOW = datetime(2026, 1, 1, 6, tzinfo=UTC)  # six hours after the inventory of these tests was created
LATER = NOW + timedelta(hours=2)


def seconds(moment: datetime) -> int:
    return int(moment.timestamp())


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (BootstrapStatus("ready", LATER), HostStatus("ready", LATER)),
        (BootstrapStatus("booting", LATER), HostStatus("booting", LATER)),
        (BootstrapStatus(), HostStatus("booting")),
        (BootstrapStatus("failed: packages; see the log", LATER), HostStatus("failed", LATER, "packages; see the log")),
        (BootstrapStatus("ready", NOW), HostStatus("expired", NOW)),
        (BootstrapStatus("ready", LATER, ("no Grafana",)), HostStatus("ready", LATER, warnings=("no Grafana",))),
    ],
)
def test_status_of_a_cloud_host_is_read_from_the_host(report: BootstrapStatus, expected: HostStatus) -> None:
    assert status_from_report(report, NOW) == expected


def test_a_monitoring_host_whose_prometheus_does_not_answer_is_not_ready() -> None:
    testbed, fleet = fake_testbed(inventory(a=2))
    assert {status.state for status in host_statuses(testbed, NOW).values()} == {"ready"}
    fleet.prometheus_problem = "Prometheus does not answer: reset"
    found = host_statuses(testbed, NOW)
    assert found["a-0"].state == "failed"
    assert found["a-0"].reason.startswith("Prometheus does not answer: reset; restart it (`geobench ssh a-0`)")
    assert found["a-1"].state == "ready"


class Rented:
    """Hosts that are all one SSH server; cloud hosts answer from the files in `folder`."""

    def __init__(self, server: Sshd, folder: Path, *hosts: Host) -> None:
        self.file = folder / "expires_at"
        self.hosts = hosts
        self.inventory = inventory(a=1).model_copy(update={"hosts": hosts, "expires_at": LATER})
        self.fleet = Fleet(hosts, USER, server.user_key, timeout=timedelta(seconds=5), retries=0)

    def testbed(self) -> Testbed:
        return Testbed(self.inventory, self.fleet, Settings(regions=("a",)))


def host(server: Sshd, name: str, **fields: object) -> Host:
    return of_provider(server.host(name), **{"provider": "aws", "region": "a", **fields})


@pytest.fixture
def rented(server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rented]:
    """Two running AWS hosts, a stopped one, a machine, and a Vultr host that refuses connections."""
    made = Rented(
        server,
        tmp_path,
        host(server, "a-0"),
        host(server, "a-1"),
        host(server, "a-2", state="stopped", address=""),
        host(server, "m-0", provider="machines"),
        host(server, "v-0", provider="vultr", ssh_port=1),
    )
    command = tmp_path / "geobench-expiry"
    move = f'echo "$1" >{made.file}.$$ && mv {made.file}.$$ {made.file}'
    command.write_text(f'#!/bin/sh\n[ -z "$1" ] || {{ {move}; }}\ncat {made.file}\n')
    command.chmod(0o755)
    monkeypatch.setattr(expiry, "_EXPIRY", str(command))
    monkeypatch.setattr(bootstrap, "STATE_DIRECTORY", str(tmp_path))
    with made.fleet:
        yield made


def test_each_host_has_a_status(rented: Rented, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("ready\n")
    (tmp_path / "warnings").write_text("Grafana was not installed\n")
    rented.file.write_text(f"{seconds(LATER)}\n")
    found = host_statuses(rented.testbed(), NOW)
    assert (found["a-0"].warnings, found["m-0"].warnings) == (("Grafana was not installed",), ())
    states = {name: each.state for name, each in found.items()}
    assert states == {"a-0": "ready", "a-1": "ready", "a-2": "stopped", "m-0": "ready", "v-0": "unreachable"}
    assert found["a-0"].expires_at == LATER
    assert found["m-0"].expires_at is None
    assert "refused" in found["v-0"].reason


def test_a_host_without_state_is_booting_and_an_unreachable_one_past_its_expiry_has_expired(
    rented: Rented,
) -> None:
    assert host_statuses(rented.testbed(), NOW)["a-0"] == HostStatus("booting")
    late = host_statuses(rented.testbed(), LATER)
    assert (late["v-0"].state, late["m-0"].state, late["a-2"].state) == ("expired", "ready", "expired")


def test_a_host_stopped_past_its_expiry_has_expired_as_it_cannot_terminate() -> None:
    found = inventory(a=1, stopped=frozenset({"a-0"})).model_copy(update={"expires_at": LATER})
    rented = of_provider(found.hosts[0], "aws")
    assert status_when_unreachable(rented, "it has no address", found, NOW) == HostStatus("stopped")
    assert status_when_unreachable(rented, "it has no address", found, LATER) == HostStatus(
        "expired", reason="it is stopped"
    )
    assert status_when_unreachable(found.hosts[0], "", found, LATER) == HostStatus("stopped")


def test_unreachable_machine_never_expires(server: Sshd, tmp_path: Path) -> None:
    gone = Rented(server, tmp_path, host(server, "m-0", provider="machines", ssh_port=1))
    with gone.fleet:
        assert host_statuses(gone.testbed(), LATER + timedelta(days=9))["m-0"].state == "unreachable"


def test_extend_postpones_the_expiry_of_all_running_hosts(rented: Rented) -> None:
    rented.file.write_text(f"{seconds(LATER)}\n")
    done = extend(rented.testbed(), timedelta(hours=4), NOW)
    assert done.expires_at == dict.fromkeys(("a-0", "a-1"), LATER + timedelta(hours=4))
    assert rented.file.read_text() == f"{seconds(LATER + timedelta(hours=4))}\n"
    assert set(done.failed) == {"v-0"}


def test_a_past_expiry_is_extended_from_now(rented: Rented) -> None:
    rented.file.write_text("1000\n")
    done = extend(rented.testbed(), timedelta(minutes=30), NOW)
    assert done.expires_at["a-0"] == NOW + timedelta(minutes=30)


def test_hosts_that_never_expire_are_not_extended(server: Sshd, tmp_path: Path) -> None:
    own = Rented(server, tmp_path, host(server, "m-0", provider="machines"))
    with own.fleet:
        assert extend(own.testbed(), timedelta(hours=1), NOW).expires_at == {}


def test_extend_fails_if_no_host_reports_its_expiry(rented: Rented) -> None:
    with pytest.raises(HostError, match="could not extend any host") as error:
        extend(rented.testbed(), timedelta(hours=1), NOW)
    assert set(error.value.hosts) == {"a-0", "a-1", "v-0"}


def priced(hourly: float | None, expires_at: datetime | None = LATER) -> Inventory:
    return inventory(a=1).model_copy(update={"hourly_cost_usd": hourly, "expires_at": expires_at})


def test_costs_count_from_creation_until_now_and_until_the_last_expiry() -> None:
    spent = cost(priced(2.5), {"a-0": HostStatus("ready")}, NOW)
    assert (spent.hourly_usd, spent.so_far_usd, spent.until_expiry_usd) == (2.5, 15.0, 20.0)
    extended = {"a-0": HostStatus("ready", LATER), "a-1": HostStatus("ready", LATER + timedelta(hours=4))}
    assert cost(priced(2.5), extended, NOW).until_expiry_usd == 30.0


def test_an_unknown_price_is_not_zero_and_hosts_that_never_expire_have_no_total() -> None:
    unknown = to_dict({}, cost(priced(None), {}, NOW))
    assert (unknown["hourly_cost_usd"], unknown["cost_so_far_usd"], unknown["cost_until_expiry_usd"]) == (None,) * 3
    free = cost(priced(0.0, None), {}, NOW)
    assert (free.hourly_usd, free.so_far_usd, free.until_expiry_usd) == (0.0, 0.0, None)


def test_the_json_has_states_expiry_and_reasons() -> None:
    found = {"a-0": HostStatus("ready", LATER), "a-1": HostStatus("unreachable", reason="refused")}
    document = to_dict(found, cost(priced(1.0), found, NOW))
    assert document["hosts"] == {"a-0": "ready", "a-1": "unreachable"}
    assert document["expires_at"] == {"a-0": "2026-01-01T08:00:00+00:00"}
    assert document["reasons"] == {"a-1": "refused"}


def test_a_host_that_rejects_logins_while_booting_is_booting() -> None:
    early = "192.0.2.1:22: System is booting up. Unprivileged users are not permitted to log in yet."
    found = inventory(a=1)
    assert status_when_unreachable(found.hosts[0], early, found, NOW).state == "booting"
    assert status_when_unreachable(found.hosts[0], "192.0.2.1:22: refused", found, NOW).state == "unreachable"


def test_times_are_shown_with_the_time_remaining() -> None:
    assert when(NOW + timedelta(hours=25, minutes=3), NOW).endswith("(in 25h03m)")
    assert when(NOW - timedelta(minutes=90), NOW).endswith("(1h30m ago)")


def test_runs_that_end_before_the_hosts_are_accepted() -> None:
    check_time_left({}, 1e9, NOW)
    check_time_left({"a": LATER + timedelta(days=1), "b": LATER}, 7200, NOW)


@pytest.mark.parametrize(
    ("seconds", "end", "advice"),
    [
        (5 * 3600.0, "at 2026-01-01 08:00 UTC (in 2h00m)", "extend 4h"),
        (7201.0, "at 2026-01-01 08:00 UTC (in 2h00m)", "extend 2h"),
    ],
)
def test_runs_that_last_longer_than_a_host_are_rejected(seconds: float, end: str, advice: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"but b terminates automatically {end}; `geobench {advice}`")):
        check_time_left({"a": LATER + timedelta(days=1), "b": LATER}, seconds, NOW)


def test_any_run_on_an_expired_host_is_rejected() -> None:
    with pytest.raises(
        UsageError, match=r"at least 0h01m, but b terminates automatically .* \(2h00m ago\); .*extend 4h"
    ):
        check_time_left({"b": NOW - timedelta(hours=2)}, 60, NOW)
