"""An emulated Vultr without machines that boot, and a stack that is deployed to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from fakes.emulators.machine import Image, Machine
from fakes.emulators.provider import Properties, Served
from fakes.emulators.vultr import Vultr
from fakes.idle_machine import Idle
from fakes.pulumi_stack import Stack

from stacks.local.wan.network import WideAreaNetwork

TOKEN = "V0ULTR-T0KEN-0F-THE-TESTS"


class IdleVultr(Vultr):  # type: ignore[misc]  # emulators have no types
    """An account whose servers are idle machines."""

    def boot(self, identity: str, inputs: Properties) -> Machine:
        network = cast("WideAreaNetwork", None)
        machine = self.machines[identity] = IdleServer(
            Path(), cast("Image", None), network, inputs["label"], inputs["region"]
        )
        machine.create(inputs["userData"])
        return machine


class IdleServer(Idle):
    """A machine that does not boot and, as on Vultr, keeps its address while it is halted."""

    def start(self) -> None:
        before = self.address
        super().start()
        self.address = before or self.address

    def stop(self, *, keep_address: bool = False) -> None:
        before = self.address
        super().stop(keep_address=keep_address)
        self.address = before if keep_address else ""


@contextmanager
def idle_vultr(year: int = 2026, install_s: float = 0.0) -> Iterator[IdleVultr]:
    """Yield an account whose token is TOKEN, answering as in `year`."""
    made = IdleVultr(Path(), cast("Image", None), cast("WideAreaNetwork", None), TOKEN, year, install_s)
    try:
        yield made
    finally:
        made.close()


@contextmanager
def idle_vultr_stack(
    folder: Path, testbed_id: str, settings: str, year: int = 2026, install_s: float = 0.0
) -> Iterator[tuple[Stack, IdleVultr]]:
    """Yield a stack that is not created yet, and the account that it is deployed to; destroy it."""
    with idle_vultr(year, install_s) as vultr:
        served = Served(vultr.cloud())
        home = folder / "home"
        home.mkdir(parents=True)
        (home / ".vultr").write_text(f"{TOKEN}\n", encoding="utf-8")
        stack = Stack(folder / "stack", testbed_id, settings)
        stack.environment |= {
            "HOME": str(home),
            "PULUMI_DEBUG_PROVIDERS": f"vultr:{served.port}",
            "VULTR_API_URL": vultr.url,
        }
        try:
            yield stack, vultr
        finally:
            stack.destroy()
            served.close()
