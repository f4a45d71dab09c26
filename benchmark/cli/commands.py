"""The group of commands; each command's module is imported when the command is called."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from benchmark.version import describe_version

Sections = Mapping[str, Mapping[str, tuple[str, str]]]

SECTIONS: Sections = {
    "Set up": {
        "init": ("init", "Write a settings file: answer five questions, or give options."),
        "validate": ("validate", "Check settings and described systems, without any host."),
        "completion": ("completion", "Print the completion script of a shell."),
    },
    "Testbed": {
        "status": ("hosts", "Show which hosts are ready, their expiry and cost."),
        "check": ("hosts", "Check that a run can start: hosts, clocks, disks, ports."),
        "extend": ("hosts", "Postpone automatic shutdown by DURATION, such as 4h."),
        "stop": ("hosts", "Kill leftover processes and clean up the hosts."),
        "ssh": ("hosts", "Log in to HOST, or run COMMAND there, with OpenSSH."),
        "network": ("network", "Measure the network between the hosts."),
        "grafana": ("hosts", "Forward a local port to the testbed's Grafana."),
    },
    "Runs": {
        "run": ("run", "Benchmark the system at each offered load."),
        "search": ("search", "Find the highest load that meets the limits."),
        "compare": ("compare", "Compare two runs or sweeps, or run A and B alternately."),
        "watch": ("watch", "Show RUN in a browser while it is in progress."),
        "profile": ("profile", "Sample NODE of the current run and draw a flame graph."),
    },
    "Results": {
        "results": ("library", "List, tag, export and delete results."),
        "report": ("report", "Write the report of results, or of a comparison."),
        "logs": ("results", "Print the logs of RUN."),
        "prometheus": ("results", "Serve the Prometheus snapshot of RUN."),
    },
}
"""The sections of `--help`: each command with its module in this package and its short help, which needs no import."""
COMMANDS = {name: entry for section in SECTIONS.values() for name, entry in section.items()}

COMPLETE_VARIABLE = "_GEOBENCH_COMPLETE"
"""Environment variable by which a shell's completion script calls this program."""

_EXAMPLES = """\b
Examples:
  pulumi up                          create the testbed
  geobench run --loads 200           one run
  geobench run --loads 200:1000:200 --repeat 3
                                     a sweep with confidence intervals
  geobench report                    the latest results as one page

`geobench COMMAND --help` has examples and defaults of a command."""


class LazyGroup(click.Group):
    """A group whose commands are defined in modules of this package, imported when they are called.

    `sections` has for each command its module and its short help, which is printed without an import.
    """

    def __init__(self, *given: Any, sections: Sections = SECTIONS, **named: Any) -> None:
        super().__init__(*given, **named)
        self._sections = sections
        self._modules = {name: entry for section in sections.values() for name, entry in section.items()}

    def list_commands(self, context: click.Context) -> list[str]:
        """Return the names of all commands, in the order of `--help`."""
        return list(self._modules)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Import the module of a command and return the command; an unknown name is an error with near matches."""
        if name not in self._modules:
            if name.startswith("-"):
                return None  # click reports an unknown option
            raise click.NoSuchCommand(name, possibilities=self._modules, ctx=context)
        module = import_module(f"benchmark.cli.{self._modules[name][0]}")
        command: click.Command = getattr(module, name)
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the names and short helps of all commands, by section."""
        width = max(map(len, self._modules))
        for title, section in self._sections.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), text) for name, (_, text) in section.items()])


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(describe_version())
        context.exit()


@click.group(cls=LazyGroup, epilog=_EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]})
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
