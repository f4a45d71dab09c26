"""Run a load generator: `python3 load_generator.pyz --config FILE`."""

from __future__ import annotations

import json
import resource
import sys

from .config import Config
from .fields import ConfigError
from .generator import Generator, ProcessError


def allow_open_files(config: Config) -> None:
    """Raise the limit of open files as the connections require; ConfigError if it cannot be raised so far."""
    targets = {(host, port) for workload in config.workloads for host, port, _ in workload.targets}
    needed = config.max_connections * len(targets) + 64
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise ConfigError(f"max_connections: needs {needed} open files, but the limit is {hard} (`ulimit -Hn`)")
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def main(arguments: list[str]) -> int:
    """Run the generator; return its exit code."""
    if len(arguments) != 2 or arguments[0] != "--config":
        print("usage: python3 load_generator.pyz --config FILE", file=sys.stderr)
        return 2
    try:
        with open(arguments[1], encoding="utf-8") as file:  # noqa: PTH123 - pathlib takes long to import
            config = Config(json.load(file))
        allow_open_files(config)
        generator = Generator(config)
    except (ConfigError, ValueError) as error:
        print(f"load_generator: {arguments[1]}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"load_generator: {error.filename or 'listen ' + str(config.listen)}: {error.strerror}", file=sys.stderr)
        return 2 if error.filename else 1
    try:
        generator.run()
    except ConfigError as error:
        print(f"load_generator: {error}", file=sys.stderr)
        return 2
    except ProcessError as error:
        print(f"load_generator: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if not error.filename:
            raise
        print(f"load_generator: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
