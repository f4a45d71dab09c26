"""The command that checks files without a testbed."""

from __future__ import annotations

import json
from pathlib import Path

import click

from benchmark.cli import messages
from benchmark.cli.help import Command, examples
from benchmark.cli.target import json_option
from benchmark.orchestrator.check_files import check_file


@click.command(
    cls=Command,
    epilog=examples("geobench validate my-settings.yaml", "geobench validate assets/*.yaml assets/declared/*.yaml"),
)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@json_option
def validate(files: tuple[Path, ...], as_json: bool) -> None:
    """Check settings and described systems, without any host.

    All errors are listed with line and column; exit code 2 if there are any. What only a cloud knows, such as whether
    it offers an instance type, is checked by `pulumi preview`.
    """
    found = {path: check_file(path) for path in files}
    if as_json:
        documents = [
            {
                "file": str(path),
                "kind": checked.kind,
                "errors": [{**each.place._asdict(), "message": each.message} for each in checked.problems],
            }
            for path, checked in found.items()
        ]
        click.echo(json.dumps(documents, indent=2))
    else:
        for path, checked in found.items():
            for problem in checked.problems:
                messages.error(str(problem))
            if not checked.problems:
                click.echo(f"{path}: valid {'settings' if checked.kind == 'settings' else 'description of a system'}")
    if any(checked.problems for checked in found.values()):
        raise SystemExit(2)
