"""What many tests share: a real SSH server on a loopback port, and a fleet of one host behind it."""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator
from datetime import timedelta

import pytest
from fakes.sshd import USER, Sshd

from benchmark.remote.fleet import Fleet


def pytest_configure() -> None:
    """End tests that are told to end, as by timeout(1), like those that are interrupted: they clean up."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of scripts ignore it
    gc.set_threshold(100_000, 20, 100)  # with the modules of cloud SDKs, collections take a quarter of the time


# The files that take longest, the longest first: what begins last should not end last.
LONGEST = (
    "test_pulumi_machines", "test_pulumi_clouds", "test_accidents", "test_cloud_isolation", "test_each_cloud",
    "test_pulumi_local", "test_cloud_faults", "test_bootstrap_packages", "test_benchmark", "test_vultr_years",
    "test_aws_drift", "test_sweeps", "test_spot_hosts", "test_protocols", "test_artifacts",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest files first; within a file the order stays."""
    ranks = {name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path.stem, len(ranks)))


@pytest.fixture(autouse=True)
def signal_handlers() -> Iterator[None]:
    """Undo what a test changes: the command line replaces the handlers of its process."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def server() -> Iterator[Sshd]:
    with Sshd() as running:
        yield running


@pytest.fixture
def fleet(server: Sshd) -> Iterator[Fleet]:
    hosts = [server.host(f"host-{index}") for index in range(3)]
    with Fleet(hosts, USER, server.user_key, timeout=timedelta(seconds=10), retries=1) as made:
        yield made
