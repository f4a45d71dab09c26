"""Commands that read a run's files: print its logs, serve its Prometheus snapshot."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import click

from benchmark.cli import completers
from benchmark.cli.help import Command, examples
from benchmark.cli.messages import printable
from benchmark.cli.target import (
    Target,
    json_option,
    on_results,
    port_option,
    results_dir,
    results_dir_option,
    testbed_options,
)
from benchmark.errors import UsageError
from benchmark.orchestrator.snapshot import opened_snapshot
from benchmark.results.find import find_run
from benchmark.results.log_files import find_logs, log_name, read_log
from benchmark.results.run_folder import LOGS, is_running


@click.command(
    cls=Command,
    epilog=examples(
        "geobench logs latest",
        "geobench logs latest node-0 --follow",
        "geobench logs 20261129T101413Z client-2",
    ),
)
@testbed_options
@click.argument("run", shell_complete=completers.runs)
@click.argument("process", required=False, shell_complete=completers.processes)
@click.option("-f", "--follow", is_flag=True, help="Print new lines as they are written, until the run ends.")
@results_dir_option
@json_option
def logs(
    stack: str | None,
    inventory: Path | None,
    settings: Path | None,
    run: str,
    process: str | None,
    follow: bool,
    results_folder: Path | None,
    as_json: bool,
) -> None:
    """Print the logs of RUN.

    RUN is an id, the beginning of one, a folder, or `latest`. Name a PROCESS such as node-0 to print only its log.
    While the run is in progress, its logs are read from the hosts.
    """
    if follow and as_json:
        raise UsageError("--follow and --json exclude each other: one JSON document has an end")
    folder = find_run(results_folder or results_dir(stack, inventory, settings), run)
    if is_running(folder) and not (folder / LOGS).exists():
        if as_json:
            raise UsageError(f"{folder.name} is still running; --json prints the logs of runs that have ended")
        from benchmark.cli import remote_shell

        remote_shell.print_logs(Target(stack, inventory, settings), folder, process, follow)
        return
    found = find_logs(folder / LOGS, process)
    if as_json:
        texts = [{"process": log_name(path), "host": path.parent.name, "text": read_log(path)} for path in found]
        click.echo(json.dumps(texts, indent=2))
        return
    for path in found:
        if len(found) > 1:
            click.echo(f"==> {log_name(path)} on {path.parent.name} <==")
        text = read_log(path)
        click.echo(printable(text) if sys.stdout.isatty() else text)


@click.command(cls=Command)
@click.argument("run", shell_complete=completers.runs)
@port_option
@on_results
def prometheus(run: str, port: int, results_dir: Path, as_json: bool) -> None:
    """Serve the Prometheus snapshot of RUN.

    It does so until Ctrl-C. `run --snapshot` saves a snapshot with each run.
    """
    with opened_snapshot(find_run(results_dir, run), port) as address:
        click.echo(json.dumps({"prometheus": address}) if as_json else f"prometheus: {address} (Ctrl-C stops it)")
        sys.stdout.flush()
        signal.pause()
