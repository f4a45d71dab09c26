"""The command that serves the live page of a run."""

from __future__ import annotations

from pathlib import Path

import click

from benchmark.cli import completers
from benchmark.cli.help import Command, examples
from benchmark.cli.serve import serve_page
from benchmark.cli.target import on_results, port_option
from benchmark.results.find import find_run
from benchmark.results.layout import LATEST


@click.command(
    cls=Command,
    epilog=examples("geobench watch", "geobench watch 20261129T101413Z --port 8800 --no-open"),
)
@click.argument("run", default=LATEST, shell_complete=completers.runs)
@port_option
@click.option("--no-open", is_flag=True, help="Only print the address; open no browser.")
@on_results
def watch(run: str, port: int, no_open: bool, results_dir: Path, as_json: bool) -> None:
    """Show RUN in a browser while it is in progress.

    RUN is an id, the beginning of one, a folder, or `latest`, which also follows the runs that begin later. The page is
    served until Ctrl-C, on this machine only; its address contains a secret. It also shows runs that have ended.
    """
    from benchmark.web.server import LiveServer  # aiohttp takes half a second to import
    from benchmark.web.watch import Watch

    folder = find_run(results_dir, run)
    server = LiveServer(Watch(folder, latest=folder.parent if run == LATEST else None))
    serve_page(server, "live page", port, as_json=as_json, in_browser=not no_open)
