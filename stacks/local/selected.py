"""Find out whether a `pulumi` command is about local hosts, which need root.

`python -m stacks.local.selected ARGUMENT...` exits with 0 if the stack that the arguments name, or the selected one,
has local hosts. env.sh uses it to have sudo ask for the password before Pulumi starts.
"""

from __future__ import annotations

import json
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from benchmark.errors import TestbedError
from benchmark.settings import configured_settings

_DEADLINE_S = 30


def has_local_hosts(arguments: Sequence[str], project: Path) -> bool:
    """Return whether the stack of a command line has local hosts; False if its settings cannot be read.

    Pulumi reports then what is wrong with them.
    """
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--stack", "-s")
    stack = parser.parse_known_args(arguments)[0].stack
    command = ["pulumi", "config", "--json", "--non-interactive", *(["--stack", stack] if stack else [])]
    try:
        shown = subprocess.run(
            command, cwd=project, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=_DEADLINE_S
        )
        config = {name: entry.get("value") for name, entry in json.loads(shown.stdout).items()}
        settings = configured_settings(project, config, f"stack {stack or '(selected)'}")
    except (OSError, subprocess.SubprocessError, ValueError, TestbedError):
        return False
    return any(spec.provider == "local" for spec in settings.region_specs)


if __name__ == "__main__":
    sys.exit(not has_local_hosts(sys.argv[1:], Path.cwd()))
