"""The commands. Progress goes to standard error, results to standard output."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmark.cli.target import Target, of_results, on_testbed
from benchmark.host_layout import GRAFANA_PORT
from benchmark.protocols.parameters import make_protocol
from benchmark.protocols.registry import find_protocol
from benchmark.version import describe_version

if TYPE_CHECKING:
    from benchmark.cli.view import View


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(describe_version())
        context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version and the commit.",
)
def cli() -> None:
    """Benchmark distributed systems on a geo-distributed testbed."""


@cli.command()
@on_testbed
@click.option("--committee", type=click.IntRange(1), help="Number of nodes that shall fit.")
def check(
    as_json: bool, stack: str | None, inventory: Path | None, settings: Path | None, committee: int | None
) -> None:
    """Check that a run can take place: hosts reachable, clocks, disks, ports."""
    target = Target(stack, inventory, settings)
    from benchmark.orchestrator.preflight import check_testbed

    protocol = make_protocol(find_protocol(target.settings.protocol), target.settings)
    with target.open() as testbed:
        found = check_testbed(testbed, protocol, lambda text: click.echo(text, err=True), committee)
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=2))
    else:
        make_view().check(found)
    if found.problems:
        raise SystemExit(3)


@cli.command()
@on_testbed
@click.option("--force", is_flag=True, help="Also end a run that is still going.")
def stop(as_json: bool, stack: str | None, inventory: Path | None, settings: Path | None, force: bool) -> None:
    """End and remove what a run left behind on the hosts."""
    target = Target(stack, inventory, settings)
    with target.open() as testbed:
        testbed.connect()
        with testbed.lock(take_over=force):
            facts = testbed.probe(clean=True)
    ended = {name: fact.stale_processes for name, fact in facts.items() if fact.stale_processes}
    if as_json:
        click.echo(json.dumps({"ended": ended}, indent=2))
    else:
        total = sum(ended.values())
        click.echo(f"{total} left-over process groups ended on {len(ended)} of {len(facts)} hosts")


@cli.command()
@of_results
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
def results(results_dir: Path, as_json: bool) -> None:
    """List all runs with their figures."""
    from benchmark.results.run_folder import find_runs

    found = list(find_runs(results_dir))
    if as_json:
        documents = [json.loads(summary.to_json()) if summary else {"run_id": path.name} for path, summary in found]
        click.echo(json.dumps(documents, indent=2))
    else:
        make_view().results(found)


@cli.command()
@on_testbed
def grafana(as_json: bool, stack: str | None, inventory: Path | None, settings: Path | None) -> None:
    """Open a tunnel to the testbed's Grafana, or to Prometheus where there is no Grafana, until Ctrl-C."""
    target = Target(stack, inventory, settings)
    with target.open() as testbed, testbed.dashboard(GRAFANA_PORT) as (what, port):
        address = f"http://127.0.0.1:{port}"
        if what == "prometheus":
            why = "`python -m benchmark status` tells whether its installation failed"
            click.echo(f"no Grafana runs on the monitoring host, so this leads to its Prometheus; {why}", err=True)
        click.echo(json.dumps({what: address}) if as_json else f"{what}: {address} (Ctrl-C ends the tunnel)")
        sys.stdout.flush()
        signal.pause()


@cli.command()
@click.argument("run")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port to listen on; by default any free one.")
@of_results
def prometheus(run: str, port: int, results_dir: Path) -> None:
    """Open the Prometheus snapshot that was saved with RUN (`run --snapshot`), until Ctrl-C."""
    from benchmark.orchestrator.snapshot import opened_snapshot
    from benchmark.results.run_folder import find_run

    with opened_snapshot(find_run(results_dir, run), port) as address:
        click.echo(f"prometheus: {address} (Ctrl-C ends it)")
        sys.stdout.flush()
        signal.pause()


@cli.command(context_settings={"ignore_unknown_options": True})
@click.option("--stack", help="Stack that holds the testbed; by default the selected one.")
@click.option("--inventory", type=click.Path(path_type=Path), help="Inventory file, instead of a stack.")
@click.argument("host")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def ssh(stack: str | None, inventory: Path | None, host: str, command: tuple[str, ...]) -> None:
    """Log in to HOST, or run COMMAND there, with OpenSSH."""
    from benchmark.remote.openssh import known_hosts_line, openssh_command

    target = Target(stack, inventory, None)
    entry = target.inventory.host(host)
    with tempfile.TemporaryDirectory() as folder:
        known_hosts = Path(folder, "known_hosts")
        known_hosts.write_text(known_hosts_line(entry))
        key = target.private_key
        if isinstance(key, str):
            path = Path(folder, "key")
            path.touch(mode=0o600)
            path.write_text(key)
            key = path
        words = openssh_command(entry, target.inventory.ssh.user, key, known_hosts, command)
        raise SystemExit(subprocess.run(words, check=False).returncode)


@cli.command()
@click.argument("run")
@click.argument("process", required=False)
@of_results
def logs(run: str, process: str | None, results_dir: Path) -> None:
    """Print the logs of RUN (an id, its beginning, or `latest`), of all processes or of PROCESS, such as node-0."""
    from benchmark.orchestrator.logs import find_logs, log_name, read_log
    from benchmark.results.run_folder import LOGS, find_run

    found = find_logs(find_run(results_dir, run) / LOGS, process)
    for path in found:
        if len(found) > 1:
            click.echo(f"==> {log_name(path)} on {path.parent.name} <==")
        click.echo(read_log(path))


def make_view() -> View:
    """Return what shows events and tables; rich takes a while to import."""
    from benchmark.cli.view import View

    return View()
