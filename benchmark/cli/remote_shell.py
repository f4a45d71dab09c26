"""Run OpenSSH on one or all hosts of a testbed, and print the logs of a run from them while it is in progress."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from benchmark.cli.messages import printable
from benchmark.cli.target import Target
from benchmark.errors import UsageError
from benchmark.inventory import Host
from benchmark.orchestrator.supervisor import RUN_DIRECTORY
from benchmark.remote.openssh import known_hosts_line, openssh_command
from benchmark.results.layout import LATEST
from benchmark.results.manifest import read_manifest
from benchmark.results.run_folder import is_running
from benchmark.testbed.testbed import require_network

ALL = "all"
"""Stands for every host."""
_POLL_S = 0.5
_AT_ONCE = 64
Login = Callable[[Host, Sequence[str]], list[str]]
"""Returns the command line that runs a command on a host, or logs in there if it is empty."""


def find_hosts(target: Target, name: str) -> list[Host]:
    """Return the host called `name`, or that of the process called so in the latest run; all running hosts for `all`.

    UsageError lists what there is.
    """
    hosts = target.inventory.hosts
    if name == ALL:
        return [host for host in hosts if host.state != "stopped"]
    if found := [host for host in hosts if host.name == name]:
        return found
    processes = _latest_processes(target)
    if name in processes:
        return [target.inventory.host(processes[name])]
    listed = ", ".join(host.name for host in hosts)
    running = f"; processes of the latest run: {', '.join(processes)}" if processes else "; it has had no run yet"
    raise UsageError(f"no host {name!r} in testbed {target.inventory.testbed_id}, which has {listed}{running}")


def _latest_processes(target: Target) -> dict[str, str]:
    """Return the host of each process of the testbed's latest run; none without a run."""
    try:
        placement = read_manifest(target.results_dir / target.inventory.testbed_id / LATEST).placement
    except UsageError:
        return {}
    known = {host.name for host in target.inventory.hosts}
    return {name: each.host for name, each in placement.processes.items() if each.host in known}


@contextmanager
def openssh(target: Target, batch: bool = False) -> Iterator[Login]:
    """Yield a function that returns command lines for OpenSSH; its files are removed at the end.

    With `batch`, ssh never asks for a passphrase: several of them would share the terminal.
    """
    with tempfile.TemporaryDirectory() as folder:
        key = target.private_key
        if isinstance(key, str):
            path = Path(folder, "key")
            path.touch(mode=0o600)
            path.write_text(key)
            key = path

        def login(host: Host, command: Sequence[str]) -> list[str]:
            # One file for each host, as the gateways of all have the same alias.
            known_hosts = Path(folder, f"known_hosts-{target.inventory.hosts.index(host)}")
            known_hosts.write_text(known_hosts_line(host))
            ssh, *words = openssh_command(host, target.inventory.ssh.user, key, known_hosts, command)
            return [ssh, *(["-o", "BatchMode=yes"] if batch else []), *words]

        yield login


def stream(
    commands: Mapping[str, Sequence[str]], prefixed: bool = True, ended: Callable[[], bool] = lambda: False
) -> dict[str, int]:
    """Run commands at once and print their output as it arrives; return their exit codes, by name.

    With `prefixed`, each line begins with the name. The commands are terminated once `ended` returns true. Raises
    OSError if the output cannot be written.
    """
    slots, printing = threading.Semaphore(_AT_ONCE), threading.Lock()
    running: dict[str, subprocess.Popen[str]] = {}
    codes: dict[str, int] = {}
    failures: list[OSError] = []
    over = threading.Event()

    def run(name: str, words: Sequence[str]) -> None:
        with slots:
            if over.is_set():
                return
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
            running[name] = process
            assert process.stdout
            try:
                for line in process.stdout:
                    text = printable(line) if sys.stdout.isatty() else line
                    with printing:
                        click.echo(f"{name}: {text}" if prefixed else text, nl=False)
            except OSError as error:  # nobody reads the output any more
                failures.append(error)
                over.set()
                process.terminate()
            codes[name] = process.wait()

    threads = [threading.Thread(target=run, args=item, daemon=True) for item in commands.items()]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive() and not over.is_set():
                thread.join(_POLL_S)
                if ended():
                    over.set()
    finally:
        over.set()
        for process in list(running.values()):
            process.terminate()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return {name: codes[name] for name in commands if name in codes}


def print_logs(target: Target, folder: Path, process: str | None, follow: bool) -> None:
    """Print the logs of the run in progress from its hosts, all or that of `process`; with `follow`, until it ends."""
    placed = read_manifest(folder).placement.processes
    if process is not None and process not in placed:
        raise UsageError(f"no process {process!r} in {folder.name}; it has {', '.join(placed)}")
    require_network(target.inventory)
    with openssh(target, batch=True) as login:
        commands = {}
        for name in [process] if process else placed:
            path = shlex.quote(f"{target.settings.working_dir}/{RUN_DIRECTORY}/logs/{name}.log")
            read = f"exec tail -n +1 -F {path} 2>/dev/null" if follow else f"cat {path}"
            commands[name] = login(target.inventory.host(placed[name].host), [f"exec bash -c {shlex.quote(read)}"])
        stream(commands, prefixed=len(commands) > 1, ended=lambda: follow and not is_running(folder))
