"""What `status` and `extend` print, and their exit codes."""

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
from factories.hosts import inventory
from fakes.sshd import Sshd
from rich.console import Console

from benchmark.cli.hosts import costs, shown
from benchmark.inventory import Inventory
from benchmark.testbed.expiry import Cost, HostStatus, State, cost

CREATED = datetime(2026, 1, 1, tzinfo=UTC)
NOW = CREATED + timedelta(hours=6)
LATER = NOW + timedelta(hours=2)


def rented(hourly: float | None = 2.5) -> Inventory:
    found = inventory(a=3, b=2)
    hosts = tuple(host.model_copy(update={"provider": "aws"}) for host in found.hosts)
    return found.model_copy(update={"hosts": hosts, "hourly_cost_usd": hourly, "expires_at": LATER})


def printed(found: dict[str, HostStatus], of: Inventory | None = None) -> str:
    """What a terminal shows, with the escapes that colour it."""
    of = of or rented()
    console = Console(file=io.StringIO(), force_terminal=True, width=200, highlight=False)
    for each in shown(of, found, cost(of, found, NOW), NOW):
        console.print(each, soft_wrap=isinstance(each, str))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def states(*of: State) -> dict[str, HostStatus]:
    return {
        host.name: HostStatus(state, LATER if state == "ready" else None)
        for host, state in zip(rented().hosts, of, strict=True)
    }


def test_each_region_has_its_counts_in_green_and_red() -> None:
    text = printed(states("ready", "ready", "booting", "stopped", "unreachable"))
    assert "testbed t: 5 hosts" in text
    assert "\x1b[32m2 ready\x1b[0m, \x1b[31m1 booting\x1b[0m" in text
    assert "\x1b[31m1 stopped\x1b[0m, \x1b[31m1 unreachable\x1b[0m" in text
    assert "\x1b[31mb-0: stopped\x1b[0m" in text
    assert "a-0:" not in text


def test_the_end_and_the_cost_are_said() -> None:
    text = printed(states(*["ready"] * 5))
    assert "hosts terminate automatically at 2026-01-01 08:00 UTC (in 2h00m)\n" in text
    assert "cost: $2.50 per hour, about $15.00 since 2026-01-01 00:00 UTC, $20.00 in all when the hosts end" in text
    assert "pulumi" not in text


def test_hosts_that_were_made_later_end_later() -> None:
    found = states(*["ready"] * 5) | {"b-1": HostStatus("ready", LATER + timedelta(hours=1))}
    assert "at 2026-01-01 08:00 UTC (in 2h00m), the last at 2026-01-01 09:00 UTC (in 3h00m)" in printed(found)


def test_overdue_hosts_are_red_with_what_to_run() -> None:
    text = printed(states("ready", "expired", "ready", "ready", "ready"))
    assert "\x1b[31ma-1: expired\x1b[0m" in text
    assert "\x1b[31mtheir time is over: `pulumi destroy` removes the testbed" in text
    assert "`pulumi up` then makes it anew" in text
    assert "and the disks that stopped hosts of AWS cost; " in text


def test_a_warning_of_many_hosts_is_said_once() -> None:
    warned = HostStatus("ready", LATER, warnings=("[x] was not installed",))
    text = printed(states(*["ready"] * 5) | dict.fromkeys(("a-0", "a-1", "a-2", "b-0"), warned))
    assert "\x1b[33mwarning: a-0, a-1, a-2 and 1 more: [x] was not installed\x1b[0m" in text


def test_why_a_host_failed_is_said_as_it_is() -> None:
    found = states(*["ready"] * 5) | {"b-1": HostStatus("failed", reason="packages [red]; see the log")}
    assert "b-1: failed (packages [red]; see the log)" in printed(found)


def test_an_unknown_price_is_unknown_and_own_hosts_cost_nothing() -> None:
    assert "cost: \x1b[31munknown\x1b[0m" in printed(states(*["ready"] * 5), rented(None))
    assert "$" not in costs(Cost(None, None, None), CREATED)
    assert costs(Cost(0.0, 0.0, None), CREATED) == "cost: nothing is rented"


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Sshd) -> tuple[str, ...]:
    """The options of a testbed of machines that answer and never end."""
    monkeypatch.chdir(tmp_path)
    hosts = [server.host(name).model_copy(update={"region": name[0]}) for name in ("a-0", "a-1", "b-0")]
    return write(tmp_path, hosts, key=str(server.user_key))


def test_machines_have_no_end_to_extend(options: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert call("extend", "4h", *options) == 0
    assert "its hosts are not rented and never end themselves; nothing to extend" in capsys.readouterr().out
    assert call("extend", "4h", "--json", *options) == 0
    assert json.loads(capsys.readouterr().out) == {"testbed_id": "t", "hosts": {}}


@pytest.mark.parametrize("duration", ["0s", "a while"])
def test_what_is_no_time_extends_nothing(
    options: tuple[str, ...], capsys: pytest.CaptureFixture[str], duration: str
) -> None:
    assert call("extend", duration, *options) == 2
    assert duration in capsys.readouterr().err or duration == "0s"


def test_the_status_as_json(options: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert call("status", "--json", *options) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["testbed_id"], found["hosts"]) == ("t", {"a-0": "ready", "a-1": "ready", "b-0": "ready"})
    assert (found["hourly_cost_usd"], found["cost_so_far_usd"], found["expires_at"]) == (None, None, {})


def test_status_asks_a_host_that_is_lost_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Sshd, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    asked: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as gone:

        def refuse() -> None:
            with suppress(OSError):  # the end
                while True:
                    connection, origin = gone.accept()
                    asked.append(origin)
                    connection.close()

        threading.Thread(target=refuse, daemon=True).start()
        lost = server.host("a-0").model_copy(update={"ssh_port": gone.getsockname()[1]})
        assert call("status", "--json", *write(tmp_path, [lost], key=str(server.user_key))) == 3
        gone.shutdown(socket.SHUT_RDWR)
    assert json.loads(capsys.readouterr().out)["hosts"] == {"a-0": "unreachable"}
    assert len(asked) == 1


def test_lost_hosts_of_a_provider_and_of_the_users_own_need_different_things() -> None:
    lost = states(*["unreachable"] * 5)
    made_anew = "`pulumi up` recreates missing ones"
    assert made_anew in printed(lost)
    owned = rented().model_copy(
        update={"hosts": tuple(host.model_copy(update={"provider": "machines"}) for host in rented().hosts)}
    )
    text = printed(lost, owned)
    assert "Existing machines must be on and admit you: pulumi does not start them" in text
    assert made_anew not in text
