"""Commands about the hosts: state, expiry and cost; checks and clean-up; dashboards and logins."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import click

from benchmark.cli import completers, messages
from benchmark.cli.help import Command, examples
from benchmark.cli.parameter_types import DurationType, NumberType
from benchmark.cli.target import Target, on_testbed, testbed_options
from benchmark.errors import UsageError
from benchmark.host_layout import GRAFANA_PORT


@click.command()
@on_testbed
def status(target: Target, as_json: bool) -> None:
    """Show which hosts are ready, their expiry and cost."""
    from benchmark.cli import testbed_status  # while Pulumi reads the stack, here and below

    testbed_status.show_status(target, as_json)


@click.command()
@on_testbed
@click.argument("duration", type=DurationType(timedelta(seconds=1)))
def extend(target: Target, as_json: bool, duration: timedelta) -> None:
    """Postpone automatic shutdown by DURATION, such as 4h."""
    from benchmark.cli import testbed_status

    testbed_status.extend_lifetime(target, duration, as_json)


@click.command()
@on_testbed
@click.option("--committee", type=NumberType(1), help="Check that this many nodes fit.")
def check(target: Target, as_json: bool, committee: int | None) -> None:
    """Check that a run can start: hosts, clocks, disks, ports."""
    from benchmark.cli import testbed_status

    testbed_status.show_check(target, committee, as_json)


@click.command()
@on_testbed
@click.option("--force", is_flag=True, help="Also end a run that is in progress.")
def stop(target: Target, as_json: bool, force: bool) -> None:
    """Kill leftover processes and clean up the hosts."""
    with target.open() as testbed:
        done = testbed.stop(force)
    ended = {name: fact.stale_processes for name, fact in done.ok.items() if fact.stale_processes}
    if as_json:
        click.echo(json.dumps({"ended": ended, "failed": done.failed}, indent=2))
    else:
        total = sum(ended.values())
        click.echo(f"killed {total} leftover process groups on {len(ended)} of {len(done.ok)} hosts")
    for name, fact in done.ok.items():
        if fact.foreign_folder:
            messages.warning(f"{name}: {fact.foreign_folder} was not made by a run and is left alone")
    done.raise_for_failures("could not clean up these hosts; run `geobench stop` again once they can be reached:")


@click.command()
@on_testbed
def grafana(target: Target, as_json: bool) -> None:
    """Forward a local port to the testbed's Grafana.

    It does so until Ctrl-C. Without Grafana the port leads to the testbed's Prometheus.
    """
    with target.open() as testbed, testbed.dashboard(GRAFANA_PORT) as (what, port):
        address = f"http://127.0.0.1:{port}"
        if what == "prometheus":
            advice = "`geobench watch` shows runs without Grafana"
            messages.note(f"Grafana does not run on the monitoring host, so this is its Prometheus; {advice}")
        click.echo(json.dumps({what: address}) if as_json else f"{what}: {address} (Ctrl-C closes the tunnel)")
        sys.stdout.flush()
        signal.pause()


@click.command(
    cls=Command,
    context_settings={"ignore_unknown_options": True},
    epilog=examples(
        "geobench ssh us-east-1-0",
        "geobench ssh node-0 -- ps aux --sort -rss",
        "geobench ssh all uptime",
    ),
)
@testbed_options
@click.argument("host", shell_complete=completers.hosts)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def ssh(stack: str | None, inventory: Path | None, settings: Path | None, host: str, command: tuple[str, ...]) -> None:
    """Log in to HOST, or run COMMAND there, with OpenSSH.

    HOST may be a process of the latest run, such as node-0. `all` runs COMMAND on every host at once; each line of
    output begins with its host, and the exit code is 1 if the command failed anywhere.
    """
    from benchmark.cli import remote_shell
    from benchmark.testbed.testbed import require_network

    target = Target(stack, inventory, settings)
    hosts = remote_shell.find_hosts(target, host)
    if host == remote_shell.ALL and not command:
        raise UsageError("`ssh all` needs a command, such as `geobench ssh all uptime`")
    require_network(target.inventory)
    with remote_shell.openssh(target, batch=host == remote_shell.ALL) as login:
        if host != remote_shell.ALL:
            raise SystemExit(subprocess.run(login(hosts[0], command), check=False).returncode)
        codes = remote_shell.stream({each.name: login(each, command) for each in hosts})
    failed = [f"{name} ({code})" for name, code in codes.items() if code]
    if failed:
        messages.error(f"the command failed on {len(failed)} of {len(hosts)} hosts: {', '.join(failed)}")
        raise SystemExit(1)
