"""Search and compress the logs of a run on the hosts that wrote them, and read them back.

collect_logs.sh runs there; it contains the patterns that it searches for.
"""

from __future__ import annotations

import gzip
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmark.errors import InfrastructureError, UsageError
from benchmark.host_scripts import read_script
from benchmark.protocols.process import Process
from benchmark.results.log_findings import KINDS, LIMIT, Finding, Kind, LogReport

LINES = 3
SUFFIX = ".log.gz"
_COLLECTED = "collected"


def script() -> str:
    """Return the bash script that searches and compresses; it is sent on standard input of `collect_command`."""
    return read_script("collect_logs.sh")


def collect_command(run_directory: str, limit: int = LIMIT) -> str:
    """Return the command that runs the script in a run's folder on a host."""
    return "exec " + shlex.join(["bash", "-s", "--", run_directory, str(limit), str(LINES)])


def collected(processes: Iterable[Process], run_directory: str) -> dict[str, list[str]]:
    """Return the files that the script creates, by host."""
    files: dict[str, list[str]] = {}
    for process in processes:
        files.setdefault(process.host.name, []).append(f"{run_directory}/{_COLLECTED}/{process.name}{SUFFIX}")
    return files


def parse_report(outputs: Mapping[str, str]) -> LogReport:
    """Parse the script's output on each host; InfrastructureError if it is invalid."""
    report = LogReport()
    counts: dict[tuple[str, Kind], int] = {}
    lines: dict[tuple[str, Kind], list[str]] = {}
    for host, output in outputs.items():
        for line in output.splitlines():
            match line.split("\t"):
                case ["found", name, ("panic" | "crash" | "error") as kind, count]:
                    counts[name, kind] = int(count)
                case ["line", name, ("panic" | "crash" | "error") as kind, text]:
                    lines.setdefault((name, kind), []).append(text.strip())
                case ["cut", name, size]:
                    report.cut[name] = int(size)
                case _:
                    raise InfrastructureError(f"{host}: collect_logs.sh printed {line!r:.200}")
    for key in sorted(counts, key=lambda each: (each[0], KINDS.index(each[1]))):
        report.findings.setdefault(key[0], {})[key[1]] = Finding(count=counts[key], first=lines.get(key, []))
    return report


def find_logs(folder: Path, process: str | None) -> list[Path]:
    """Return the logs in a run's folder of logs, all or that of `process`; UsageError names the existing ones."""
    found = sorted(folder.glob(f"*/{process or '*'}{SUFFIX}"))
    if not found:
        have = ", ".join(sorted(log_name(path) for path in folder.glob(f"*/*{SUFFIX}"))) or "none"
        raise UsageError(f"no logs of {process or 'any process'} in {folder}; existing ones: {have}")
    return found


def log_name(path: Path) -> str:
    """Return the name of the process that wrote a log."""
    return path.name.removesuffix(SUFFIX)


def read_log(path: Path) -> str:
    """Return the text of a log; invalid bytes are replaced."""
    with gzip.open(path, "rt", encoding="utf-8", errors="replace") as file:
        return file.read()
