"""Search and compress the logs of a run on the hosts that wrote them.

collect_logs.sh runs there; it contains the patterns that it searches for.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Mapping

from benchmark.host_scripts import read_script
from benchmark.protocols.process import Process
from benchmark.results.log_files import SUFFIX
from benchmark.results.log_findings import KINDS, LIMIT, Finding, Kind, LogReport

LINES = 3
_LONGEST_LINE = 400
_COLLECTED = "collected"


def script() -> str:
    """Return the bash script that searches and compresses; it is sent on standard input of `collect_command`."""
    return read_script("collect_logs.sh")


def collect_command(run_directory: str, limit: int = LIMIT) -> str:
    """Return the command that runs the script in a run's folder on a host."""
    return "exec " + shlex.join(["bash", "-s", "--", run_directory, str(limit), str(LINES)])


def names_by_host(processes: Iterable[Process]) -> dict[str, list[str]]:
    """Return the names of the processes on each host."""
    names: dict[str, list[str]] = {}
    for process in processes:
        names.setdefault(process.host.name, []).append(process.name)
    return names


def collected(report: LogReport, run_directory: str) -> dict[str, list[str]]:
    """Return the files that the script has created, by host: processes that were not started have no log."""
    folder = f"{run_directory}/{_COLLECTED}"
    return {host: [f"{folder}/{name}{SUFFIX}" for name in names] for host, names in report.kept.items()}


def parse_report(outputs: Mapping[str, str], known: Mapping[str, Collection[str]]) -> LogReport:
    """Parse the script's output on each host, about the processes that are `known` there.

    The rest of an output that is something else is ignored, and noted in `problems`.
    """
    report = LogReport()
    counts: dict[tuple[str, Kind], int] = {}
    lines: dict[tuple[str, Kind], list[str]] = {}
    for host, output in outputs.items():
        for line in filter(None, output.split("\n")):
            try:
                match line.split("\t"):
                    case [_, name, *_] if name not in known[host]:
                        raise ValueError(name)
                    case ["found", name, ("panic" | "crash" | "error") as kind, count]:
                        counts[name, kind] = int(count)
                    case ["line", name, ("panic" | "crash" | "error") as kind, text]:
                        lines.setdefault((name, kind), []).append(text.strip()[:_LONGEST_LINE])
                    case ["cut", name, size]:
                        report.cut[name] = int(size)
                    case ["kept", name]:
                        report.kept.setdefault(host, []).append(name)
                    case _:
                        raise ValueError(line)
            except ValueError:
                report.problems[host] = f"collect_logs.sh printed {line!r:.200}"
                break
    for key in sorted((key for key in counts if counts[key] > 0), key=lambda key: (key[0], KINDS.index(key[1]))):
        report.findings.setdefault(key[0], {})[key[1]] = Finding(count=counts[key], first=lines.get(key, []))
    return report
