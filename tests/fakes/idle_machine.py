"""A machine of an emulated cloud that does not boot: booting machines are tested end to end."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from fakes.emulators.firewall import EVERYWHERE, Rule
from fakes.emulators.machine import Machine


class Idle(Machine):  # type: ignore[misc]  # emulators have no types
    """A machine that does not boot and records its firewall rules."""

    numbers = itertools.count(1)
    on = False
    rules: tuple[list[Rule], list[Rule]] = [], []

    def create(self, user_data: str, files: Mapping[str, str] | None = None) -> None:
        self.start()

    @property
    def running(self) -> bool:
        return self.on

    def start(self) -> None:
        self.on, self.address = True, f"198.18.0.{next(self.numbers)}"

    def stop(self, *, keep_address: bool = False) -> None:
        self.on, self.address = False, ""

    def remove(self) -> None:
        self.stop()

    def guard(self, rules: Sequence[Rule], outgoing: Sequence[Rule] = EVERYWHERE) -> None:
        self.rules = list(rules), list(outgoing)
