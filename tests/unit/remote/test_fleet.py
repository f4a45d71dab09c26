"""Fleet against real SSH servers on loopback."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from fakes.sshd import USER, Sshd, free_port, make_key
from paramiko import SSHClient

from benchmark.errors import HostError, UsageError
from benchmark.inventory import Jump
from benchmark.remote import connection as connection_module
from benchmark.remote.fleet import File, Fleet, Sessions

SECOND = timedelta(seconds=1)


def alive(pid: int) -> bool:
    """Return whether a process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(") ", 1)[1][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def gone(pid: int, within: float = 10.0) -> bool:
    """Wait until a process has ended; False if it still runs after `within` seconds."""
    ends = time.monotonic() + within
    while alive(pid):
        if time.monotonic() > ends:
            return False
        os.sched_yield()
    return True


def test_runs_the_same_command_on_all_hosts_in_order(fleet: Fleet) -> None:
    done = fleet.run("echo out; echo err >&2", deadline=10).raise_for_failures("echo")
    assert list(done) == ["host-0", "host-1", "host-2"]
    for name, completed in done.items():
        assert (completed.host, completed.stdout, completed.stderr) == (name, "out\n", "err\n")
        assert completed.exit_code == 0
        assert 0 < completed.seconds < 10


def test_runs_a_different_command_on_each_host(fleet: Fleet) -> None:
    done = fleet.run({"host-2": "echo two", "host-0": "echo zero"}, deadline=10).raise_for_failures("echo")
    assert {name: completed.stdout for name, completed in done.items()} == {"host-2": "two\n", "host-0": "zero\n"}


def test_runs_on_the_given_hosts_only(fleet: Fleet) -> None:
    assert list(fleet.run("true", hosts=["host-1"], deadline=10).ok) == ["host-1"]


def test_an_unknown_host_is_an_error_that_lists_the_known_ones(fleet: Fleet) -> None:
    with pytest.raises(UsageError, match=r"no host named 'host-9'; the hosts are: host-0, host-1, host-2"):
        fleet.run({"host-9": "true"}, deadline=10)


def test_reuses_connections(fleet: Fleet) -> None:
    first, second = (
        {name: done.stdout for name, done in fleet.run("echo $SSH_CONNECTION", deadline=10).ok.items()}
        for _ in range(2)
    )
    assert first == second
    assert len(set(first.values())) == 3


def test_keeps_the_results_of_hosts_that_succeeded(fleet: Fleet) -> None:
    results = fleet.run({"host-0": "echo fine", "host-1": "echo broken >&2; exit 3"}, deadline=10)
    assert results.ok["host-0"].stdout == "fine\n"
    assert results.failed == {"host-1": "exit code 3: echo broken >&2; exit 3\n    broken"}
    with pytest.raises(HostError, match="cannot start") as caught:
        results.raise_for_failures("cannot start")
    assert list(caught.value.hosts) == ["host-1"]


def test_an_exit_code_is_a_result_without_check(fleet: Fleet) -> None:
    results = fleet.run("exit 3", deadline=10, check=False)
    assert not results.failed
    assert {done.exit_code for done in results.ok.values()} == {3}


def test_a_signal_is_a_failure_even_without_check(fleet: Fleet) -> None:
    results = fleet.run("kill -KILL $$", hosts=["host-0"], deadline=10, check=False)
    assert results.failed == {"host-0": "ended by a signal: kill -KILL $$"}


def test_a_hanging_host_does_not_delay_others(fleet: Fleet, tmp_path: Path) -> None:
    fleet.connect().raise_for_failures("connect")
    began = time.monotonic()
    results = fleet.run({"host-0": f"echo $$ > {tmp_path}/pid; exec sleep 60", "host-1": "echo fine"}, deadline=0.8)
    assert 0.8 <= time.monotonic() - began < 5
    assert results.ok["host-1"].stdout == "fine\n"
    assert results.failed["host-0"].startswith("no answer within 0.8 s: echo $$ >")
    os.kill(int((tmp_path / "pid").read_text(encoding="utf-8")), 9)
    assert fleet.run("echo again", deadline=10).ok["host-0"].stdout == "again\n"


def test_the_deadline_applies_while_input_is_not_read(fleet: Fleet, tmp_path: Path) -> None:
    command = f"echo $$ > {tmp_path}/pid; exec sleep 60"
    results = fleet.run(command, hosts=["host-0"], deadline=0.8, stdin=bytes(8 << 20))
    assert "no answer within 0.8 s" in results.failed["host-0"]
    os.kill(int((tmp_path / "pid").read_text(encoding="utf-8")), 9)


def test_sends_and_receives_much_data_at_the_same_time(fleet: Fleet) -> None:
    content = os.urandom(8 << 20).hex()
    done = fleet.run("cat; cat /dev/null >&2", hosts=["host-0"], deadline=60, stdin=content).raise_for_failures("cat")
    assert done["host-0"].stdout == content


def test_too_much_output_is_a_failure(fleet: Fleet) -> None:
    results = fleet.run("yes", hosts=["host-0"], deadline=60)
    assert results.failed == {"host-0": "more than 64 MiB of output: yes"}


def test_a_command_that_ignores_its_input_succeeds(fleet: Fleet) -> None:
    assert fleet.run("true", deadline=10, stdin=bytes(1 << 20)).raise_for_failures("true")


def test_a_secret_on_stdin_appears_in_no_command_line(fleet: Fleet) -> None:
    command = (
        "read secret; cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'; echo; echo $secret"
    )
    stdin = {name: f"token-of-{name}-4711\n" for name in fleet.hosts}
    for name, done in fleet.run(command, deadline=30, stdin=stdin).raise_for_failures("read").items():
        *processes, last = done.stdout.splitlines()
        assert last == f"token-of-{name}-4711"
        assert any("sshd" in line for line in processes)
        assert not any(f"token-of-{name}-4711" in line for line in processes)


def test_retries_a_host_that_is_down_then_names_it(server: Sshd) -> None:
    down = server.host("down").model_copy(update={"ssh_port": free_port()})
    with Fleet([down, server.host("up")], USER, server.user_key, timeout=5 * SECOND, retries=1) as fleet:
        began = time.monotonic()
        results = fleet.connect()
        assert time.monotonic() - began >= 0.25
        assert list(results.ok) == ["up"]
        assert results.failed == {"down": f"127.0.0.1:{down.ssh_port}: connection refused"}
        assert "connection refused" in fleet.run("true", deadline=5).failed["down"]


def test_a_retry_reaches_a_host_that_starts_late() -> None:
    late = Sshd()
    starter = threading.Timer(0.5, late.start)
    with late.cleaned(), Fleet([late.host()], USER, late.user_key, timeout=5 * SECOND, retries=6) as fleet:
        starter.start()
        try:
            assert fleet.connect().raise_for_failures("connect") == {"host-0": None}
        finally:
            starter.join()


def test_patience_reaches_a_host_that_starts_after_the_last_retry() -> None:
    late = Sshd()
    timer = threading.Timer(0.7, late.start)
    with late.cleaned(), Fleet([late.host()], USER, late.user_key, timeout=5 * SECOND, retries=0) as fleet:
        timer.start()
        try:
            assert fleet.connect(patience=20).raise_for_failures("connect") == {"host-0": None}
        finally:
            timer.join()


def test_patience_ends_and_does_not_apply_to_rejected_keys(server: Sshd, tmp_path: Path) -> None:
    make_key(tmp_path / "stranger")
    down = server.host("down").model_copy(update={"ssh_port": free_port()})
    began = time.monotonic()
    with Fleet([down], USER, server.user_key, timeout=SECOND, retries=0) as fleet:
        assert list(fleet.connect(patience=0.5).failed) == ["down"]
    assert 0.5 <= time.monotonic() - began < 10
    with Fleet([server.host()], USER, tmp_path / "stranger", timeout=5 * SECOND, retries=0) as fleet:
        assert "was rejected" in fleet.connect(patience=300).failed["host-0"]


def test_reports_and_reopens_a_lost_connection() -> None:
    with Sshd() as server, Fleet([server.host()], USER, server.user_key, timeout=5 * SECOND, retries=5) as fleet:
        sessions = Sessions(fleet.open("cat", deadline=10).raise_for_failures("cat").values())
        server.stop()
        (ended,) = sessions.wait(10)
        assert "the connection was lost" in str(ended.failure)
        assert ended.exit_status is None
        server.start()
        assert fleet.run("echo back", deadline=10).ok["host-0"].stdout == "back\n"


def test_gives_up_on_a_frozen_host_at_the_deadline() -> None:
    with Sshd() as server, Fleet([server.host()], USER, server.user_key, timeout=SECOND, retries=0) as fleet:
        fleet.connect().raise_for_failures("connect")
        server.freeze()
        began = time.monotonic()
        assert fleet.run("true", deadline=0.5).failed == {"host-0": "no answer within 0.5 s: true"}
        assert time.monotonic() - began < 3


def test_opens_many_connections_with_at_most_width_threads(server: Sshd) -> None:
    hosts = [server.host(f"host-{index}") for index in range(50)]
    with Fleet(hosts, USER, server.user_key, timeout=20 * SECOND, retries=1, width=8) as fleet:
        assert len(fleet.connect().raise_for_failures("connect")) == 50
        assert len(fleet.run("true", deadline=30).raise_for_failures("true")) == 50
        assert sum(thread.name.startswith("fleet") for thread in threading.enumerate()) <= 8


def test_runs_all_long_commands_in_parallel_whatever_the_width(server: Sshd, tmp_path: Path) -> None:
    hosts = [server.host(f"host-{index}") for index in range(4)]
    together = f"touch {tmp_path}/$$; until [ $(ls {tmp_path} | wc -l) -eq 4 ]; do sleep 0.01; done"
    with Fleet(hosts, USER, server.user_key, timeout=10 * SECOND, retries=0, width=1) as fleet:
        assert len(fleet.run(together, deadline=20).raise_for_failures("meet")) == 4


def test_put_and_get_round_trip(fleet: Fleet, tmp_path: Path) -> None:
    big = os.urandom((20 << 20) + 17)
    there = {name: tmp_path / "there" / name for name in fleet.hosts}
    files: dict[str, dict[str, bytes | File]] = {
        name: {
            f"{folder}/deep/er/big file": big,
            f"{folder}/run.sh": File(b"#!/bin/sh\necho ran\n", 0o755),
            f"{folder}/secret": File(b"s", 0o600),
            f"{folder}/empty": b"",
        }
        for name, folder in there.items()
    }
    fleet.put(files, deadline=60).raise_for_failures("put")
    for folder in there.values():
        assert (folder / "deep/er/big file").read_bytes() == big
        assert [(folder / name).stat().st_mode & 0o777 for name in ("run.sh", "secret", "empty")] == [
            0o755,
            0o600,
            0o644,
        ]
    got = fleet.get({name: [str(there[name])] for name in there}, tmp_path / "here", deadline=60)
    for name, folder in got.raise_for_failures("get").items():
        assert folder == tmp_path / "here" / name
        assert (folder / name / "deep/er/big file").read_bytes() == big
        assert (folder / name / "run.sh").stat().st_mode & 0o777 == 0o755


def test_put_replaces_a_running_program(fleet: Fleet, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(Path("/bin/cat").read_bytes())
    program.chmod(0o755)
    session = fleet.open(str(program), hosts=["host-0"], deadline=10).ok["host-0"]
    fleet.put({"host-0": {str(program): b"new"}}, deadline=10).raise_for_failures("put")
    assert program.read_bytes() == b"new"
    session.close()


def test_put_reports_why_it_cannot_write(fleet: Fleet) -> None:
    results = fleet.put({"host-0": {"/proc/none/file": b"x"}}, deadline=10)
    assert "/proc/none" in results.failed["host-0"]


def test_get_reports_a_missing_path_and_copies_the_others(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "node.log").write_text("ready\n", encoding="utf-8")
    paths = [str(tmp_path / "node.log"), str(tmp_path / "none.log")]
    results = fleet.get({"host-0": paths}, tmp_path / "logs", deadline=10)
    assert "none.log" in results.failed["host-0"]
    assert (tmp_path / "logs/host-0/node.log").read_text(encoding="utf-8") == "ready\n"


def test_get_stops_at_the_limit(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "zeros").write_bytes(bytes(4 << 20))
    (tmp_path / "noise").write_bytes(os.urandom(4 << 20))
    results = fleet.get(
        {"host-0": [str(tmp_path / "zeros")], "host-1": [str(tmp_path / "noise")]},
        tmp_path / "logs",
        deadline=30,
        limit=1 << 20,
    )
    assert "more than 1 MiB unpacked; ./zeros" in results.failed["host-0"]
    assert "more than 1 MiB of output" in results.failed["host-1"]
    assert not list((tmp_path / "logs").glob("**/noise"))


def test_sessions_start_together_and_end_with_the_fleet(server: Sshd) -> None:
    hosts = [server.host(f"host-{index}") for index in range(8)]
    with Fleet(hosts, USER, server.user_key, timeout=10 * SECOND, retries=0) as fleet:
        opened = fleet.open("echo $$; read go; date +%s%N; exec cat", deadline=10).raise_for_failures("open")
        sessions = Sessions(opened.values())
        for session in opened.values():
            session.send("go\n")
        lines: dict[str, list[str]] = {name: [] for name in opened}
        ends = time.monotonic() + 10
        while min(map(len, lines.values())) < 2 and time.monotonic() < ends:
            sessions.wait(0.05)
            for name, session in opened.items():
                lines[name] += session.read_lines()
        times = [int(seen[1]) for seen in lines.values()]
        assert (max(times) - min(times)) / 1e9 < 0.5
        pids = [int(seen[0]) for seen in lines.values()]
        assert all(map(alive, pids))
    assert all(map(gone, pids))


def test_accepts_a_key_as_text(server: Sshd) -> None:
    text = server.user_key.read_text(encoding="utf-8")
    with Fleet([server.host("only")], USER, text, timeout=10 * SECOND, retries=0) as fleet:
        assert fleet.run("true", deadline=10).raise_for_failures("true")


def test_tunnel_to_a_host_that_is_down_is_an_error(server: Sshd) -> None:
    down = server.host("down").model_copy(update={"ssh_port": free_port()})
    with (
        Fleet([down], USER, server.user_key, timeout=SECOND, retries=0) as fleet,
        pytest.raises(HostError, match="refused"),
        fleet.tunnel("down", 80),
    ):
        pass


def test_close_leaves_no_thread_and_no_connection(server: Sshd) -> None:
    before = set(threading.enumerate())
    fleet = Fleet([server.host()], USER, server.user_key, timeout=5 * SECOND, retries=0)
    pid = int(fleet.run("echo $PPID", deadline=10).ok["host-0"].stdout)
    fleet.close()
    assert gone(pid)
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=5)
        assert not thread.is_alive(), thread


def test_an_interrupt_ends_commands_and_leaves_the_fleet_usable(fleet: Fleet, tmp_path: Path) -> None:
    pid = tmp_path / "pid"

    def interrupt_once_it_runs() -> None:
        ends = time.monotonic() + 10
        while not (pid.exists() and pid.read_text(encoding="utf-8")) and time.monotonic() < ends:
            os.sched_yield()
        os.kill(os.getpid(), signal.SIGINT)

    interrupter = threading.Thread(target=interrupt_once_it_runs)
    interrupter.start()
    began = time.monotonic()
    try:
        # The shell ends when its output can no longer be written.
        with pytest.raises(KeyboardInterrupt):
            fleet.run(f"echo $$ > {pid}; while echo x; do sleep 0.05; done", hosts=["host-0"], deadline=60)
    finally:
        interrupter.join()
    assert time.monotonic() - began < 20
    assert gone(int(pid.read_text(encoding="utf-8")))
    assert fleet.run("true", deadline=10).raise_for_failures("again")


def test_threads_may_share_a_fleet(fleet: Fleet) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda number: fleet.run(f"echo {number}", deadline=20), range(8)))
    for number, results in enumerate(answers):
        assert {done.stdout for done in results.raise_for_failures("echo").values()} == {f"{number}\n"}


def test_reaches_hosts_with_ipv6_addresses() -> None:
    with (
        Sshd(address="::1") as server,
        Fleet([server.host()], USER, server.user_key, timeout=SECOND, retries=0) as fleet,
    ):
        assert fleet.run("echo six", deadline=10).raise_for_failures("echo")["host-0"].stdout == "six\n"


def test_reaches_hosts_through_a_gateway_that_they_share(tmp_path: Path) -> None:
    with Sshd() as server, Sshd(config=f"AuthorizedKeysFile {server.user_key}.pub\nMaxStartups 1\n") as gateway:
        jump = Jump(address="127.0.0.1", ssh_port=gateway.port, host_key=gateway.host_key)
        hosts = [server.host(f"host-{index}").model_copy(update={"jump": jump}) for index in range(3)]
        # The address is that of the other hosts; the operator uses another one.
        hosts = [host.model_copy(update={"address": "192.0.2.9", "ssh_address": "127.0.0.1"}) for host in hosts]
        with Fleet(hosts, USER, server.user_key, timeout=5 * SECOND, retries=0) as fleet:
            done = fleet.run("echo $SSH_CLIENT", deadline=10).raise_for_failures("echo")
            assert len({each.stdout for each in done.values()}) == 3
            gateway.stop()
            assert set(fleet.run("true", deadline=10).failed) == {"host-0", "host-1", "host-2"}


def test_a_connection_that_cannot_send_its_end_is_closed(server: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    close = SSHClient.close

    def close_and_fail(client: SSHClient) -> None:
        close(client)
        raise EOFError  # as paramiko does if the gateway has just gone

    with Fleet([server.host()], USER, server.user_key, timeout=SECOND, retries=0) as fleet:
        fleet.run("true", deadline=10).raise_for_failures("true")
        monkeypatch.setattr(SSHClient, "close", close_and_fail)


def test_a_gateway_that_cannot_be_reached_is_named(server: Sshd) -> None:
    jump = Jump(address="127.0.0.1", ssh_port=free_port(), host_key=server.host_key)
    host = server.host().model_copy(update={"jump": jump})
    with Fleet([host], USER, server.user_key, timeout=SECOND, retries=0) as fleet:
        assert fleet.connect().failed == {"host-0": f"its gateway 127.0.0.1:{jump.ssh_port}: connection refused"}


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("AllowTcpForwarding no\n", "(Administratively prohibited); set `AllowTcpForwarding yes` in its sshd_config"),
        ("", "(Connect failed); is the address right?"),
    ],
)
def test_a_gateway_that_does_not_connect_says_why(server: Sshd, setting: str, reason: str) -> None:
    with Sshd(config=f"AuthorizedKeysFile {server.user_key}.pub\n{setting}") as gateway:
        jump = Jump(address="127.0.0.1", ssh_port=gateway.port, host_key=gateway.host_key)
        host = server.host().model_copy(update={"jump": jump, "ssh_port": free_port()})
        with Fleet([host], USER, server.user_key, timeout=5 * SECOND, retries=0) as fleet:
            assert fleet.connect().failed == {
                "host-0": f"127.0.0.1:{host.ssh_port} through 127.0.0.1: its gateway did not connect to it {reason}"
            }


@pytest.mark.parametrize("setting", ["AllowTcpForwarding no", "PermitOpen none", "DisableForwarding yes"])
def test_an_sshd_that_forwards_no_ports_is_named_when_the_tunnel_is_opened(setting: str) -> None:
    with (
        Sshd(config=f"{setting}\n") as server,
        Fleet([server.host()], USER, server.user_key, timeout=5 * SECOND, retries=0) as fleet,
        pytest.raises(HostError, match=r"host-0: its sshd does not forward ports \(.*\); set `AllowTcpForwarding yes`"),
        fleet.tunnel("host-0", 80),
    ):
        pass


def test_a_host_that_does_not_answer_costs_one_timeout(server: Sshd) -> None:
    with Sshd() as frozen, Fleet([frozen.host()], USER, frozen.user_key, timeout=SECOND, retries=5) as fleet:
        frozen.freeze()
        began = time.monotonic()
        assert "no answer within 1 s" in fleet.connect().failed["host-0"]
        assert "no answer within 1 s" in fleet.run("true", deadline=20).failed["host-0"]
        assert time.monotonic() - began < 1.9


def test_a_host_whose_server_hangs_is_not_waited_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "_REQUEST_AFTER", 1)
    monkeypatch.setattr(connection_module, "_LOST_AFTER", 2)
    with Sshd() as hung, Fleet([hung.host()], USER, hung.user_key, timeout=3 * SECOND, retries=0) as fleet:
        (session,) = fleet.open("cat", deadline=10).raise_for_failures("open").values()
        hung.freeze()
        assert Sessions([session]).wait(10) == [session]
        began = time.monotonic()
        for _ in range(3):
            assert fleet.run("true", deadline=20).failed == {"host-0": "its SSH server has not answered for 2 s"}
        assert time.monotonic() - began < 1
        assert "no answer within 3 s" in fleet.connect().failed["host-0"]
        hung.thaw()
        fleet.connect().raise_for_failures("connect")
        fleet.run("true", deadline=20).raise_for_failures("run")


def test_a_host_lost_at_any_moment_is_an_error_of_the_infrastructure(tmp_path: Path) -> None:
    """Every operation on a host whose server has gone is a failure by host, or HostError."""
    with Sshd() as server, Fleet([server.host()], USER, server.user_key, timeout=SECOND, retries=0) as fleet:
        session = fleet.open("cat", deadline=10).raise_for_failures("open")["host-0"]
        with fleet.tunnel("host-0", 80):
            server.stop()
            assert Sessions([session]).wait(10) == [session]
            with pytest.raises(
                HostError, match="could not send input to the command on:\n  host-0: the connection was"
            ):
                session.send("x\n")
            session.finish_input()
            session.close()
            assert session.ended
            assert set(fleet.run("true", deadline=5).failed) == {"host-0"}
            assert set(fleet.put({"host-0": {"x": b""}}, deadline=5).failed) == {"host-0"}
            assert set(fleet.get(["x"], tmp_path, deadline=5).failed) == {"host-0"}
            assert set(fleet.open("true", deadline=5).failed) == {"host-0"}
            with pytest.raises(HostError, match="cannot open a tunnel to:\n  host-0"), fleet.tunnel("host-0", 80):
                pass
