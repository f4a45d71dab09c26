"""The script that injects faults on a real host, and orders to it."""

from __future__ import annotations

import json
from typing import Any

from fakes.local_testbed import LocalTestbed
from waiting import wait_for

from benchmark.host_scripts import build_archive

FOLDER = "geobench/run"
SECONDS = 60.0


class FaultScript:
    """The script on a host, with one process group `node-0`; a context manager that ends both."""

    def __init__(self, testbed: LocalTestbed, host: str) -> None:
        self.testbed, self.host = testbed, host

    def __enter__(self) -> FaultScript:
        self.run(f"rm -rf {FOLDER} && mkdir -p {FOLDER}/node-0")
        script = {f"{FOLDER}/inject.pyz": build_archive("inject")}
        self.testbed.fleet.put({self.host: script}, deadline=SECONDS).raise_for_failures("put")
        start = (
            "setsid sh -c 'echo $$ $(cut -d \" \" -f 22 /proc/$$/stat) >pid; exec sleep 600' >/dev/null 2>&1 </dev/null"
        )
        self.run(f"cd {FOLDER}/node-0 && {{ {start} & }}; until [ -s pid ]; do :; done")
        words = f"exec python3 -I -S {FOLDER}/inject.pyz serve {FOLDER} mark $SSH_CONNECTION"
        opened = self.testbed.fleet.open(words, hosts=[self.host], deadline=SECONDS)
        self.session = opened.raise_for_failures("open")[self.host]
        return self

    def __exit__(self, *_: object) -> None:
        self.session.finish_input()
        wait_for(lambda: self.session.ended, "the end of the script", SECONDS)
        self.session.close()
        self.run(f"kill -9 $(cut -d ' ' -f 1 {FOLDER}/node-0/pid)")

    def run(self, command: str) -> str:
        """Run a command on the host and return its output."""
        return self.testbed.output(self.host, command)

    def __call__(self, do: str, **details: Any) -> tuple[bool, str]:
        """Give an order about the only fault, and return whether it succeeded and the text."""
        self.session.send(json.dumps({"do": do, "id": "f1", **details}) + "\n")
        lines: list[str] = wait_for(self._lines, f"an answer to {do}", SECONDS)
        answer = json.loads(lines[0])
        return answer["ok"], answer["text"]

    def _lines(self) -> list[str]:
        assert not self.session.ended, self.session.stderr
        return self.session.read_lines()

    def inject(self, kind: str, deadline_s: float = 600.0, **parameters: Any) -> str:
        """Inject a fault and return the proof that it is in force."""
        mechanism = {"kind": kind, "processes": ["node-0"], **parameters}
        assert self("check", kinds=[kind]) == (True, "")
        assert self("prepare", mechanisms=[mechanism]) == (True, "")
        assert self("inject", deadline_s=deadline_s) == (True, "")
        return self.until("prove")

    def until(self, do: str, **details: Any) -> str:
        """Repeat an order until it succeeds, and return the text."""
        answers: list[str] = []

        def seen() -> bool:
            ok, text = self(do, **details)
            answers.append(text)
            return ok

        try:
            wait_for(seen, do, SECONDS)
        except AssertionError:
            raise AssertionError(f"{do}: {answers[-1]}") from None
        return answers[-1]

    def pids(self) -> list[int]:
        """Return the pid of the script and those of its children."""
        pid = self.run(f"cut -d ' ' -f 1 {FOLDER}/injector.pid").strip()
        return [int(pid), *map(int, self.run(f"cat /proc/{pid}/task/{pid}/children").split())]
