"""Run a benchmark with one fault, and kill a process when the fault reaches a state; `fault_healing` starts this.

    python -m tools.accuracy.fault_victim INVENTORY FAULT STATE VICTIM RESULTS

VICTIM is `runner`, which is this process, or `agent`: the script on all hosts. After they were killed,
this process stops, so that nothing but the hosts heals. It prints `struck TIME` when it has killed.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Generator
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmark.inventory import Inventory
from benchmark.orchestrator.injector import Injector
from benchmark.orchestrator.sweep import run_benchmark
from benchmark.plan.request import Request
from benchmark.protocols.etcd import Etcd, EtcdClient, EtcdNode
from benchmark.remote.fleet import Fleet
from benchmark.settings import Settings, parse_fault
from benchmark.testbed.testbed import Testbed

STATES = ("prepare", "inject", "in force", "hold", "heal", "after")
"""States of a fault: an order was sent (prepare, inject, heal), a proof was seen (in force, after), or between."""
SENT = {"prepare": "prepare", "inject": "inject", "heal": "heal"}
PROVED = {"prove": "in force", "prove_held": "hold", "prove_healed": "after"}
DURATION_S = 6.0
_Steps = Generator[None, None, Any]


def strike_at(state: str, strike: Callable[[Injector, Any], None]) -> None:
    """Have `strike` called when a fault reaches a state."""
    original: Callable[..., _Steps] = Injector._order

    def order(self: Injector, fault: Any, hosts: Any, do: str, **details: Any) -> _Steps:
        steps = original(self, fault, hosts, do, **details)
        struck = False
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                if PROVED.get(do) == state and all(answer.ok for answer in stop.value.values()):
                    strike(self, fault)
                return stop.value
            if not struck and do == SENT.get(state):
                struck = True
                strike(self, fault)
            yield

    vars_of: Any = Injector
    vars_of._order = order


def main(inventory_file: str, fault: str, state: str, victim: str, results: str) -> None:
    """Run until the fault reaches the state."""
    inventory = Inventory.model_validate_json(Path(inventory_file).read_text(encoding="utf-8"))
    key = Path(inventory.ssh.private_key_file or "")
    fleet = Fleet(inventory.hosts, "root", key, timeout=timedelta(seconds=20), retries=2)
    settings = Settings(testbed_id=inventory.testbed_id, regions=inventory.regions)

    def strike(injector: Injector, fault: Any) -> None:
        if victim == "agent":
            kill = "kill -9 $(cut -d ' ' -f 1 geobench/run/injector.pid)"
            fleet.run(kill, hosts=list(injector.sessions), deadline=20).raise_for_failures("kill")
        print(f"struck {time.time()}", flush=True)
        os.kill(os.getpid(), signal.SIGKILL if victim == "runner" else signal.SIGSTOP)

    strike_at(state, strike)
    request = Request(
        protocol=Etcd(EtcdNode(), EtcdClient()), settings=settings, loads=(20,), committee=3, dedicated_clients=1,
        duration_s=DURATION_S, warm_up_s=0.5, faults=(parse_fault(fault),), results_dir=Path(results),
    )  # fmt: skip
    for summary in run_benchmark(Testbed(inventory, fleet, settings), request, lambda _: None, began=time.time()):
        print(f"ended {summary.status}: {'; '.join(summary.reasons)}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
