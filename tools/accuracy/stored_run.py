"""Name a stored run on the command line of a tool, as the commands of `geobench` do."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from benchmark.cli.target import results_dir
from benchmark.errors import TestbedError
from benchmark.results.find import find_run


def with_run(tool: Callable[[Path], int], description: str | None) -> int:
    """Call `tool` with the folder of the run that the only argument names; return its exit code, or 2 for an error."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", help="an id, a unique prefix of it, a folder, or `latest`")
    try:
        return tool(find_run(results_dir(), parser.parse_args().run))
    except TestbedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
