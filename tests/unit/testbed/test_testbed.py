"""A testbed whose hosts are a real SSH server on loopback: the way to its dashboards, and whom hosts let in."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from factories.hosts import inventory
from fakes.sshd import USER, Sshd, free_port

from benchmark.errors import HostError, UsageError
from benchmark.host_layout import PROMETHEUS_PORT
from benchmark.inventory import Host
from benchmark.remote.fleet import Fleet
from benchmark.settings import Settings
from benchmark.testbed import bootstrap as first_start
from benchmark.testbed import testbed
from benchmark.testbed.testbed import Testbed, lost_hosts_advice

OPERATORS = ("203.0.113.0/24",)


@contextmanager
def monitored(server: Sshd, **changes: Any) -> Iterator[Testbed]:
    """A testbed of one host, which is the monitoring host unless `changes` say otherwise."""
    host = server.host("a-0").model_copy(update={"role": "monitoring", **changes})
    found = inventory(a=1).model_copy(update={"hosts": (host,)})
    with Fleet(found.hosts, USER, server.user_key, timeout=timedelta(seconds=10), retries=0) as fleet:
        yield Testbed(found, fleet, Settings(testbed_id="t", regions=["a"]))


def test_dashboards_are_grafanas_where_it_listens(server: Sshd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as grafana, monitored(server) as found:
        grafana.settimeout(10)
        with (
            found.dashboard(grafana.getsockname()[1]) as (what, port),
            socket.create_connection(("127.0.0.1", port), timeout=10) as visitor,
        ):
            visitor.sendall(b"hello")
            answerer, _ = grafana.accept()
            with answerer:
                assert (what, answerer.recv(5)) == ("grafana", b"hello")


def test_dashboards_are_those_of_prometheus_otherwise(server: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as prometheus, monitored(server) as found:
        prometheus.settimeout(10)
        monkeypatch.setattr("benchmark.testbed.testbed.PROMETHEUS_PORT", prometheus.getsockname()[1])
        with (
            found.dashboard(free_port()) as (what, port),
            socket.create_connection(("127.0.0.1", port), timeout=10),
        ):
            prometheus.accept()[0].close()
        assert what == "prometheus"


def test_a_testbed_that_is_not_monitored_has_no_dashboards(server: Sshd) -> None:
    with (
        monitored(server, role="instance") as found,
        pytest.raises(UsageError, match="set `monitoring: true`"),
        found.dashboard(PROMETHEUS_PORT),
    ):
        pass


def test_a_stopped_monitoring_host_has_no_dashboards(server: Sshd) -> None:
    with (
        monitored(server, address="", state="stopped") as found,
        pytest.raises(HostError, match="`pulumi up -c state=running` starts it"),
        found.dashboard(PROMETHEUS_PORT),
    ):
        pass


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that takes what the last cloud host was told; all of them are ready."""
    (tmp_path / "state").write_text("ready\n")
    monkeypatch.setattr(first_start, "FOLDER", str(tmp_path))
    monkeypatch.setattr(first_start, "_ANSWER_S", 0.0)
    monkeypatch.setattr(testbed, "_PEERS", f"tee {tmp_path}/peers")
    return tmp_path / "peers"


def of_hosts(server: Sshd, *hosts: Host, operators: tuple[str, ...] = OPERATORS) -> Testbed:
    found = inventory(a=1).model_copy(update={"hosts": hosts})
    fleet = Fleet(hosts, USER, server.user_key, timeout=timedelta(seconds=5), retries=0)
    return Testbed(found, fleet, Settings(regions=("a",), operator_cidrs=operators))


def rented(server: Sshd, name: str, address: str = "127.0.0.1", port: int = 0) -> Host:
    fields = {"provider": "aws", "address": address, "ssh_port": port or server.port}
    return server.host(name).model_copy(update=fields)


def test_hosts_let_in_each_other_the_operators_and_who_tells_them(server: Sshd, told: Path) -> None:
    made = of_hosts(server, rented(server, "a"), rented(server, "b", "localhost"), server.host("m"))
    with made.fleet:
        made.make_ready(print)
    assert told.read_text() == "127.0.0.1\n127.0.0.1\noperator 203.0.113.0/24\noperator 127.0.0.1\n"  # names are none


def test_who_names_no_operators_changes_none(server: Sshd, told: Path) -> None:
    made = of_hosts(server, rented(server, "a"), operators=())
    with made.fleet:
        made.make_ready(print)
    assert told.read_text() == "127.0.0.1\n"


def test_the_address_of_a_host_that_is_lost_is_let_in_no_longer(server: Sshd, told: Path) -> None:
    made = of_hosts(server, rented(server, "a"), rented(server, "b", "127.0.0.9", 1))
    with made.fleet, pytest.raises(HostError, match="cannot reach hosts") as error:
        made.make_ready(print)
    assert set(error.value.hosts) == {"b"}
    assert "127.0.0.9" not in told.read_text()
    assert told.read_text().startswith("127.0.0.1\n")


def test_a_host_that_is_not_set_up_is_told_nothing(server: Sshd, told: Path) -> None:
    (told.parent / "state").write_text("failed: packages; see /var/log/cloud-init-output.log\n")
    made = of_hosts(server, rented(server, "a"))
    with made.fleet, pytest.raises(HostError, match="could not set themselves up"):
        made.make_ready(print)
    assert not told.exists()


def test_a_firewall_that_cannot_be_told_is_said(server: Sshd, told: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(testbed, "_PEERS", "false")
    made = of_hosts(server, rented(server, "a"))
    with made.fleet, pytest.raises(HostError, match="cannot open the firewalls"):
        made.make_ready(print)


def test_other_hosts_have_firewalls_of_their_own(server: Sshd, told: Path) -> None:
    made = of_hosts(server, server.host("m"))
    with made.fleet:
        made.make_ready(print)
        made.connect()
    assert not told.exists()


def test_what_to_do_about_lost_hosts_depends_on_whose_they_are(server: Sshd) -> None:
    machine, aws = server.host("m"), rented(server, "a")
    vultr = aws.model_copy(update={"provider": "vultr"})
    assert "pulumi refresh" not in lost_hosts_advice([machine])
    assert "`pulumi up` makes missing ones anew" in lost_hosts_advice([aws])
    assert "instance not found" not in lost_hosts_advice([aws])
    assert "`instance not found`, docs/clouds.md has the way out" in lost_hosts_advice([vultr, machine])
