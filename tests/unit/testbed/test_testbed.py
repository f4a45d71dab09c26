"""Dashboards and firewalls of a testbed whose hosts are one real SSH server on loopback."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from factories.hosts import inventory, of_provider
from fakes.sshd import USER, Sshd, free_port

from benchmark.errors import HostError, InfrastructureError, UsageError
from benchmark.host_layout import PROMETHEUS_PORT
from benchmark.inventory import Host, HostCapabilities, HostHelp
from benchmark.remote.fleet import Fleet
from benchmark.settings import Settings
from benchmark.testbed import bootstrap, testbed
from benchmark.testbed.testbed import Testbed, lost_hosts_advice, require_network

OPERATORS = ("203.0.113.0/24",)


@contextmanager
def monitored(server: Sshd, **changes: Any) -> Iterator[Testbed]:
    """A testbed of one host, the monitoring host unless `changes` override it."""
    host = server.host("a-0").model_copy(update={"role": "monitoring", **changes})
    found = inventory(a=1).model_copy(update={"hosts": (host,)})
    with Fleet(found.hosts, USER, server.user_key, timeout=timedelta(seconds=10), retries=0) as fleet:
        yield Testbed(found, fleet, Settings(testbed_id="t", regions=["a"]))


def test_dashboard_url_is_grafana_if_it_is_running(server: Sshd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as grafana, monitored(server) as found:
        grafana.settimeout(10)
        with (
            found.dashboard(grafana.getsockname()[1]) as (what, port),
            socket.create_connection(("127.0.0.1", port), timeout=10) as visitor,
        ):
            visitor.sendall(b"hello")
            grafana.accept()[0].close()  # opening the tunnel tries the port
            answerer, _ = grafana.accept()
            with answerer:
                assert (what, answerer.recv(5)) == ("grafana", b"hello")


def test_dashboard_url_is_prometheus_without_grafana(server: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as prometheus, monitored(server) as found:
        prometheus.settimeout(10)
        monkeypatch.setattr("benchmark.testbed.testbed.PROMETHEUS_PORT", prometheus.getsockname()[1])
        with (
            found.dashboard(free_port()) as (what, port),
            socket.create_connection(("127.0.0.1", port), timeout=10),
        ):
            prometheus.accept()[0].close()
        assert what == "prometheus"


def test_a_testbed_without_monitoring_has_no_dashboard(server: Sshd) -> None:
    with (
        monitored(server, role="instance") as found,
        pytest.raises(UsageError, match="set `monitoring: true`"),
        found.dashboard(PROMETHEUS_PORT),
    ):
        pass


def test_a_stopped_monitoring_host_has_no_dashboard(server: Sshd) -> None:
    with (
        monitored(server, address="", state="stopped") as found,
        pytest.raises(HostError, match="start it with `pulumi up -c state=running`"),
        found.dashboard(PROMETHEUS_PORT),
    ):
        pass


@pytest.fixture
def admitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that gets the input of geobench-peers; all cloud hosts are ready."""
    (tmp_path / "state").write_text("ready\n")
    monkeypatch.setattr(bootstrap, "STATE_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(testbed, "_PEERS", f"tee {tmp_path}/peers")
    return tmp_path / "peers"


def of_hosts(server: Sshd, *hosts: Host, operators: tuple[str, ...] = OPERATORS) -> Testbed:
    found = inventory(a=1).model_copy(update={"hosts": hosts})
    fleet = Fleet(hosts, USER, server.user_key, timeout=timedelta(seconds=5), retries=0)
    return Testbed(found, fleet, Settings(regions=("a",), operator_cidrs=operators))


def rented(server: Sshd, name: str, address: str = "127.0.0.1", port: int = 0) -> Host:
    quick = HostCapabilities(ephemeral=True)
    return of_provider(server.host(name), "aws", address=address, ssh_port=port or server.port, capabilities=quick)


def test_hosts_admit_each_other_the_operators_and_this_machine(server: Sshd, admitted: Path) -> None:
    made = of_hosts(server, rented(server, "a"), rented(server, "b", "localhost"), server.host("m"))
    with made.fleet:
        made.make_ready(print)
    assert (
        admitted.read_text() == "127.0.0.1\n127.0.0.1\noperator 203.0.113.0/24\noperator 127.0.0.1\n"
    )  # names are none


def test_without_operators_in_the_settings_those_of_the_hosts_stay(server: Sshd, admitted: Path) -> None:
    made = of_hosts(server, rented(server, "a"), operators=())
    with made.fleet:
        made.make_ready(print)
    assert admitted.read_text() == "127.0.0.1\n"


def test_the_address_of_a_lost_host_is_no_longer_admitted(server: Sshd, admitted: Path) -> None:
    made = of_hosts(server, rented(server, "a"), rented(server, "b", "127.0.0.9", 1))
    with made.fleet, pytest.raises(HostError, match="cannot reach hosts") as error:
        made.make_ready(print)
    assert set(error.value.hosts) == {"b"}
    assert "127.0.0.9" not in admitted.read_text()
    assert admitted.read_text().startswith("127.0.0.1\n")


def test_firewall_of_a_host_that_failed_to_bootstrap_is_not_changed(server: Sshd, admitted: Path) -> None:
    (admitted.parent / "state").write_text("failed: packages; see /var/log/cloud-init-output.log\n")
    made = of_hosts(server, rented(server, "a"))
    with made.fleet, pytest.raises(HostError, match="failed to bootstrap"):
        made.make_ready(print)
    assert not admitted.exists()


def test_a_firewall_that_cannot_be_changed_is_an_error(
    server: Sshd, admitted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(testbed, "_PEERS", "false")
    made = of_hosts(server, rented(server, "a"))
    with made.fleet, pytest.raises(HostError, match="could not open the firewalls"):
        made.make_ready(print)


def test_firewalls_of_existing_machines_are_not_changed(server: Sshd, admitted: Path) -> None:
    made = of_hosts(server, server.host("m"))
    with made.fleet:
        made.make_ready(print)
        made.connect()
    assert not admitted.exists()


def test_the_advice_about_lost_hosts_depends_on_the_provider(server: Sshd) -> None:
    machine, aws = server.host("m"), rented(server, "a")
    advice = HostHelp(unreachable="See docs/clouds.md")
    vultr = of_provider(aws, "vultr", capabilities=HostCapabilities(help=advice))
    assert "pulumi refresh" not in lost_hosts_advice([machine])
    assert "`pulumi up` recreates missing ones" in lost_hosts_advice([aws])
    assert lost_hosts_advice([vultr, machine, vultr]).startswith("See docs/clouds.md. Existing machines must be on")


@pytest.mark.parametrize(("address", "up"), [("127.0.0.1", True), ("203.0.113.9", False)])
def test_opening_a_testbed_whose_emulated_network_is_down_is_an_error(address: str, up: bool) -> None:
    host = of_provider(inventory(a=1).hosts[0], "local", capabilities=HostCapabilities(through=address))
    found = inventory(a=1).model_copy(update={"hosts": (host,)})
    opening = Testbed.open(found, Settings(testbed_id="t", regions=["a"]), "no key")
    if up:
        require_network(found)
        return
    with pytest.raises(InfrastructureError, match=r"is down \(this machine has no address 203.0.113.9\); `pulumi up`"):
        opening.__enter__()


def test_stop_cleans_the_hosts_that_it_reaches_and_names_the_others(server: Sshd, tmp_path: Path) -> None:
    hosts = tuple(server.host(name) for name in ("a-1", "a-2"))
    lost = server.host("a-0").model_copy(update={"role": "monitoring", "ssh_port": free_port()})
    found = inventory(a=3).model_copy(update={"hosts": (lost, *hosts)})
    settings = Settings(testbed_id="t", regions=["a"], working_dir=str(tmp_path / "work"))
    with Fleet(found.hosts, USER, server.user_key, timeout=timedelta(seconds=10), retries=0) as fleet:
        done = Testbed(found, fleet, settings).stop(force=False)
    assert set(done.ok) == {"a-1", "a-2"}
    assert "connection refused" in done.failed["a-0"]


def test_stop_reaching_no_host_is_an_error(server: Sshd) -> None:
    with monitored(server, ssh_port=free_port()) as found, pytest.raises(HostError, match="cannot reach hosts"):
        found.stop(force=False)
