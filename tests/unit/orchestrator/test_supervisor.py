"""The supervisor with the real script, connected by pipes instead of SSH."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from factories.hosts import inventory
from fakes.fleet import FakeFleet
from fakes.sshd import free_port

from benchmark.errors import HostError, SystemFailure
from benchmark.host_scripts import build_archive
from benchmark.inventory import Host
from benchmark.orchestrator import supervisor
from benchmark.orchestrator.supervisor import Supervisor
from benchmark.protocols.process import Process
from benchmark.testbed import facts as host_facts

HOST, OTHER = inventory(a=2).hosts
DEADLINE_S = 10.0


class Pipe:
    """A session whose remote command runs on this machine."""

    def __init__(self, command: str, folder: Path) -> None:
        self.process = subprocess.Popen(
            ["bash", "-c", command], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        self._rest = b""

    def send(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def read_lines(self) -> list[str]:
        assert self.process.stdout is not None
        *lines, self._rest = (self._rest + (self.process.stdout.read() or b"")).split(b"\n")
        return [line.decode() for line in lines]

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    @property
    def failure(self) -> str | None:
        return None

    def close(self) -> None:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended with input unread
            self.process.stdin.close()


def process(name: str, script: str, *, ready: str = "", grace: int = 1, host: Host = HOST) -> Process:
    return Process(name=name, job="node", host=host, argv=("bash", "-c", script), ready=ready, grace=grace)


@contextmanager
def supervised(folder: Path, processes: Sequence[Process]) -> Iterator[Supervisor]:
    sessions = {}
    for host in {each.host.name for each in processes}:
        (folder / host).mkdir(exist_ok=True)
        for path, content in supervisor.files([p for p in processes if p.host.name == host], "w").items():
            target = folder / host / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        sessions[host] = Pipe(supervisor.command("w"), folder / host)
    found = Supervisor(sessions, processes)
    try:
        yield found
    finally:
        found.stop(DEADLINE_S)
        for session in sessions.values():
            session.process.wait(DEADLINE_S)


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, "condition not met in time"
        time.sleep(0.01)


def run_folder(tmp_path: Path, name: str) -> Path:
    return tmp_path / HOST.name / "w" / "run" / name


def test_processes_of_several_hosts_start_together(tmp_path: Path) -> None:
    processes = [process(f"node-{i}", "exec sleep 60", host=host) for i, host in enumerate((HOST, HOST, OTHER))]
    with supervised(tmp_path, processes) as found:
        clocks = found.measure_clocks(DEADLINE_S)
        assert all(abs(clock.offset_s) <= clock.error_s + 0.001 for clock in clocks.values())
        at = time.time() + 0.3
        found.start(processes, at)
        found.wait_ready(processes, DEADLINE_S)
        assert all((state.started or 0) >= at - 0.001 for state in found.states.values())
        assert found.skew(processes) < 0.2


def test_log_readiness_waits_for_the_pattern(tmp_path: Path) -> None:
    node = process("node-0", "echo starting; read -r line; echo heard $line; exec sleep 60", ready="log ^heard now$")
    with supervised(tmp_path, [node]) as found:
        found.start([node], time.time())
        wait_for(lambda: started(found))
        assert found.states["node-0"].ready is None
        found.send([node], lambda _: "now")
        found.wait_ready([node], DEADLINE_S)


def test_http_readiness_needs_status_2xx(tmp_path: Path) -> None:
    server = (
        "import http.server, sys\n"
        "class H(http.server.BaseHTTPRequestHandler):\n"
        "    count = 0\n"
        "    def do_GET(self):\n"
        "        H.count += 1\n"
        "        self.send_response(503 if H.count < 3 else 200); self.end_headers()\n"
        "server = http.server.HTTPServer(('127.0.0.1', PORT), H); server.serve_forever()\n"
    )
    import socket

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    node = Process(
        name="node-0", job="node", host=HOST, argv=("python3", "-c", server.replace("PORT", str(port))),
        ready=f"http {port} /health", grace=0,
    )  # fmt: skip
    with supervised(tmp_path, [node]) as found:
        found.start([node], time.time())
        found.wait_ready([node], DEADLINE_S)
    log = run_folder(tmp_path, "logs").joinpath("node-0.log").read_text()
    assert log.count("503") == 2
    assert '" 200 ' in log


def test_a_process_that_hangs_no_longer_passes_its_readiness_check(tmp_path: Path) -> None:
    ports = [free_port(), free_port()]
    serve = "exec python3 -m http.server --bind 127.0.0.1 {} >/dev/null 2>&1"
    every = [process(f"node-{i}", serve.format(port), ready=f"http {port} /") for i, port in enumerate(ports)]
    with supervised(tmp_path, every) as made:
        made.start(every, time.time())
        made.wait_ready(every, DEADLINE_S)
        assert made.unresponsive(every) == {}
        pid = int((tmp_path / HOST.name / "w/run/node-1/pid").read_text().split()[0])
        os.killpg(pid, signal.SIGSTOP)
        try:
            assert made.unresponsive(every) == {"node-1": f"its readiness check (http {ports[1]} /) fails"}
        finally:
            os.killpg(pid, signal.SIGCONT)
        assert made.unresponsive(every) == {}


def test_a_host_without_processes_is_watched_and_stopped_like_the_others(tmp_path: Path) -> None:
    watched = Supervisor({"a-0": Pipe(supervisor.WATCH_COMMAND, tmp_path)}, ())
    assert abs(watched.measure_clocks(DEADLINE_S)["a-0"].offset_s) < 1
    assert watched.stop(DEADLINE_S) == []


def test_metric_readiness_needs_a_sample_of_the_metric(tmp_path: Path) -> None:
    script = (
        "import http.server as h, pathlib\n"
        "class H(h.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        more = b'height{a=\"1\"} 1\\n' if pathlib.Path('more').exists() else b''\n"
        "        self.send_response(200); self.end_headers()\n"
        "        self.wfile.write(b'# HELP height\\nheights 2\\n' + more)\n"
        "h.HTTPServer(('127.0.0.1', PORT), H).serve_forever()\n"
    )
    port = free_port()
    script = script.replace("PORT", str(port))
    one = Process("a", "node", HOST, ("python3", "-c", script), ready=f"metric {port} /metrics height", grace=0)
    with supervised(tmp_path, [one]) as found:
        found.start([one], time.time())
        with pytest.raises(SystemFailure, match="not ready"):
            found.wait_ready([one], 0.5)
        run_folder(tmp_path, "a").joinpath("more").touch()
        found.wait_ready([one], DEADLINE_S)


def prepared(tmp_path: Path, script: str) -> tuple[subprocess.CompletedProcess[str], Path]:
    one = Process("a", "node", HOST, ("cat", "key"), prepare=("bash", "-c", script), environment={"SEED": "7"})
    for path, content in supervisor.files([one], "w").items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    command = supervisor.prepare_command([one], "w")
    assert command
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    return done, tmp_path / "w" / "run"


def test_preparation_runs_in_the_folder_and_environment_of_the_process(tmp_path: Path) -> None:
    done, run = prepared(tmp_path, "echo making; echo $SEED >key")
    assert (done.returncode, done.stdout) == (0, "")
    assert (run / "a/key").read_text() == "7\n"
    assert (run / "logs/a.log").read_text() == "making\n"
    assert supervisor.prepare_command([process("b", "true")], "w") is None


def test_failed_preparation_reports_its_last_log_lines(tmp_path: Path) -> None:
    done, _ = prepared(tmp_path, "echo no entropy >&2; exit 3")
    assert (done.returncode, done.stdout) == (1, "a\nno entropy\n")


def test_process_that_ends_is_reported_with_its_exit_code(tmp_path: Path) -> None:
    node = process("node-0", "exit 7")
    with supervised(tmp_path, [node]) as found:
        found.start([node], time.time())
        wait_for(lambda: ended(found))
        with pytest.raises(SystemFailure, match="node-0 on a-0 ended with exit code 7") as error:
            found.check()
        assert error.value.process == "node-0"


def test_process_that_never_becomes_ready_is_reported(tmp_path: Path) -> None:
    node = process("node-0", "exec sleep 60", ready="log never")
    with supervised(tmp_path, [node]) as found:
        found.start([node], time.time())
        with pytest.raises(SystemFailure, match=r"1 of 1 processes not ready .*\n  node-0 on a-0: `log never`"):
            found.wait_ready([node], 0.3)


@pytest.mark.parametrize(
    ("ready", "files", "script", "found"),
    [
        ("tcp PORT", {}, "exec sleep 60", "connection refused"),
        ("http PORT /x", {}, "exec sleep 60", "connection refused"),
        ("http PORT /x", {}, "exec python3 -m http.server PORT", "answered HTTP/1.0 404 File not found"),
        ("metric PORT / up", {}, "exec python3 -m http.server PORT", "the answer has no sample of up"),
        ("metric PORT /x up", {}, "exec python3 -m http.server PORT", "answered HTTP/1.0 404 File not found"),
        ("log ^never$", {}, "echo one; echo two; exec sleep 60", "no line of 2 matches"),
        ("run check", {"check": "echo no quorum; exit 3"}, "exec sleep 60", "exit code 3: no quorum"),
    ],
)
def test_what_a_readiness_check_found_is_reported(
    tmp_path: Path, ready: str, files: dict[str, str | bytes], script: str, found: str
) -> None:
    port = str(free_port())
    argv = ("bash", "-c", script.replace("PORT", port))
    node = Process("node-0", "node", HOST, argv, files=files, ready=ready.replace("PORT", port), grace=0)
    with supervised(tmp_path, [node]) as supervisor_:
        supervisor_.start([node], time.time())
        wait_for(lambda: started(supervisor_))
        if "http.server" in script:
            wait_for(lambda: is_open(int(port)))
        with pytest.raises(SystemFailure) as error:
            supervisor_.wait_ready([node], 0.1)
    assert f"  node-0 on a-0: `{node.ready}`: {found}" in str(error.value)


def is_open(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def test_clients_stop_before_nodes_and_can_write_what_they_have(tmp_path: Path) -> None:
    node = process("node-0", "trap 'echo ended >../ended' TERM; while :; do sleep 0.02; done", grace=0)
    flush = (
        "trap '[[ -e ../ended ]] || sleep 0.1; cp ../node-0/pid ../flushed; exit' TERM; while :; do sleep 0.02; done"
    )
    client = Process("client-0", "client", HOST, ("bash", "-c", flush), grace=5)
    with supervised(tmp_path, [node, client]) as found:
        found.start([node, client], time.time())
        wait_for(lambda: found.check() is None and all(state.started for state in found.states.values()))
        assert found.stop(DEADLINE_S) == []
    assert found.states["client-0"].exit_code == 0
    assert run_folder(tmp_path, "flushed").exists()


def test_stop_kills_the_whole_group_even_if_sigterm_is_ignored(tmp_path: Path) -> None:
    node = process("node-0", "trap '' TERM; sleep 61 & echo $! >child; while :; do sleep 1; done")
    with supervised(tmp_path, [node]) as found:
        found.start([node], time.time())
        child = run_folder(tmp_path, "node-0") / "child"
        wait_for(lambda: child.exists() and child.read_text().strip() != "")
        assert found.stop(DEADLINE_S) == []
        wait_for(lambda: not alive(int(child.read_text())))


def test_all_processes_stop_when_the_connection_to_the_runner_is_lost(tmp_path: Path) -> None:
    node = process("node-0", "echo $$ >own; exec sleep 62", grace=0)
    with supervised(tmp_path, [node]) as found:
        found.start([node], time.time())
        own = run_folder(tmp_path, "node-0") / "own"
        wait_for(lambda: own.exists() and own.read_text().strip() != "")
        found.sessions[HOST.name].close()
        wait_for(lambda: not alive(int(own.read_text())))
        wait_for(lambda: found.sessions[HOST.name].ended)


def test_all_processes_stop_when_nobody_reads_the_answers_any_more(tmp_path: Path) -> None:
    node = process("node-0", "exec sleep 1000")
    with supervised(tmp_path, [node]) as made:
        made.start([node], time.time())
        made.wait_ready([node], DEADLINE_S)
        pid = int((tmp_path / HOST.name / "w/run/node-0/pid").read_text().split()[0])
        pipe = made.sessions[HOST.name]
        assert isinstance(pipe, Pipe)
        assert pipe.process.stdout
        pipe.process.stdout.close()
        pipe.process.stdout = Path("/dev/null").open("rb")  # noqa: SIM115
        pipe.send("ping\n" * 5)  # as an SSH server does that was stopped for a while
        pipe.close()
        assert pipe.process.wait(DEADLINE_S) == 0
        wait_for(lambda: not Path(f"/proc/{pid}").exists())


def test_killed_script_is_reported_and_its_processes_are_cleaned_up(tmp_path: Path) -> None:
    node = process("node-0", "echo $$ >own; exec sleep 64", grace=0)
    with supervised(tmp_path, [node]) as found:
        found.start([node], time.time())
        own = run_folder(tmp_path, "node-0") / "own"
        wait_for(lambda: own.exists() and own.read_text().strip() != "")
        session = found.sessions[HOST.name]
        assert isinstance(session, Pipe)
        pid = int(own.read_text())
        os.killpg(session.process.pid, signal.SIGKILL)
        wait_for(lambda: session.ended)
        with pytest.raises(HostError, match=r"lost the connection to hosts during the run:\n  a-0"):
            found.check()
        command = ["bash", "-c", host_facts.command("w", "remove")]
        done = subprocess.run(
            command, input=host_facts.script(), cwd=tmp_path / HOST.name, capture_output=True, text=True, check=True
        )
        assert host_facts.parse(done.stdout).stale_processes == 1
        assert not alive(pid)


@pytest.mark.parametrize(
    "orders", ["start x 0\nstop\n", "start x 0\n", "start x 0\nstart y 0\nstop\n", "start y 0\nstop\n"]
)
@pytest.mark.parametrize("grace", ["0", "3"])
def test_stop_while_processes_start_ends_them(tmp_path: Path, orders: str, grace: str) -> None:
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "command").write_text("exec sleep 66\n")
        (tmp_path / name / "grace").write_text(f"{grace}\n")
    script = ["bash", str(Path(supervisor.__file__).parents[1] / "host_scripts" / "supervise.sh"), str(tmp_path)]
    began = time.monotonic()
    done = subprocess.run(script, input=orders, capture_output=True, text=True, timeout=DEADLINE_S, check=True)
    assert time.monotonic() - began < 3
    assert done.stdout.splitlines()[-1] == "stopped"
    for path in tmp_path.glob("*/pid"):
        assert not alive(int(path.read_text().split()[0]))


@pytest.mark.parametrize(
    "command", ["exit 3", "exec 0<&-; sleep 60", ""], ids=["ended", "reads nothing", "not started"]
)
def test_a_line_for_a_process_that_does_not_read_it_delays_nothing(tmp_path: Path, command: str) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "command").write_text(f"{command}\n")
    script = ["bash", str(Path(supervisor.__file__).parents[1] / "host_scripts" / "supervise.sh"), str(tmp_path)]
    begun = subprocess.Popen(script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert begun.stdin is not None
    assert begun.stdout is not None
    with begun:
        if command:
            print("start x 0", file=begun.stdin, flush=True)
            assert begun.stdout.readline().startswith("started x ")
        if command == "exit 3":
            assert begun.stdout.readline() == "exited x 3\n"
        print("send x go\nping\nstop", file=begun.stdin, flush=True)
        assert begun.stdout.readline().startswith("pong ")
        assert begun.stdout.read().endswith("stopped\n")


def test_a_process_whose_files_are_missing_has_ended(tmp_path: Path) -> None:
    script = ["bash", str(Path(supervisor.__file__).parents[1] / "host_scripts" / "supervise.sh"), str(tmp_path)]
    done = subprocess.run(script, input="start x 0\n", capture_output=True, text=True, timeout=DEADLINE_S, check=True)
    assert "exited x 127" in done.stdout.splitlines()


def test_a_process_with_spaces_in_its_name_is_stopped(tmp_path: Path) -> None:
    rename = (
        "import ctypes, time; ctypes.CDLL(None).prctl(15, b'a b) S 1'); print('renamed', flush=True); time.sleep(67)"
    )
    node = Process("node-0", "node", HOST, ("python3", "-c", rename), ready="log renamed", grace=1)
    with supervised(tmp_path, [node]) as found:
        found.start([node], time.time())
        found.wait_ready([node], DEADLINE_S)
        pid = int((run_folder(tmp_path, "node-0") / "pid").read_text().split()[0])
        assert found.stop(DEADLINE_S) == []
        assert not alive(pid)


def test_processes_of_a_killed_script_are_killed_by_the_next_connection(tmp_path: Path) -> None:
    node = process("node-0", "setsid -f sleep 68; sleep 69 & exec sleep 70")
    with supervised(tmp_path, [node]) as found:
        found.start([node], time.time())
        wait_for(lambda: started(found))
        session = found.sessions[HOST.name]
        assert isinstance(session, Pipe)
        marked = lambda: ask("count", tmp_path / HOST.name).stale_processes  # noqa: E731
        wait_for(lambda: marked() == 3)  # the script, the node and its daemon
        os.killpg(session.process.pid, signal.SIGKILL)
        wait_for(lambda: session.ended)
        assert found.stop(DEADLINE_S) == [HOST.name]
        assert ask("kill", tmp_path / HOST.name).stale_processes == 2
        assert marked() == 0
        assert (run_folder(tmp_path, "logs") / "node-0.log").exists()


def test_faults_that_a_killed_script_left_are_healed_by_the_next_connection(tmp_path: Path) -> None:
    node = process("node-0", "exec sleep 71")
    with supervised(tmp_path, [node]) as found:
        found.start([node], time.time())
        wait_for(lambda: started(found))
        folder = tmp_path / HOST.name / "w" / "run"
        (folder / "inject.pyz").write_bytes(build_archive("inject"))
        pid, start = (int(word) for word in (folder / "node-0" / "pid").read_text().split())
        (folder / "faults.json").write_text(json.dumps({"f1": [["continue", pid, start]]}))
        ask("count", tmp_path / HOST.name)
        assert (folder / "faults.json").exists()
        assert ask("kill", tmp_path / HOST.name).unhealed == ""
        assert not (folder / "faults.json").exists()
        (folder / "faults.json").write_text("[")  # damaged: what is in force is unknown
        assert "Expecting value" in ask("remove", tmp_path / HOST.name).unhealed
        assert folder.exists()


def ask(leftovers: host_facts.Leftovers, folder: Path) -> host_facts.Facts:
    command = ["bash", "-c", host_facts.command("w", leftovers)]
    done = subprocess.run(command, input=host_facts.script(), cwd=folder, capture_output=True, text=True, check=True)
    return host_facts.parse(done.stdout)


def test_sigterm_to_the_script_stops_its_processes(tmp_path: Path) -> None:
    node = process("node-0", "echo $$ >own; exec sleep 63", grace=0)
    with supervised(tmp_path, [node]) as found:
        found.start([node], time.time())
        own = run_folder(tmp_path, "node-0") / "own"
        wait_for(lambda: own.exists() and own.read_text().strip() != "")
        session = found.sessions[HOST.name]
        assert isinstance(session, Pipe)
        session.process.send_signal(signal.SIGTERM)
        wait_for(lambda: not alive(int(own.read_text())))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def started(found: Supervisor) -> bool:
    found.check()
    return found.states["node-0"].started is not None


def ended(found: Supervisor) -> bool:
    try:
        found.check()
    except SystemFailure:
        return True
    return False


@pytest.fixture
def fake() -> tuple[Supervisor, FakeFleet]:
    """A supervisor of a node on each of two hosts that are fakes."""
    fleet = FakeFleet([HOST, OTHER])
    processes = [process("node-0", "true"), process("node-1", "true", host=OTHER)]
    return Supervisor(fleet.open(supervisor.command("w"), deadline=1).ok, processes), fleet


def test_clock_offset_is_taken_from_the_shortest_round_trip(fake: tuple[Supervisor, FakeFleet]) -> None:
    found, fleet = fake
    offsets = iter([0.5, 0.2, 0.2, 0.2, 0.2] * 2)
    fleet.hook = lambda operation: setattr(fleet, "clock_offset_s", next(offsets)) if operation == "send" else None
    clocks = found.measure_clocks(1.0)
    assert set(clocks) == {HOST.name, OTHER.name}
    assert all(0 <= clock.error_s < 0.1 for clock in clocks.values())
    assert [session.sent for session in fleet.sessions] == [["ping"] * 5] * 2


def test_a_clock_that_does_not_answer_is_an_error(fake: tuple[Supervisor, FakeFleet]) -> None:
    found, fleet = fake
    fleet.mute.add(OTHER.name)
    with pytest.raises(HostError, match="supervisors do not answer:") as error:
        found.measure_clocks(0.01)
    assert error.value.hosts == {OTHER.name: "no answer within 0.01 s"}


def test_hosts_that_do_not_receive_the_stop_are_closed(fake: tuple[Supervisor, FakeFleet]) -> None:
    found, fleet = fake

    def break_pipe(operation: str) -> None:
        if operation == "send":
            raise HostError("could not send input to the command on:", {})

    fleet.hook = break_pipe
    assert found.stop(0.01) == [HOST.name, OTHER.name]
    assert all(session.closed for session in fleet.sessions)


def test_times_are_converted_to_the_operators_clock(fake: tuple[Supervisor, FakeFleet]) -> None:
    found, fleet = fake
    fleet.clock_offset_s = 100.0
    found.measure_clocks(1.0)
    at = time.time()
    found.start(found.processes, at)
    found.wait_ready(found.processes, 1.0)
    assert [float(session.sent[-1].split()[2]) - at for session in fleet.sessions] == pytest.approx(
        [100.0] * 2, abs=0.1
    )
    assert [state.started for state in found.states.values()] == pytest.approx([at] * 2, abs=0.1)
    assert found.skew(found.processes) < 0.1


def test_a_host_that_is_silent_while_processes_start_is_lost_and_not_waited_for(
    fake: tuple[Supervisor, FakeFleet], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_PING_S", 0.01)
    monkeypatch.setattr(supervisor, "_SILENT_S", 0.05)
    found, fleet = fake
    fleet.mute.add(OTHER.name)
    found.start(found.processes, time.time())
    with pytest.raises(
        HostError, match=f"lost hosts while processes started:\n  {OTHER.name}: no answer within"
    ) as lost:
        found.wait_ready(found.processes, DEADLINE_S)
    assert set(lost.value.hosts) == {OTHER.name}
    began = time.monotonic()
    assert found.stop(DEADLINE_S) == [OTHER.name]
    assert time.monotonic() - began < 1
    assert all(session.closed for session in fleet.sessions)


@pytest.mark.parametrize(
    "line",
    ["pong x", "started node-9 1", "ready node-0", "exited node-0 x", "exited node-0 1 2", "", "\x1b[2J", "pong"],
)
def test_lines_that_are_not_of_the_script_are_ignored(fake: tuple[Supervisor, FakeFleet], line: str) -> None:
    found, fleet = fake
    fleet.exits = {HOST.name: [line]}
    found.check()
    assert found.states["node-0"].exit_code is None
