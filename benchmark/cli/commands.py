"""The group of commands; each command's module is imported when the command is called."""

from __future__ import annotations

from importlib import import_module

import click

from benchmark.version import describe_version

COMMANDS = {
    "check": ("hosts", "Check that a run can start: hosts reachable, clocks, disks, ports."),
    "compare": ("compare", "Compare two runs or sweeps, or run A and B alternately."),
    "extend": ("hosts", "Postpone automatic shutdown by DURATION, such as 4h."),
    "grafana": ("hosts", "Forward a local port to the testbed's Grafana, until Ctrl-C."),
    "logs": ("results", "Print the logs of RUN."),
    "network": ("network", "Measure the network between the hosts."),
    "profile": ("profile", "Sample NODE of the current run and draw a flame graph."),
    "prometheus": ("results", "Serve the Prometheus snapshot of RUN, until Ctrl-C."),
    "report": ("report", "Write the report of a run, sweep or search, or of a comparison."),
    "results": ("results", "List all runs with their results."),
    "run": ("run", "Benchmark the system at each offered load."),
    "search": ("search", "Find the highest load that meets the limits."),
    "ssh": ("hosts", "Log in to HOST, or run COMMAND there, with OpenSSH."),
    "status": ("hosts", "Show which hosts are ready, when they shut down and what they cost."),
    "stop": ("hosts", "Kill leftover processes and clean up the hosts."),
}
"""Each command with its module in this package and its short help, which `--help` prints without an import."""


class LazyGroup(click.Group):
    """A group whose commands are defined in the modules that `COMMANDS` names."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Return the names of all commands, sorted."""
        return sorted(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Import the module of a command and return the command; an unknown name is an error with near matches."""
        if name not in COMMANDS:
            if name.startswith("-"):
                return None  # click reports an unknown option
            raise click.NoSuchCommand(name, possibilities=COMMANDS, ctx=context)
        module = import_module(f"benchmark.cli.{COMMANDS[name][0]}")
        command: click.Command = getattr(module, name)
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the names and short helps of all commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(context)])


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(describe_version())
        context.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
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
