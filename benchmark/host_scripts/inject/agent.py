"""Obey the orders of the runner and the deadlines of faults."""

from __future__ import annotations

import hashlib
import json
import os
import select
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .disk import Fill, Throttle
from .leftovers import read_state, write_state
from .links import Impair
from .load import Burn, Hold
from .mechanism import Context, Mechanism, ProblemError
from .packets import Drop
from .processes import Crash, End, Pause
from .shaper import Shaper
from .watchdog import Watchdog

MECHANISMS: Mapping[str, type[Mechanism]] = {
    "crash": Crash,
    "end": End,
    "pause": Pause,
    "drop": Drop,
    "impair": Impair,
    "fill": Fill,
    "throttle": Throttle,
    "burn": Burn,
    "hold": Hold,
}


class Agent:
    """The faults of a host and their deadlines."""

    def __init__(self, mark: str, connection: Sequence[str]) -> None:
        self.mark = hashlib.sha256(f"{mark}:{Path.cwd()}".encode()).hexdigest()[:8]
        self.spared = (connection[0], int(connection[3])) if len(connection) == 4 else None
        self.shaper = Shaper(f"geobench_{self.mark}_links", 1 + int(self.mark, 16) % 65535, self.spared)
        self.faults: dict[str, list[Mechanism]] = {}
        self.deadlines: dict[str, float] = {}
        self.late: set[str] = set()
        self.watchdog = Watchdog()

    def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """Carry out an order and return the answer."""
        answer = {"do": order.get("do"), "id": order.get("id")}
        began = time.time()
        self.expire()  # after a standstill, what the watchdog has healed is late, too
        try:
            ok, text = self._obey(order)
        except (ProblemError, OSError) as error:
            ok, text = False, str(error)
        return {**answer, "began": began, "at": time.time(), "ok": ok, "text": text}

    def _obey(self, order: dict[str, Any]) -> tuple[bool, str]:
        number, what = str(order["id"]), order["do"]
        if what == "check":
            for kind in order["kinds"]:
                MECHANISMS[kind].check()
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
        self.watchdog.expect(number, self.deadlines[number])
        for part in parts:
            part.inject()

    def _make(self, number: str, index: int, order: dict[str, Any]) -> Mechanism:
        name = f"geobench_{self.mark}_{number.replace('-', '_')}_{index}"
        return MECHANISMS[order["kind"]](order, Context(name, self.spared, self.shaper))

    def heal(self, number: str) -> None:
        """Heal a fault; it is forgotten only once that has succeeded."""
        for part in self.faults[number]:
            part.heal()
        self.deadlines.pop(number, None)
        self.watchdog.expect(number, None)
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
        ready = select.select([0, agent.watchdog.fileno()], [], [], wait)[0]
        if agent.watchdog.fileno() in ready:
            agent.watchdog.replace()
        if 0 not in ready:
            continue
        data = os.read(0, 1 << 16)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            print(json.dumps(agent.obey(json.loads(line))), flush=True)
