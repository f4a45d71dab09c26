"""How long hosts live and what state they are in: over a real SSH server whose commands are small files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from factories.hosts import inventory
from fakes.sshd import USER, Sshd

from benchmark.errors import HostError, UsageError
from benchmark.inventory import Host, Inventory
from benchmark.remote.fleet import Fleet
from benchmark.settings import Settings
from benchmark.testbed import bootstrap as first_start
from benchmark.testbed import expiry as lifetime
from benchmark.testbed.bootstrap import Report
from benchmark.testbed.expiry import Condition, answered, check_time_left, conditions, cost, extend, to_dict, when
from benchmark.testbed.testbed import Testbed

NOW = datetime(2026, 1, 1, 6, tzinfo=UTC)  # six hours after the inventory of these tests was created
LATER = NOW + timedelta(hours=2)


def seconds(moment: datetime) -> int:
    return int(moment.timestamp())


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (Report("ready", LATER), Condition("ready", LATER)),
        (Report("booting", LATER), Condition("booting", LATER)),
        (Report(), Condition("booting")),
        (Report("failed: packages; see the log", LATER), Condition("failed", LATER, "packages; see the log")),
        (Report("ready", NOW), Condition("expired", NOW)),
        (Report("ready", LATER, ("no Grafana",)), Condition("ready", LATER, warnings=("no Grafana",))),
    ],
)
def test_what_a_cloud_host_answers(said: Report, expected: Condition) -> None:
    assert answered(said, NOW) == expected


class Rented:
    """Hosts that all are one SSH server; those of clouds answer as `answer` and `geobench-expiry` in `folder` say."""

    def __init__(self, server: Sshd, folder: Path, *hosts: Host) -> None:
        self.file = folder / "expires_at"
        self.hosts = hosts
        self.inventory = inventory(a=1).model_copy(update={"hosts": hosts, "expires_at": LATER})
        self.fleet = Fleet(hosts, USER, server.user_key, timeout=timedelta(seconds=5), retries=0)

    def testbed(self) -> Testbed:
        return Testbed(self.inventory, self.fleet, Settings(regions=("a",)))


def host(server: Sshd, name: str, **fields: object) -> Host:
    return server.host(name).model_copy(update={"provider": "aws", "region": "a", **fields})


@pytest.fixture
def rented(server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rented]:
    """Two hosts of AWS that run, one that is stopped, a machine, and one of Vultr that refuses connections."""
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
    monkeypatch.setattr(lifetime, "_EXPIRY", str(command))
    monkeypatch.setattr(first_start, "FOLDER", str(tmp_path))
    with made.fleet:
        yield made


def test_each_host_has_its_condition(rented: Rented, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("ready\n")
    (tmp_path / "warnings").write_text("Grafana was not installed\n")
    rented.file.write_text(f"{seconds(LATER)}\n")
    found = conditions(rented.testbed(), NOW)
    assert (found["a-0"].warnings, found["m-0"].warnings) == (("Grafana was not installed",), ())
    states = {name: each.state for name, each in found.items()}
    assert states == {"a-0": "ready", "a-1": "ready", "a-2": "stopped", "m-0": "ready", "v-0": "unreachable"}
    assert found["a-0"].expires_at == LATER
    assert found["m-0"].expires_at is None
    assert "refused" in found["v-0"].reason


def test_a_host_that_has_written_nothing_yet_is_booting_and_a_silent_one_past_its_time_has_expired(
    rented: Rented,
) -> None:
    assert conditions(rented.testbed(), NOW)["a-0"] == Condition("booting")
    late = conditions(rented.testbed(), LATER)
    assert (late["v-0"].state, late["m-0"].state, late["a-2"].state) == ("expired", "ready", "expired")


def test_a_host_that_is_stopped_past_its_time_is_overdue_as_it_cannot_end_itself() -> None:
    found = inventory(a=1, stopped=frozenset({"a-0"})).model_copy(update={"expires_at": LATER})
    rented = found.hosts[0].model_copy(update={"provider": "aws"})
    assert lifetime.silent(rented, "it has no address", found, NOW) == Condition("stopped")
    assert lifetime.silent(rented, "it has no address", found, LATER) == Condition("expired", reason="it is stopped")
    assert lifetime.silent(found.hosts[0], "", found, LATER) == Condition("stopped")


def test_a_machine_that_does_not_answer_never_expires(server: Sshd, tmp_path: Path) -> None:
    gone = Rented(server, tmp_path, host(server, "m-0", provider="machines", ssh_port=1))
    with gone.fleet:
        assert conditions(gone.testbed(), LATER + timedelta(days=9))["m-0"].state == "unreachable"


def test_all_that_run_end_together_that_much_later(rented: Rented) -> None:
    rented.file.write_text(f"{seconds(LATER)}\n")
    done = extend(rented.testbed(), timedelta(hours=4), NOW)
    assert done.expires_at == dict.fromkeys(("a-0", "a-1"), LATER + timedelta(hours=4))
    assert rented.file.read_text() == f"{seconds(LATER + timedelta(hours=4))}\n"
    assert set(done.failed) == {"v-0"}


def test_time_that_is_over_is_extended_from_now(rented: Rented) -> None:
    rented.file.write_text("1000\n")
    done = extend(rented.testbed(), timedelta(minutes=30), NOW)
    assert done.expires_at["a-0"] == NOW + timedelta(minutes=30)


def test_nothing_is_extended_where_nothing_ends(server: Sshd, tmp_path: Path) -> None:
    own = Rented(server, tmp_path, host(server, "m-0", provider="machines"))
    with own.fleet:
        assert extend(own.testbed(), timedelta(hours=1), NOW).expires_at == {}


def test_hosts_none_of_which_says_when_it_ends(rented: Rented) -> None:
    with pytest.raises(HostError, match="no host could be extended") as error:
        extend(rented.testbed(), timedelta(hours=1), NOW)
    assert set(error.value.hosts) == {"a-0", "a-1", "v-0"}


def priced(hourly: float | None, expires_at: datetime | None = LATER) -> Inventory:
    return inventory(a=1).model_copy(update={"hourly_cost_usd": hourly, "expires_at": expires_at})


def test_costs_count_from_the_creation_to_now_and_to_the_last_end() -> None:
    spent = cost(priced(2.5), {"a-0": Condition("ready")}, NOW)
    assert (spent.hourly_usd, spent.so_far_usd, spent.until_expiry_usd) == (2.5, 15.0, 20.0)
    extended = {"a-0": Condition("ready", LATER), "a-1": Condition("ready", LATER + timedelta(hours=4))}
    assert cost(priced(2.5), extended, NOW).until_expiry_usd == 30.0


def test_an_unknown_price_is_never_nothing_and_hosts_without_an_end_cost_no_sum() -> None:
    unknown = to_dict({}, cost(priced(None), {}, NOW))
    assert (unknown["hourly_cost_usd"], unknown["cost_so_far_usd"], unknown["cost_until_expiry_usd"]) == (None,) * 3
    free = cost(priced(0.0, None), {}, NOW)
    assert (free.hourly_usd, free.so_far_usd, free.until_expiry_usd) == (0.0, 0.0, None)


def test_the_document_has_states_ends_and_reasons() -> None:
    found = {"a-0": Condition("ready", LATER), "a-1": Condition("unreachable", reason="refused")}
    document = to_dict(found, cost(priced(1.0), found, NOW))
    assert document["hosts"] == {"a-0": "ready", "a-1": "unreachable"}
    assert document["expires_at"] == {"a-0": "2026-01-01T08:00:00+00:00"}
    assert document["reasons"] == {"a-1": "refused"}


def test_a_host_that_lets_nobody_log_in_yet_is_booting() -> None:
    early = "192.0.2.1:22: System is booting up. Unprivileged users are not permitted to log in yet."
    found = inventory(a=1)
    assert lifetime.silent(found.hosts[0], early, found, NOW).state == "booting"
    assert lifetime.silent(found.hosts[0], "192.0.2.1:22: refused", found, NOW).state == "unreachable"


def test_moments_say_how_far_away_they_are() -> None:
    assert when(NOW + timedelta(hours=25, minutes=3), NOW).endswith("(in 25h03m)")
    assert when(NOW - timedelta(minutes=90), NOW).endswith("(1h30m ago)")


def test_runs_that_hosts_outlive_are_none_of_their_business() -> None:
    check_time_left({}, 1e9, NOW)
    check_time_left({"a": LATER + timedelta(days=1), "b": LATER}, 7200, NOW)


@pytest.mark.parametrize(
    ("seconds", "end", "advice"),
    [
        (5 * 3600.0, "at 2026-01-01 08:00 UTC (in 2h00m)", "extend 4h"),
        (7201.0, "at 2026-01-01 08:00 UTC (in 2h00m)", "extend 2h"),
    ],
)
def test_runs_that_last_longer_than_a_host_are_refused(seconds: float, end: str, advice: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"but b ends itself {end}; `python -m benchmark {advice}`")):
        check_time_left({"a": LATER + timedelta(days=1), "b": LATER}, seconds, NOW)


def test_hosts_whose_time_is_over_are_refused_for_any_run() -> None:
    with pytest.raises(UsageError, match=r"at least 0h01m, but b ends itself .* \(2h00m ago\); .*extend 4h"):
        check_time_left({"b": NOW - timedelta(hours=2)}, 60, NOW)
