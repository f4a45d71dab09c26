"""Where `grafana` leads, on a testbed whose monitoring host is a real SSH server on loopback."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from hosts import inventory
from sshd import USER, Sshd, free_port

from benchmark.errors import HostError, UsageError
from benchmark.inventory import PROMETHEUS_PORT
from benchmark.remote import Fleet
from benchmark.settings import Settings
from benchmark.testbed import Testbed


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
        monkeypatch.setattr("benchmark.testbed.PROMETHEUS_PORT", prometheus.getsockname()[1])
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
