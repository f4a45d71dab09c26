"""When hosts of clouds are taken for set up: over a real SSH server, on which one file says how far they are."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from factories.cloud_init import MONITORING, files
from factories.hosts import inventory
from fakes.sshd import USER, Sshd

from benchmark.errors import HostError
from benchmark.inventory import Host
from benchmark.remote.fleet import Fleet
from benchmark.testbed import bootstrap as first_start
from benchmark.testbed.bootstrap import Report, parse


def hosts(server: Sshd, **providers: str) -> list[Host]:
    return [server.host(name).model_copy(update={"provider": provider}) for name, provider in providers.items()]


def connected(server: Sshd, of: list[Host], told: list[str]) -> tuple[list[str], list[str]]:
    """Who is reached and who is not."""
    with Fleet(of, USER, server.user_key, timeout=timedelta(seconds=5), retries=0) as fleet:
        opened, _ = first_start.connect(fleet, of, told.append)
    return list(opened.ok), list(opened.failed)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which all cloud hosts say how far they are; nothing is in it yet."""
    monkeypatch.setattr(first_start, "FOLDER", str(tmp_path))
    monkeypatch.setattr(first_start, "_POLL_S", 0.05)
    monkeypatch.setattr(first_start, "_ANSWER_S", 0.0)
    return tmp_path / "state"


def test_hosts_that_are_ready_are_not_waited_for(server: Sshd, state: Path) -> None:
    state.write_text("ready\n")
    told: list[str] = []
    assert connected(server, hosts(server, a="aws", v="vultr", m="machines"), told) == (["a", "v", "m"], [])
    assert told == []


def test_other_hosts_have_no_first_start(server: Sshd, state: Path) -> None:
    assert connected(server, hosts(server, m="machines", n="local"), []) == (["m", "n"], [])
    assert not state.exists()


@pytest.mark.parametrize("before", [None, "booting\n"])
def test_hosts_that_boot_are_waited_for_and_named_once(server: Sshd, state: Path, before: str | None) -> None:
    if before:
        state.write_text(before)
    told: list[str] = []
    named = threading.Event()

    def tell(text: str) -> None:
        told.append(text)
        named.set()

    def finish() -> None:
        assert named.wait(10)
        (state.parent / "new").write_text("ready\n")
        (state.parent / "new").rename(state)

    thread = threading.Thread(target=finish)
    thread.start()
    of = hosts(server, **{f"a-{index}": "aws" for index in range(7)}, m="machines")
    with Fleet(of, USER, server.user_key, timeout=timedelta(seconds=5), retries=0) as fleet:
        assert len(first_start.connect(fleet, of, tell)[0].ok) == 8
    thread.join()
    assert told == ["waiting for hosts that still set themselves up: a-0, a-1, a-2, a-3, a-4 and 2 more"]


def test_a_first_start_that_failed_is_said_with_what_to_do(server: Sshd, state: Path) -> None:
    state.write_text("failed: local disk; see journalctl -u geobench-disk\n")
    with pytest.raises(HostError, match="sudo geobench-bootstrap` tries again") as error:
        connected(server, hosts(server, a="aws", m="machines"), [])
    assert error.value.hosts == {"a": "failed: local disk; see journalctl -u geobench-disk"}


def test_a_first_start_without_end_is_said(server: Sshd, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state.write_text("booting\n")
    monkeypatch.setattr(first_start, "_WAIT_S", 0.2)
    with pytest.raises(HostError, match="still setting themselves up") as error:
        connected(server, hosts(server, v="vultr"), [])
    assert error.value.hosts == {"v": "booting"}


def test_a_host_that_does_not_answer_is_named(server: Sshd, state: Path) -> None:
    state.write_text("ready\n")
    lost = hosts(server, a="aws", b="aws")
    lost[1] = lost[1].model_copy(update={"ssh_port": 1})
    assert connected(server, lost, []) == (["a"], ["b"])


def test_a_host_that_was_just_created_has_time_to_answer(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state.write_text("ready\n")
    monkeypatch.setattr(first_start, "_ANSWER_S", 20.0)
    late = Sshd()
    starter = threading.Timer(0.5, late.start)
    with late.cleaned():
        starter.start()
        try:
            assert connected(late, hosts(late, a="aws"), []) == (["a"], [])
        finally:
            starter.join()


def test_machines_that_are_off_are_named_at_once(server: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_start, "_ANSWER_S", 300.0)
    off = [host.model_copy(update={"ssh_port": 1}) for host in hosts(server, m="machines")]
    assert connected(server, off, []) == ([], ["m"])


def test_hosts_are_rented_of_clouds_alone() -> None:
    (host,) = inventory(a=1).hosts
    rented = [first_start.is_rented(host.model_copy(update={"provider": each})) for each in ("aws", "vultr")]
    assert (rented, first_start.is_rented(host)) == ([True, True], False)


@pytest.mark.parametrize("specs", ["m5.metal", "c7g.metal-48xl", "vbm-4c-32gb"])
def test_bare_metal_has_longer_to_answer(
    server: Sshd, state: Path, monkeypatch: pytest.MonkeyPatch, specs: str
) -> None:
    monkeypatch.setattr(first_start, "_WAIT_S", 1.0)
    state.write_text("ready\n")
    first, second, third = hosts(server, a="aws", b="aws", m="machines")
    gone = [each.model_copy(update={"ssh_port": 1, "specs": specs}) for each in (second, third)]
    told: list[str] = []
    assert connected(server, [first, *gone], told) == (["a"], ["b", "m"])
    assert told == ["waiting for bare metal that does not answer yet: b"]


def test_other_hosts_that_do_not_answer_are_not_waited_for(server: Sshd, state: Path) -> None:
    state.write_text("ready\n")
    first, second = hosts(server, a="aws", b="aws")
    assert connected(server, [first, second.model_copy(update={"ssh_port": 1})], []) == (["a"], ["b"])


END = datetime(2026, 1, 1, tzinfo=UTC)
WARNINGS = ("Grafana was not installed", "some kernel settings were refused")


@pytest.fixture
def made(state: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that has the files of a monitoring host which is ready, as they are given to it."""
    given = files(replace(MONITORING, working_dir="my runs", scrape_interval=timedelta(milliseconds=500)))
    for name in ("PARAMETERS", "PROMETHEUS_CONFIG"):
        path = state.parent / name
        path.write_text(given[getattr(first_start, name)])
        monkeypatch.setattr(first_start, name, str(path))
    monkeypatch.setattr(first_start, "LOCAL_DISKS", f"{state.parent}/disk_*")
    state.write_text("ready\n")
    (state.parent / "expires_at").write_text(f"{END.timestamp():.0f}\n")
    (state.parent / "warnings").write_text("".join(f"{warning}\n" for warning in WARNINGS))
    return state.parent


def report(server: Sshd) -> Report:
    of = hosts(server, a="aws", m="machines")
    with Fleet(of, USER, server.user_key, timeout=timedelta(seconds=5), retries=0) as fleet:
        _, reports = first_start.connect(fleet, of, print)
    assert list(reports) == ["a"]
    return reports["a"]


def test_hosts_say_when_they_end_and_what_they_were_made_for(server: Sshd, made: Path) -> None:
    (made / "disk_1").touch()
    expected = Report("ready", END, WARNINGS, local_disk="my runs", scrape_interval_ms=500)
    assert report(server) == expected


def test_hosts_without_a_local_disk_say_nothing_of_it(server: Sshd, made: Path) -> None:
    assert report(server).local_disk is None


def test_hosts_made_without_nvme_say_that_their_disk_is_not_used(server: Sshd, made: Path) -> None:
    (made / "disk_1").touch()
    file = made / "PARAMETERS"
    file.write_text(file.read_text().replace("NVME=yes", "NVME=no"))
    assert report(server).local_disk == ""


def test_what_a_host_has_not_got_is_not_there() -> None:
    assert parse("") == Report("booting", None, (), None, None)
    assert parse("state failed: clock; see the log\nend \n") == Report("failed: clock; see the log")
