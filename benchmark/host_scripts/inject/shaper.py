"""A process that holds the packets of some links, and what directs these packets to it.

One table of nftables has the links of all such faults of a host, and one process holds their packets, so that faults of
the same link add up. Packets pass unhindered while nobody reads them, so the death of the process heals its faults.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import time
from collections.abc import Mapping
from typing import Any, NoReturn

from .impairments import IMPAIRMENTS, Held
from .mechanism import ProblemError
from .nft import chains, delete_table, run_nft
from .packet_queue import PacketQueue, add_rule_of_xtables

HOOKS = ("input", "output")
ANSWER_S = 5.0
DRAIN_S = 5.0
"""Longest wait for packets that are still held when a fault is healed."""
_PDEATHSIG = 1


def direct(table: str, number: int) -> None:
    """Add a rule to the chain `held` that directs packets to queue `number`. ProblemError if the kernel cannot."""
    try:
        run_nft("add", "rule", "inet", table, "held", "queue", "flags", "bypass", "to", str(number))
    except ProblemError:
        try:
            add_rule_of_xtables(table, "held", number)
        except OSError:
            raise ProblemError(
                "its kernel cannot direct packets to a queue; load the module nft_queue, or nft_compat and xt_NFQUEUE"
            ) from None


def check() -> None:
    """Require all that a shaper needs of this host; ProblemError names what is missing."""
    number = 1 + os.getpid() % 65535
    table = f"geobench_check_{number}"
    PacketQueue(number).close()
    run_nft("-f", "-", text=f"table inet {table} {{\n chain held {{ }}\n}}\n")
    try:
        direct(table, number)
    finally:
        delete_table(table)


class Shaper:
    """The process and the table of this host's faults, both made when they are first needed."""

    def __init__(self, table: str, number: int, spared: tuple[str, int] | None) -> None:
        self.table, self.number, self.spared = table, number, spared
        self.baseline: dict[str, float] = {}
        """The shortest round trip to each peer that was measured, in s by its address."""
        self.faults: dict[str, list[Mapping[str, Any]]] = {}
        """The peers of each fault that is in force."""
        self._control: socket.socket | None = None

    def impair(self, name: str, peers: list[Mapping[str, Any]], kind: str, parameters: Mapping[str, float]) -> None:
        """Begin a fault: impair the packets from and to the peers."""
        links = [[inbound, peer["address"]] for peer in peers for inbound in (True, False) if peer[_word(inbound)]]
        if self._control is None:
            self._start()
        self._ask(do="impair", name=name, kind=kind, parameters=parameters, links=links)
        self.faults[name] = peers
        self._load()

    def figures(self, name: str) -> dict[str, Any]:
        """Return what was observed of a fault, as `Held.figures`; ProblemError if it is not in force."""
        if found := self._ask(do="figures", name=name):
            return found
        raise ProblemError("packets are no longer held")

    def mend(self, name: str) -> None:
        """End a fault, and wait until the packets that it holds have left."""
        if self.faults.pop(name, None) is None:
            return
        self._load()
        end = time.monotonic() + DRAIN_S
        with contextlib.suppress(ProblemError):  # a process that has ended holds nothing
            while self._ask(do="mend", name=name)["waiting"] and not self.faults and time.monotonic() < end:
                time.sleep(0.005)
        if not self.faults:
            delete_table(self.table)

    def _load(self) -> None:
        """Write the rules for the links of all faults, in one transaction: no packet passes between two states."""
        merged: dict[str, dict[str, Any]] = {}
        for peers in self.faults.values():
            for peer in peers:
                known = merged.setdefault(peer["address"], {"address": peer["address"], "in": False, "out": False})
                known.update({way: known[way] or peer[way] for way in ("in", "out")})
        new = f"table inet {self.table}" not in run_nft("list", "tables").splitlines()
        rules = chains(merged.values(), self.spared, lambda match: [f"{match} counter goto held"])
        text = f"table inet {self.table} {{\n chain held {{ }}\n{rules}}}\n"
        if new:
            run_nft("-f", "-", text=text)
            direct(self.table, self.number)
        else:
            run_nft("-f", "-", text="".join(f"flush chain inet {self.table} {hook}\n" for hook in HOOKS) + text)

    def _start(self) -> None:
        mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        queue, parent = PacketQueue(self.number), os.getpid()
        if os.fork() == 0:
            mine.close()
            _become_shaper(queue, its, parent)
        its.close()
        queue.close()
        mine.settimeout(ANSWER_S)
        self._control = mine

    def _ask(self, **request: Any) -> dict[str, Any]:
        if self._control is None:
            raise ProblemError("no packets are held")
        try:
            self._control.send(json.dumps(request).encode())
            text = self._control.recv(1 << 20)
        except ConnectionError:
            text = b""
        except OSError as error:
            raise ProblemError(f"the process that holds packets does not answer: {error}") from None
        if not text:
            raise ProblemError("the process that holds packets has ended")
        answer: dict[str, Any] = json.loads(text)
        return answer


def _word(inbound: bool) -> str:
    return "in" if inbound else "out"


def _become_shaper(queue: PacketQueue, control: socket.socket, parent: int) -> NoReturn:
    """Serve in a child process, which ends with its parent."""
    try:
        ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)  # the end of the runner's connection is for the parent to see
        os.dup2(null, 1)
        first, last = sorted((queue.socket.fileno(), control.fileno()))
        os.closerange(3, first)
        os.closerange(first + 1, last)
        os.closerange(last + 1, 1 << 16)
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(5))
        if os.getppid() == parent:
            serve(queue, control)
    finally:
        os._exit(1)


def serve(queue: PacketQueue, control: socket.socket) -> None:
    """Hold packets and answer requests, until nobody can send any more."""
    held = Held()
    clock = time.monotonic
    while True:
        due = held.next_due()
        wait = None if due is None else max(0.0, due - clock())
        ready = select.select([queue.socket, control], [], [], wait)[0]
        if queue.socket in ready:
            now = clock()
            for packet in queue.receive():
                if not held.add(packet, now):
                    queue.drop(packet.number)
        for packet in held.due(clock()):
            queue.release(packet.number)
        if control in ready:
            text = control.recv(1 << 20)
            if not text:
                return
            control.send(json.dumps(_answer(held, queue, json.loads(text))).encode())


def _answer(held: Held, queue: PacketQueue, request: Mapping[str, Any]) -> dict[str, Any]:
    name = request["name"]
    if request["do"] == "impair":
        parameters = dict(request["parameters"])
        if request["kind"] == "flap":
            parameters["begins"] = time.monotonic()
        links = [(bool(inbound), packed(address)) for inbound, address in request["links"]]
        held.impair(name, IMPAIRMENTS[request["kind"]](**parameters), links)
    elif request["do"] == "mend":
        held.mend(name)
        return {"waiting": held.next_due() is not None}
    return {**held.figures(name), "overflowed": queue.overflowed()} if name in held.faults else {}


def packed(address: str) -> bytes:
    """Return an address as it is in packets."""
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
