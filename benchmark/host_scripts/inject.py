"""Injects and heals faults on one host: `python3 -I -S inject.py serve|heal RUN_DIRECTORY MARK [SSH_CONNECTION…]`.

`serve` reads orders from standard input, JSON objects with `do` and `id`, and answers each with one line of JSON:
`check` (with `packets`: whether packets are to be dropped), `prepare` (with `mechanisms`, a list of objects whose
`kind` is crash, end, pause or drop, as the classes of these names describe), `inject` (with `deadline_s`), `prove`,
`prove_held`, `heal`, `prove_healed` (with `cut`, addresses that other faults cut off). An answer repeats `do` and `id`
and has `began` and `at` (Unix times of this host's clock), `ok` and `text`, which is the proof or the problem. A fault
is healed on order, when its deadline has passed, and with all others when the input ends, because the runner is gone,
or at SIGTERM. What is to be undone is in the file `faults.json` before it is done: `heal` undoes that, also after this
script was killed.
MARK distinguishes the runs' packet filters; SSH_CONNECTION is that of the operator, which no fault affects.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

STATE, OWN_PID = Path("faults.json"), Path("injector.pid")
PRIORITY = -350
"""Of the hooks: before connection tracking and any firewall, which may accept established connections."""
PROBE_S = 1.0
ENOUGH_PACKETS = 200
"""Packets after which the share that was lost is compared with the requested one."""
SIGMAS = 5
COMMAND_S = 10


class ProblemError(Exception):
    """A fault cannot be injected, proved or healed."""


def read_stat(pid: int | str) -> tuple[str, int, int] | None:
    """Return the state, process group and start time of a process; None if there is none."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return words[0], int(words[2]), int(words[19])


def members(group: int) -> dict[int, str]:
    """Return the states of the processes of a group by pid; those that are only waited for do not count."""
    found = {}
    for name in os.listdir("/proc"):  # noqa: PTH208  # many processes: paths take longer to make
        if name.isdecimal() and (stat := read_stat(name)) and stat[1] == group and stat[0] not in "ZX":
            found[int(name)] = stat[0]
    return found


def read_group(name: str) -> tuple[int, int]:
    """Return the process group of a process of the run and its leader's start time, in clock ticks since boot."""
    try:
        group, start = (int(word) for word in Path(name, "pid").read_text().split())
    except (OSError, ValueError):
        raise ProblemError(f"{name} has not started") from None
    return group, start


def send_signal(group: int, start: int, number: int) -> None:
    """Signal a process group, unless its number belongs to another one by now."""
    stat = read_stat(group)
    if stat is None or stat[2] == start:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, number)


class Processes:
    """A fault of processes: `{"processes": [NAME…], "again": BOOL}`, whether they run again once it is healed."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.names = [str(name) for name in order["processes"]]
        self.again = bool(order["again"])
        self.groups: dict[str, tuple[int, int]] = {}

    def prepare(self) -> None:
        """Require that the processes run."""
        for name in self.names:
            group, start = read_group(name)
            stat = read_stat(group)
            if stat is None or stat[2] != start:
                raise ProblemError(f"{name} does not run")

    def find(self) -> None:
        """Find the process groups; they differ from those of `prepare` after a restart."""
        self.prepare()
        self.groups = {name: read_group(name) for name in self.names}


class Crash(Processes):
    """Kill the process groups; the runner starts them again."""

    def undo(self) -> list[list[Any]]:
        """Return what is to be undone."""
        return []

    def inject(self) -> None:
        """Kill at once."""
        for group, start in self.groups.values():
            send_signal(group, start, signal.SIGKILL)

    def prove(self) -> tuple[bool, str]:
        """Return whether all processes are gone, and how that was seen."""
        left = {name: members(group) for name, (group, _) in self.groups.items()}
        if any(left.values()):
            return False, ", ".join(f"{name}: pid {min(pids)} still runs" for name, pids in left.items() if pids)
        return True, ", ".join(f"{name}: pid {group} gone" for name, (group, _) in self.groups.items())

    def prove_held(self) -> tuple[bool, str]:
        """Return whether they still are gone."""
        return self.prove()

    def heal(self) -> None:
        """Do nothing: the runner starts the processes."""

    def prove_healed(self, cut: Sequence[str] = ()) -> tuple[bool, str]:
        """Return whether other processes run under the same names, if they are to, and how that was seen."""
        if not self.again:
            return self.prove()
        texts = []
        for name, (former, former_start) in self.groups.items():
            group, start = read_group(name)
            stat = read_stat(group)
            if stat is None or stat[2] != start or start <= former_start:
                return False, f"{name}: not started again"
            later = (start - former_start) / os.sysconf("SC_CLK_TCK")
            texts.append(f"{name}: pid {group} started {later:.2f} s after pid {former}")
        return True, ", ".join(texts)


class End(Crash):
    """Prove that process groups have ended, which the runner ends."""

    def inject(self) -> None:
        """Do nothing: the runner ends and starts the processes."""


class Pause(Processes):
    """Stop the process groups with SIGSTOP, and continue them."""

    def undo(self) -> list[list[Any]]:
        """Return what is to be undone."""
        return [["continue", *group] for group in self.groups.values()]

    def inject(self) -> None:
        """Stop all processes."""
        for group, start in self.groups.values():
            send_signal(group, start, signal.SIGSTOP)

    def prove(self) -> tuple[bool, str]:
        """Return whether all processes of the groups are stopped, and how that was seen."""
        return self._states(lambda state: state in "Tt", "stopped")

    def prove_held(self) -> tuple[bool, str]:
        """Return whether they still are stopped."""
        return self.prove()

    def heal(self) -> None:
        """Continue all processes."""
        for group, start in self.groups.values():
            send_signal(group, start, signal.SIGCONT)

    def prove_healed(self, cut: Sequence[str] = ()) -> tuple[bool, str]:
        """Return whether no process of the groups is stopped, and how that was seen."""
        return self._states(lambda state: state not in "Tt", "continued")

    def _states(self, wanted: Callable[[str], bool], word: str) -> tuple[bool, str]:
        texts = []
        for name, (group, _) in self.groups.items():
            states = members(group)
            count = f"{len(states)} process{'' if len(states) == 1 else 'es'}"
            text = f"{name}: {count} in state {''.join(sorted(set(states.values())))}"
            if not states:
                return False, f"{name}: no process left"
            if not all(wanted(state) for state in states.values()):
                return False, f"{text}, not all {word}"
            texts.append(text)
        return True, ", ".join(texts)


class Drop:
    """Drop packets: `{"table": NAME, "peers": [{"address", "port", "in", "out"}…], "share": 1.0, "spare": […]}`.

    `in` and `out` say whether packets from and to the peer are dropped, `share` is the probability of each packet; at
    `port` the peer answers or rejects connections.
    """

    def __init__(self, order: dict[str, Any], table: str, spared: tuple[str, int] | None) -> None:
        self.table, self.spared = table, spared
        self.peers, self.share = order["peers"], float(order["share"])
        self.reachable: set[str] = set()

    def prepare(self) -> None:
        """Require that peers can be reached; those that another fault cuts off already prove nothing."""
        self.reachable = {peer["address"] for peer in self.peers} - self._unreachable()
        if not self.reachable:
            raise ProblemError("no other host answers, so a cut cannot be proved")

    def find(self) -> None:
        """Do nothing."""

    def undo(self) -> list[list[Any]]:
        """Return what is to be undone."""
        return [["table", self.table]]

    def inject(self) -> None:
        """Load a table of this fault's own, which is dropped whole."""
        lines = [f"table inet {self.table} {{"]
        for hook, side, own in (("input", "saddr", "d"), ("output", "daddr", "s")):
            lines.append(f" chain {hook} {{ type filter hook {hook} priority {PRIORITY}; policy accept;")
            if self.spared:
                client, port = self.spared
                lines.append(f"  {family(client)} {side} {client} tcp {own}port {port} accept")
            for peer in self.peers:
                if peer["in" if hook == "input" else "out"]:
                    match = f"{family(peer['address'])} {side} {peer['address']}"
                    chance = "" if self.share >= 1 else f"numgen random mod 1000000 < {round(self.share * 1e6)} "
                    lines += [f'  {match} counter comment "seen"', f'  {match} {chance}counter drop comment "dropped"']
            lines.append(" }")
        run_nft("-f", "-", text="\n".join([*lines, "}", ""]))

    def prove(self) -> tuple[bool, str]:
        """Return whether packets are dropped, as requested, and how that was seen."""
        probed = ""
        if self.share >= 1:
            lost = self._unreachable()
            if reached := sorted(self.reachable - lost):
                return False, f"still reaches {', '.join(reached)}"
            probed = f", probes of {len(self.reachable)} hosts unanswered"
        elif self._counters()[0] < ENOUGH_PACKETS:
            self._send_datagrams()
        ok, text = self.prove_held()
        return ok, text + probed

    def prove_held(self) -> tuple[bool, str]:
        """Return whether packets were dropped, as requested, since the fault was injected, and how many."""
        seen, dropped = self._counters()
        share = dropped / seen if seen else 0.0
        error = SIGMAS * (self.share * (1 - self.share) / seen) ** 0.5 if seen else 0.0
        return dropped > 0 and abs(share - self.share) <= error, f"{dropped} of {seen} packets dropped"

    def heal(self) -> None:
        """Delete the table."""
        delete_table(self.table)

    def prove_healed(self, cut: Sequence[str] = ()) -> tuple[bool, str]:
        """Return whether the table is gone and the peers can be reached, and how that was seen."""
        if self.table in run_nft("list", "tables"):
            return False, f"packet filter {self.table} still exists"
        wanted = self.reachable - set(cut)
        if lost := sorted(wanted & self._unreachable()):
            return False, f"cannot reach {', '.join(lost)}"
        return True, f"packet filter deleted, probes of {len(wanted)} hosts answered"

    def _counters(self) -> tuple[int, int]:
        """Return how many packets the rules saw, and how many they dropped."""
        found = {"seen": 0, "dropped": 0}
        for entry in json.loads(run_nft("-j", "list", "table", "inet", self.table))["nftables"]:
            rule = entry.get("rule", {})
            for part in rule.get("expr", ()):
                if "counter" in part and rule.get("comment") in found:
                    found[rule["comment"]] += part["counter"]["packets"]
        return found["seen"], found["dropped"]

    def _unreachable(self) -> set[str]:
        """Return the addresses of peers that neither accept nor reject a connection in time."""
        waiting: dict[socket.socket, str] = {}
        answered: set[str] = set()
        for peer in self.peers:
            kind = socket.AF_INET6 if ":" in peer["address"] else socket.AF_INET
            probe = socket.socket(kind, socket.SOCK_STREAM)
            probe.setblocking(False)
            code = probe.connect_ex((peer["address"], peer["port"]))
            if code == errno.EINPROGRESS:
                waiting[probe] = peer["address"]
                continue
            probe.close()
            if code in (0, errno.ECONNREFUSED):
                answered.add(peer["address"])
        end = time.monotonic() + PROBE_S
        while waiting and (left := end - time.monotonic()) > 0:
            for probe in select.select([], list(waiting), [], left)[1]:
                address = waiting.pop(probe)
                if probe.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) in (0, errno.ECONNREFUSED):
                    answered.add(address)
                probe.close()
        for probe in waiting:
            probe.close()
        return {peer["address"] for peer in self.peers} - answered

    def _send_datagrams(self) -> None:
        """Send what the rules for packets to peers count; peers discard it."""
        for peer in self.peers:
            kind = socket.AF_INET6 if ":" in peer["address"] else socket.AF_INET
            with socket.socket(kind, socket.SOCK_DGRAM) as probe:
                for _ in range(ENOUGH_PACKETS if peer["out"] else 0):
                    with contextlib.suppress(OSError):
                        probe.sendto(b"", (peer["address"], 9))


def family(address: str) -> str:
    """Return the word of nftables for the family of an address."""
    return "ip6" if ":" in address else "ip"


def run_nft(*words: str, text: str | None = None) -> str:
    """Run nft and return its output; ProblemError if it fails."""
    try:
        done = subprocess.run(
            ["nft", *words], input=text, capture_output=True, text=True, timeout=COMMAND_S, check=False
        )
    except FileNotFoundError:
        raise ProblemError("it has no nft; install the package nftables") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProblemError(f"nft cannot run: {error}") from None
    if done.returncode:
        raise ProblemError(f"nft {' '.join(words)}: {done.stderr.strip()[-300:]}")
    return done.stdout


def delete_table(table: str) -> None:
    """Delete a table, if it exists."""
    if f"table inet {table}" in run_nft("list", "tables").splitlines():
        run_nft("delete", "table", "inet", table)


def undo(action: list[Any]) -> None:
    """Undo one action of a fault."""
    if action[0] == "table":
        delete_table(action[1])
    else:
        send_signal(action[1], action[2], signal.SIGCONT)


def read_state() -> dict[str, list[list[Any]]]:
    """Return what is to be undone, by the fault's id."""
    try:
        found: dict[str, list[list[Any]]] = json.loads(STATE.read_text())
    except FileNotFoundError:
        return {}
    return found


def write_state(state: dict[str, list[list[Any]]]) -> None:
    """Write what is to be undone; the former file is replaced as a whole."""
    new = STATE.with_suffix(".new")
    new.write_text(json.dumps(state))
    new.replace(STATE)


def heal_leftovers() -> None:
    """End a script that still serves, undo what the file says, and remove it. Raises ProblemError."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        pid, start = (int(word) for word in OWN_PID.read_text().split())
        for number in (signal.SIGTERM, signal.SIGKILL):
            end = time.monotonic() + 3
            while (stat := read_stat(pid)) and stat[2] == start and stat[0] != "Z" and time.monotonic() < end:
                os.kill(pid, number)
                time.sleep(0.05)
        OWN_PID.unlink(missing_ok=True)
    left: list[list[Any]] = []
    problems = []
    for action in [action for actions in read_state().values() for action in actions]:
        try:
            undo(action)
        except ProblemError as error:
            left.append(action)
            problems.append(str(error))
    if left:
        write_state({"left": left})
        raise ProblemError("; ".join(problems))
    STATE.unlink(missing_ok=True)


class Agent:
    """The faults of a host and their deadlines."""

    def __init__(self, mark: str, connection: Sequence[str]) -> None:
        self.mark = hashlib.sha256(f"{mark}:{Path.cwd()}".encode()).hexdigest()[:8]
        self.spared = (connection[0], int(connection[3])) if len(connection) == 4 else None
        self.faults: dict[str, list[Crash | Pause | Drop]] = {}
        self.deadlines: dict[str, float] = {}
        self.late: set[str] = set()

    def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """Carry out an order and return the answer."""
        answer = {"do": order.get("do"), "id": order.get("id")}
        began = time.time()
        try:
            ok, text = self._obey(order)
        except (ProblemError, OSError) as error:
            ok, text = False, str(error)
        return {**answer, "began": began, "at": time.time(), "ok": ok, "text": text}

    def _obey(self, order: dict[str, Any]) -> tuple[bool, str]:
        number, what = str(order["id"]), order["do"]
        if what == "check":
            if order["packets"]:
                run_nft("list", "tables")
            return True, ""
        if what == "prepare":
            self.faults[number] = [self._make(number, index, each) for index, each in enumerate(order["mechanisms"])]
        parts = self.faults[number]
        if what == "prepare":
            for part in parts:
                part.prepare()
            return True, ""
        if what == "inject":
            self._inject(number, float(order["deadline_s"]))
            return True, ""
        if what == "heal":
            self.heal(number)
            return number not in self.late, "its deadline had healed it" if number in self.late else ""
        if what == "prove_healed":
            results = [part.prove_healed(order["cut"]) for part in parts]
        else:
            results = [part.prove() if what == "prove" else part.prove_held() for part in parts]
        failed = [text for ok, text in results if not ok]
        return not failed, ", ".join(failed or [text for _, text in results])

    def _inject(self, number: str, deadline_s: float) -> None:
        parts = self.faults[number]
        for part in parts:
            part.find()
        write_state({**read_state(), number: [action for part in parts for action in part.undo()]})
        self.deadlines[number] = time.monotonic() + deadline_s
        for part in parts:
            part.inject()

    def _make(self, number: str, index: int, order: dict[str, Any]) -> Crash | Pause | Drop:
        if order["kind"] == "drop":
            return Drop(order, f"geobench_{self.mark}_{number.replace('-', '_')}_{index}", self.spared)
        kinds: dict[str, type[Crash] | type[Pause]] = {"crash": Crash, "end": End, "pause": Pause}
        return kinds[order["kind"]](order)

    def heal(self, number: str) -> None:
        """Heal a fault; it is forgotten only once that has succeeded."""
        for part in self.faults[number]:
            part.heal()
        self.deadlines.pop(number, None)
        write_state({key: actions for key, actions in read_state().items() if key != number})

    def expire(self) -> float | None:
        """Heal the faults whose deadline has passed, and return when the next one does, in s; None if none does."""
        now = time.monotonic()
        for number in [number for number, deadline in self.deadlines.items() if deadline <= now]:
            self.late.add(number)
            try:
                self.heal(number)
            except (ProblemError, OSError):
                self.deadlines[number] = now + 1.0
        return max(0.0, min(self.deadlines.values()) - now) if self.deadlines else None


def serve(agent: Agent) -> None:
    """Obey orders until the input ends."""
    rest = b""
    while True:
        wait = agent.expire()
        if not select.select([0], [], [], wait)[0]:
            continue
        data = os.read(0, 1 << 16)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            print(json.dumps(agent.obey(json.loads(line))), flush=True)


def main(mode: str, directory: str, mark: str = "", *connection: str) -> int:
    """Serve, or heal what is left; return the exit code."""
    os.chdir(directory)
    if mode == "serve":
        own = read_stat(os.getpid())
        assert own is not None
        OWN_PID.write_text(f"{os.getpid()} {own[2]}\n")
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, lambda *_: sys.exit(1))
        with contextlib.suppress(BrokenPipeError):
            try:
                serve(Agent(mark, connection))
            finally:
                for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                    signal.signal(number, signal.SIG_IGN)
                OWN_PID.unlink(missing_ok=True)
                heal_leftovers()
        return 0
    try:
        heal_leftovers()
    except (ProblemError, OSError, ValueError) as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
