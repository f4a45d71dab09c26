"""Output and exit codes of `status` and `extend`."""

from __future__ import annotations

import io
import json
import socket
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from factories.command_line import call, write
from factories.hosts import inventory, of_provider
from fakes.sshd import Sshd
from rich.console import Console

from benchmark.cli.testbed_status import check_tables, cost_line, status_tables
from benchmark.inventory import Inventory
from benchmark.orchestrator.preflight import Check
from benchmark.orchestrator.supervisor import Clock
from benchmark.testbed.expiry import Cost, HostStatus, State, cost
from benchmark.testbed.facts import Facts

CREATED = datetime(2026, 1, 1, tzinfo=UTC)
NOW = CREATED + timedelta(hours=6)
LATER = NOW + timedelta(hours=2)


def rented(hourly: float | None = 2.5) -> Inventory:
    found = inventory(a=3, b=2)
    hosts = tuple(of_provider(host, "aws") for host in found.hosts)
    return found.model_copy(update={"hosts": hosts, "hourly_cost_usd": hourly, "expires_at": LATER})


def printed(found: dict[str, HostStatus], of: Inventory | None = None) -> str:
    """Return the output of a terminal, with its colour codes."""
    of = of or rented()
    console = Console(file=io.StringIO(), force_terminal=True, width=200, highlight=False)
    for each in status_tables(of, found, cost(of, found, NOW), NOW):
        console.print(each, soft_wrap=isinstance(each, str))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def states(*of: State) -> dict[str, HostStatus]:
    return {
        host.name: HostStatus(state, LATER if state == "ready" else None)
        for host, state in zip(rented().hosts, of, strict=True)
    }


def test_states_of_each_region_are_counted_in_green_and_red() -> None:
    text = printed(states("ready", "ready", "booting", "stopped", "unreachable"))
    assert "testbed t: 5 hosts" in text
    assert "\x1b[32m2 ready\x1b[0m, \x1b[31m1 booting\x1b[0m" in text
    assert "\x1b[31m1 stopped\x1b[0m, \x1b[31m1 unreachable\x1b[0m" in text
    assert "\x1b[31mb-0: stopped\x1b[0m" in text
    assert "a-0:" not in text


def test_expiry_and_cost_are_printed() -> None:
    text = printed(states(*["ready"] * 5))
    assert "hosts terminate automatically at 2026-01-01 08:00 UTC (in 2h00m)\n" in text
    assert "$2.50 per hour, about $15.00 since 2026-01-01 00:00 UTC, $20.00 in total when the hosts terminate" in text
    assert "pulumi" not in text


def test_last_expiry_is_printed_too_if_hosts_differ() -> None:
    found = states(*["ready"] * 5) | {"b-1": HostStatus("ready", LATER + timedelta(hours=1))}
    assert "at 2026-01-01 08:00 UTC (in 2h00m), the last at 2026-01-01 09:00 UTC (in 3h00m)" in printed(found)


def test_expired_hosts_are_red_with_the_commands_to_run() -> None:
    text = printed(states("ready", "expired", "ready", "ready", "ready"))
    assert "\x1b[31ma-1: expired\x1b[0m" in text
    assert "\x1b[31mthe time to live is over: `pulumi destroy` removes the testbed" in text
    assert "(disks of stopped hosts are billed until then)" in text
    assert "and `pulumi up` recreates it; " in text


def test_same_warning_on_many_hosts_is_printed_once() -> None:
    warned = HostStatus("ready", LATER, warnings=("[x] was not installed",))
    text = printed(states(*["ready"] * 5) | dict.fromkeys(("a-0", "a-1", "a-2", "b-0"), warned))
    assert "\x1b[33mwarning: a-0, a-1, a-2 and 1 more: [x] was not installed\x1b[0m" in text


def test_reason_of_a_failed_host_is_printed_unchanged() -> None:
    found = states(*["ready"] * 5) | {"b-1": HostStatus("failed", reason="packages [red]; see the log")}
    assert "b-1: failed (packages [red]; see the log)" in printed(found)


def test_an_unknown_price_is_unknown_and_other_hosts_cost_nothing() -> None:
    assert "cost: \x1b[31munknown\x1b[0m" in printed(states(*["ready"] * 5), rented(None))
    assert "$" not in cost_line(Cost(None, None, None), CREATED)
    assert cost_line(Cost(0.0, 0.0, None), CREATED) == "cost: $0 (no cloud hosts)"


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Sshd) -> tuple[str, ...]:
    """Options for a testbed of reachable machines, which never expire."""
    monkeypatch.chdir(tmp_path)
    hosts = [server.host(name).model_copy(update={"region": name[0]}) for name in ("a-0", "a-1", "b-0")]
    return write(tmp_path, hosts, key=str(server.user_key))


def test_testbed_of_existing_machines_never_expires(
    options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("extend", "4h", *options) == 0
    assert "nothing to extend; only cloud hosts terminate automatically" in capsys.readouterr().out
    assert call("extend", "4h", "--json", *options) == 0
    assert json.loads(capsys.readouterr().out) == {"testbed_id": "t", "hosts": {}}


@pytest.mark.parametrize("duration", ["0s", "a while"])
def test_duration_that_does_not_extend_is_rejected(
    options: tuple[str, ...], capsys: pytest.CaptureFixture[str], duration: str
) -> None:
    assert call("extend", duration, *options) == 2
    assert duration in capsys.readouterr().err


def test_status_is_printed_as_json(options: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert call("status", "--json", *options) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["testbed_id"], found["hosts"]) == ("t", {"a-0": "ready", "a-1": "ready", "b-0": "ready"})
    assert (found["hourly_cost_usd"], found["cost_so_far_usd"], found["expires_at"]) == (None, None, {})


def test_status_tries_to_connect_to_an_unreachable_host_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Sshd, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    attempts: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as gone:

        def refuse() -> None:
            with suppress(OSError):  # closed by the test
                while True:
                    connection, origin = gone.accept()
                    attempts.append(origin)
                    connection.close()

        threading.Thread(target=refuse, daemon=True).start()
        lost = server.host("a-0").model_copy(update={"ssh_port": gone.getsockname()[1]})
        assert call("status", "--json", *write(tmp_path, [lost], key=str(server.user_key))) == 3
        gone.shutdown(socket.SHUT_RDWR)
    assert json.loads(capsys.readouterr().out)["hosts"] == {"a-0": "unreachable"}
    assert len(attempts) == 1


def test_advice_on_unreachable_hosts_depends_on_the_provider() -> None:
    lost = states(*["unreachable"] * 5)
    recreate = "`pulumi up` recreates missing ones"
    assert recreate in printed(lost)
    owned = rented().model_copy(update={"hosts": tuple(of_provider(host, "machines") for host in rented().hosts)})
    text = printed(lost, owned)
    assert "Existing machines must be on and admit you" in text
    assert recreate not in text


def test_check_shows_whole_host_names_one_a_line_in_80_columns() -> None:
    names = [f"ap-northeast-1-{index}" for index in range(12)]
    facts = {name: Facts(memory_free_mb=123456, disk_free_mb=1234567, stale_processes=12) for name in names}
    clocks = {name: Clock(offset_s=-0.12345, error_s=0.00057) for name in names}
    problems = {names[3]: "port 2379 is taken; " * 8}
    found = Check(facts, clocks, problems, {}, None, {})
    console = Console(width=80, record=True, file=io.StringIO())
    for shown in check_tables(found, NOW):
        console.print(shown, soft_wrap=isinstance(shown, str))
    lines = console.export_text().splitlines()
    rows = [line.split() for line in lines if line.startswith("ap-northeast-1-") and ":" not in line]
    assert [row[0] for row in rows] == names
    assert rows[0][1:] == ["-123.45", "±", "0.57", "123456", "1234567", "12", "yes"]
    assert rows[3][-1] == "no"
    assert [line for line in lines if line.startswith(f"{names[3]}: port 2379 is taken")]
    assert max(len(line) for line in lines if ":" not in line) <= 80
