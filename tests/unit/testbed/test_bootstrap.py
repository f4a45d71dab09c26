"""Waiting for cloud hosts: over a real SSH server, with one state file for all hosts."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from factories.cloud_init import MONITORING, files
from factories.hosts import of_provider
from fakes.sshd import USER, Sshd

from benchmark.errors import HostError
from benchmark.inventory import Host
from benchmark.remote.fleet import Fleet
from benchmark.testbed import bootstrap
from benchmark.testbed.bootstrap import BootstrapStatus, parse_status


def hosts(server: Sshd, boot_timeout_s: float = 0.0, **providers: str) -> list[Host]:
    """Return hosts by name and provider, all of which may take `boot_timeout_s` to answer."""
    found = [of_provider(server.host(name), provider) for name, provider in providers.items()]
    timeout = {"boot_timeout_s": boot_timeout_s}
    return [host.model_copy(update={"capabilities": host.capabilities.model_copy(update=timeout)}) for host in found]


def connected(server: Sshd, of: list[Host], reported: list[str]) -> tuple[list[str], list[str]]:
    """Return which hosts are reached and which are not."""
    with Fleet(of, USER, server.user_key, timeout=timedelta(seconds=5), retries=0) as fleet:
        opened, _ = bootstrap.connect(fleet, of, reported.append)
    return list(opened.ok), list(opened.failed)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state file of all cloud hosts; it does not exist yet."""
    monkeypatch.setattr(bootstrap, "STATE_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(bootstrap, "_POLL_S", 0.05)
    return tmp_path / "state"


def test_ready_hosts_are_not_waited_for(server: Sshd, state: Path) -> None:
    state.write_text("ready\n")
    reported: list[str] = []
    assert connected(server, hosts(server, a="aws", v="vultr", m="machines"), reported) == (["a", "v", "m"], [])
    assert reported == []


def test_only_cloud_hosts_are_queried_for_their_bootstrap_status(server: Sshd, state: Path) -> None:
    assert connected(server, hosts(server, m="machines", n="local"), []) == (["m", "n"], [])
    assert not state.exists()


@pytest.mark.parametrize("before", [None, "booting\n"])
def test_booting_hosts_are_waited_for_and_reported_once(server: Sshd, state: Path, before: str | None) -> None:
    if before:
        state.write_text(before)
    reported: list[str] = []
    named = threading.Event()

    def report(text: str) -> None:
        reported.append(text)
        named.set()

    def finish() -> None:
        assert named.wait(10)
        (state.parent / "new").write_text("ready\n")
        (state.parent / "new").rename(state)

    thread = threading.Thread(target=finish)
    thread.start()
    of = hosts(server, **{f"a-{index}": "aws" for index in range(7)}, m="machines")
    with Fleet(of, USER, server.user_key, timeout=timedelta(seconds=5), retries=0) as fleet:
        assert len(bootstrap.connect(fleet, of, report)[0].ok) == 8
    thread.join()
    assert reported == ["waiting for hosts to finish bootstrapping: a-0, a-1, a-2, a-3, a-4 and 2 more"]


def test_a_failed_bootstrap_is_an_error_with_the_remedy(server: Sshd, state: Path) -> None:
    state.write_text("failed: local disk; see journalctl -u geobench-disk\n")
    with pytest.raises(HostError, match="sudo geobench-bootstrap` tries again") as error:
        connected(server, hosts(server, a="aws", m="machines"), [])
    assert error.value.hosts == {"a": "failed: local disk; see journalctl -u geobench-disk"}


def test_a_bootstrap_that_never_finishes_is_an_error(
    server: Sshd, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.write_text("booting\n")
    monkeypatch.setattr(bootstrap, "_WAIT_S", 0.2)
    with pytest.raises(HostError, match="have not finished bootstrapping") as error:
        connected(server, hosts(server, v="vultr"), [])
    assert error.value.hosts == {"v": "booting"}


def test_a_host_that_does_not_answer_is_named(server: Sshd, state: Path) -> None:
    state.write_text("ready\n")
    lost = hosts(server, a="aws", b="aws")
    lost[1] = lost[1].model_copy(update={"ssh_port": 1})
    assert connected(server, lost, []) == (["a"], ["b"])


def test_a_new_host_has_time_to_answer(state: Path) -> None:
    state.write_text("ready\n")
    late = Sshd()
    starter = threading.Timer(0.5, late.start)
    with late.cleaned():
        starter.start()
        try:
            assert connected(late, hosts(late, 20.0, a="aws"), []) == (["a"], [])
        finally:
            starter.join()


def test_unreachable_machines_are_reported_immediately(server: Sshd) -> None:
    off = [of_provider(server.host("m"), "machines", ssh_port=1)]
    assert connected(server, off, []) == ([], ["m"])


def test_hosts_with_a_longer_boot_timeout_are_waited_for_and_reported(
    server: Sshd, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "_REPORT_S", 0.5)
    state.write_text("ready\n")
    first, *lost = [*hosts(server, a="aws", m="machines"), *hosts(server, 1.0, b="aws")]
    lost = [host.model_copy(update={"ssh_port": 1}) for host in lost]
    reported: list[str] = []
    assert connected(server, [first, *lost], reported) == (["a"], ["m", "b"])
    assert reported == ["waiting for hosts that do not answer yet: b"]


def test_hosts_that_do_not_answer_are_not_waited_for_twice(server: Sshd, state: Path) -> None:
    state.write_text("ready\n")
    first, second = hosts(server, a="aws", b="aws")
    assert connected(server, [first, second.model_copy(update={"ssh_port": 1})], []) == (["a"], ["b"])


END = datetime(2026, 1, 1, tzinfo=UTC)
WARNINGS = ("Grafana was not installed", "some kernel settings were rejected")


@pytest.fixture
def made(state: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files of a monitoring host that has bootstrapped."""
    given = files(replace(MONITORING, working_dir="my runs", scrape_interval=timedelta(milliseconds=500)))
    for name in ("BOOTSTRAP_PARAMETERS", "PROMETHEUS_CONFIG"):
        path = state.parent / name
        path.write_text(given[getattr(bootstrap, name)])
        monkeypatch.setattr(bootstrap, name, str(path))
    monkeypatch.setattr(bootstrap, "LOCAL_DISKS", f"{state.parent}/disk_*")
    state.write_text("ready\n")
    (state.parent / "expires_at").write_text(f"{END.timestamp():.0f}\n")
    (state.parent / "warnings").write_text("".join(f"{warning}\n" for warning in WARNINGS))
    return state.parent


def status(server: Sshd) -> BootstrapStatus:
    of = hosts(server, a="aws", m="machines")
    with Fleet(of, USER, server.user_key, timeout=timedelta(seconds=5), retries=0) as fleet:
        _, statuses = bootstrap.connect(fleet, of, print)
    assert list(statuses) == ["a"]
    return statuses["a"]


def test_hosts_report_their_expiry_and_the_settings_they_were_created_with(server: Sshd, made: Path) -> None:
    (made / "disk_1").touch()
    expected = BootstrapStatus("ready", END, WARNINGS, local_disk="my runs", scrape_interval_ms=500)
    assert status(server) == expected


def test_hosts_without_a_local_disk_report_no_disk(server: Sshd, made: Path) -> None:
    assert status(server).local_disk is None


def test_hosts_created_without_nvme_report_an_unused_disk(server: Sshd, made: Path) -> None:
    (made / "disk_1").touch()
    file = made / "BOOTSTRAP_PARAMETERS"
    file.write_text(file.read_text().replace("NVME=yes", "NVME=no"))
    assert status(server).local_disk == ""


def test_missing_lines_in_the_state_mean_defaults() -> None:
    assert parse_status("") == BootstrapStatus("booting", None, (), None, None)
    assert parse_status("state failed: clock; see the log\nend \n") == BootstrapStatus("failed: clock; see the log")
