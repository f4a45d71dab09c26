"""Commands about the hosts: state, expiry and cost; checks and clean-up; dashboards and logins."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import click

from benchmark.cli import messages
from benchmark.cli.target import DurationType, Target, inventory_option, on_testbed, stack_option
from benchmark.host_layout import GRAFANA_PORT
from benchmark.remote.openssh import known_hosts_line, openssh_command


@click.command()
@on_testbed
def status(target: Target, as_json: bool) -> None:
    """Show which hosts are ready, when they shut down and what they cost."""
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
@click.option("--committee", type=click.IntRange(1), help="Check that this many nodes fit.")
def check(target: Target, as_json: bool, committee: int | None) -> None:
    """Check that a run can start: hosts reachable, clocks, disks, ports."""
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
    """Forward a local port to the testbed's Grafana, until Ctrl-C.

    Without Grafana the port leads to the testbed's Prometheus.
    """
    with target.open() as testbed, testbed.dashboard(GRAFANA_PORT) as (what, port):
        address = f"http://127.0.0.1:{port}"
        if what == "prometheus":
            advice = "see `geobench status` for a failed installation"
            messages.note(f"Grafana does not run on the monitoring host, so this is its Prometheus; {advice}")
        click.echo(json.dumps({what: address}) if as_json else f"{what}: {address} (Ctrl-C closes the tunnel)")
        sys.stdout.flush()
        signal.pause()


@click.command(context_settings={"ignore_unknown_options": True})
@stack_option
@inventory_option
@click.argument("host")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def ssh(stack: str | None, inventory: Path | None, host: str, command: tuple[str, ...]) -> None:
    """Log in to HOST, or run COMMAND there, with OpenSSH."""
    from benchmark.testbed.testbed import require_network

    target = Target(stack, inventory, None)
    entry = target.inventory.host(host)
    require_network(target.inventory)
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
