"""Commands that read results: list runs, print logs, serve a run's Prometheus snapshot."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import click

from benchmark.cli.messages import printable
from benchmark.cli.output import show
from benchmark.cli.tables import run_lines
from benchmark.cli.target import json_option, results_option
from benchmark.orchestrator.logs import find_logs, log_name, read_log
from benchmark.orchestrator.snapshot import opened_snapshot
from benchmark.results.find import find_run
from benchmark.results.run_folder import LOGS, find_runs


@click.command()
@results_option
@json_option
def results(results_dir: Path, as_json: bool) -> None:
    """List all runs with their results."""
    found = list(find_runs(results_dir))
    if as_json:
        documents = [
            json.loads(run.summary.to_json())
            if run.summary
            else {"run_id": run.path.name, "status": run.state} | ({"damaged": run.damage} if run.damage else {})
            for run in found
        ]
        click.echo(json.dumps(documents, indent=2))
    else:
        show(line for run in found for line in run_lines(run))


@click.command()
@click.argument("run")
@click.argument("process", required=False)
@results_option
def logs(run: str, process: str | None, results_dir: Path) -> None:
    """Print the logs of RUN.

    RUN is an id, the beginning of one, a folder, or `latest`. Name a PROCESS such as node-0 to print only its log.
    """
    found = find_logs(find_run(results_dir, run) / LOGS, process)
    for path in found:
        if len(found) > 1:
            click.echo(f"==> {log_name(path)} on {path.parent.name} <==")
        text = read_log(path)
        click.echo(printable(text) if sys.stdout.isatty() else text)


@click.command()
@click.argument("run")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port to listen on [default: any free port].")
@results_option
def prometheus(run: str, port: int, results_dir: Path) -> None:
    """Serve the Prometheus snapshot of RUN, until Ctrl-C.

    `run --snapshot` saves one with each run.
    """
    with opened_snapshot(find_run(results_dir, run), port) as address:
        click.echo(f"prometheus: {address} (Ctrl-C stops it)")
        sys.stdout.flush()
        signal.pause()
