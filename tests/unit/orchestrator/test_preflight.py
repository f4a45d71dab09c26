"""`check` on hosts that are fakes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from factories.hosts import inventory, of_provider
from fakes.fleet import FakeFleet
from fakes.prometheus import fake_testbed

from benchmark.cli.testbed_status import check_tables
from benchmark.errors import HostError, UsageError
from benchmark.inventory import EmulatedRoundTrip, HostCapabilities
from benchmark.orchestrator.preflight import check_testbed
from benchmark.protocols.base import Protocol
from benchmark.protocols.etcd import Etcd, EtcdClient, EtcdNode
from benchmark.testbed.testbed import Testbed

ETCD = Etcd(EtcdNode(), EtcdClient())


def test_idle_hosts_have_no_problems_and_are_not_changed(testbed: Testbed, fleet: FakeFleet) -> None:
    fleet.clock_offset_s = 0.25
    found = check_testbed(testbed, ETCD, print)
    assert found.problems == {}
    assert set(found.clocks) == set(fleet.hosts)
    assert all(clock.offset_s == pytest.approx(0.25, abs=0.05) for clock in found.clocks.values())
    assert all(session.closed for session in fleet.sessions)
    assert not any("geobench remove" in command for command in fleet.commands)
    document = found.to_dict()["a-1"]
    assert isinstance(document, dict)
    assert (document["free_disk_mb"], document["problem"], document["expires_at"]) == (90000, None, None)


def test_each_problem_of_a_host_is_named(testbed: Testbed, fleet: FakeFleet) -> None:
    fleet.facts = fleet.facts.replace("disk_free_mb 90000", "disk_free_mb 100") + "listening 2379\n"
    found = check_testbed(testbed, ETCD, print)
    assert "port 2379 is in use" in found.problems["a-1"]
    assert "100 MiB of disk space are free" in found.problems["a-1"]
    assert "2379" not in found.problems["a-0"]  # the monitoring host carries no node


def test_a_local_host_with_another_disk_than_that_of_the_settings_has_a_problem(
    testbed: Testbed, fleet: FakeFleet
) -> None:
    fleet.facts = fleet.facts.replace("disk 20GB at geobench", "disk 1GB at geobench, 5MB/s")
    assert check_testbed(testbed, ETCD, print).problems["a-1"] == (
        "its disk is `1GB at geobench, 5MB/s` and that of the settings `20GB at geobench`; run `pulumi up`, or pass "
        "the settings of the hosts with --settings"
    )


def test_a_testbed_on_which_nothing_would_measure_a_run_is_rejected(unlogged: Protocol) -> None:
    testbed, fleet = fake_testbed(inventory(monitoring=False, a=3, b=2))
    with pytest.raises(UsageError, match=r"testbed t has no monitoring host, and the clients of .* write no latency"):
        check_testbed(testbed, unlogged, print)
    assert fleet.operations == []
    assert check_testbed(testbed, ETCD, print).problems == {}


def test_emulated_round_trips_that_are_not_the_requested_ones_are_a_problem(testbed: Testbed) -> None:
    requested = {"a/b": EmulatedRoundTrip(rtt_ms=80), "b/a": EmulatedRoundTrip(rtt_ms=70)}
    object.__setattr__(testbed, "inventory", testbed.inventory.model_copy(update={"round_trips": requested}))
    found = check_testbed(testbed, ETCD, print)
    assert found.problems == {"b-0": "the round trip from b to a is 80.00 ms, requested 70.00 ms"}
    assert (found.rtt_error_ms, found.rtt_ms["a-0"]["b"]) == (10.0, 80.0)


def test_expired_hosts_have_a_problem() -> None:
    found = inventory(a=3, b=2)
    ephemeral = HostCapabilities(ephemeral=True)
    hosts = tuple(of_provider(host, "aws", capabilities=ephemeral) for host in found.hosts)
    testbed, fleet = fake_testbed(found.model_copy(update={"hosts": hosts}))
    end = datetime.now(UTC) - timedelta(hours=1)
    fleet.answers = {"expires_at": f"state ready\nend {end.timestamp():.0f}\n"}
    problems = check_testbed(testbed, ETCD, print).problems
    assert set(problems) == set(fleet.hosts)
    assert "its time to live is over; `geobench extend 4h`" in problems["a-0"]


def test_problems_of_existing_machines_are_included() -> None:
    found = inventory(a=3, b=2)
    hosts = tuple(of_provider(host, "machines") for host in found.hosts)
    testbed, fleet = fake_testbed(found.model_copy(update={"hosts": hosts}))
    fleet.answers = {"-- inspect": "problem it has no apt-get\n"}
    assert check_testbed(testbed, ETCD, print).problems["a-2"] == "it has no apt-get"


def test_a_monitoring_host_that_forwards_no_ports_has_a_problem(testbed: Testbed, fleet: FakeFleet) -> None:
    def refuse(operation: str) -> None:
        if operation == "tunnel":
            raise HostError("cannot open a tunnel to:", {"a-0": "its sshd does not forward ports"})

    fleet.hook = refuse
    assert check_testbed(testbed, ETCD, print).problems == {"a-0": "its sshd does not forward ports"}


def test_output_of_login_shells_is_reported_and_no_problem(testbed: Testbed, fleet: FakeFleet) -> None:
    fleet.preamble = "Welcome [red]\nto a-0\n"
    found = check_testbed(testbed, ETCD, print)
    assert found.problems == {}
    text = "\n".join(each for each in check_tables(found, datetime.now(UTC)) if isinstance(each, str))
    assert "a-0: start-up files of the login shell print 'Welcome \\[red]' before every command; ignored" in text


def test_a_prometheus_that_does_not_answer_is_a_problem_of_the_monitoring_host(
    testbed: Testbed, fleet: FakeFleet
) -> None:
    assert check_testbed(testbed, ETCD, print).problems == {}
    fleet.prometheus_problem = "Prometheus does not answer: reset"
    assert check_testbed(testbed, ETCD, print).problems == {
        "a-0": "Prometheus does not answer: reset; restart it (`geobench ssh a-0`) or the testbed"
    }
    assert fleet.tunnels == 0


def test_a_prometheus_on_an_existing_machine_is_set_up_by_the_next_run() -> None:
    found = inventory(a=3, b=2)
    hosts = tuple(of_provider(host, "machines") for host in found.hosts)
    testbed, fleet = fake_testbed(found.model_copy(update={"hosts": hosts}))
    check_testbed(testbed, ETCD, print)
    assert "check Prometheus" not in fleet.operations


def test_clocks_that_cannot_be_read_are_an_error_and_all_sessions_are_closed(
    testbed: Testbed, fleet: FakeFleet
) -> None:
    fleet.hook = lambda operation: fleet.failed.update({"b-1": "refused"}) if operation == "open" else None
    with pytest.raises(HostError, match="could not read clocks:\n  b-1: refused"):
        check_testbed(testbed, ETCD, print)
    assert fleet.sessions
    assert all(session.closed for session in fleet.sessions)


def test_a_committee_that_is_too_large_is_rejected_before_any_host_is_reached(
    testbed: Testbed, fleet: FakeFleet
) -> None:
    with pytest.raises(UsageError, match="need 10 hosts"):
        check_testbed(testbed, ETCD, print, committee=9)
    assert fleet.operations == []
