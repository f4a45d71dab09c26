"""How to reproduce a run: its testbed, settings, command, versions and files."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import yaml
from pydantic import ValidationError

from benchmark.report import formatting
from benchmark.report.run_data import Record
from benchmark.settings import Settings


def processes(record: Record) -> list[tuple[str, str, str]]:
    """Return name, host and command of every process of the run."""
    processes = record.manifest.placement.processes
    return [(name, process.host, shlex.join(process.argv)) for name, process in processes.items()]


def versions(record: Record) -> list[tuple[str, str]]:
    """Return the kinds of hosts and the versions of all software involved."""
    facts = record.manifest.hosts.values()
    platform = [
        (label, ", ".join(sorted({found for host in facts if (found := getattr(host, name))})))
        for label, name in (
            ("processors", "cpu_model"),
            ("operating systems", "os"),
            ("kernels of the hosts", "kernel"),
        )
    ]
    specs: dict[str, int] = {}
    for host in record.manifest.inventory.hosts:
        memory = f", {host.memory_mb} MiB" if host.memory_mb else ""
        cpus = f", {host.cpus} processors" if host.cpus else ""
        name = f"{host.provider} {host.specs}{cpus}{memory}"
        specs[name] = specs.get(name, 0) + 1
    machines = [f"{count} {name}" for name, count in specs.items()]
    versions = record.manifest.versions
    return [("hosts", "; ".join(machines)), *[row for row in platform if row[1]], *versions.items()]


def commands(record: Record) -> list[str]:
    """Return the commands that recreate the testbed and repeat the run, one per line."""
    asked = shlex.join(record.manifest.command[1:])
    if built := _repository(record):
        asked = re.sub(r"(?<=--commit[ =])\S+", built["commit"], asked)  # a branch or tag may have moved since
    testbed = record.manifest.inventory.testbed_id
    return [
        f"pulumi stack select --create {shlex.quote(testbed)}",
        "pulumi config set settings settings.yaml",
        "pulumi up",
        f"geobench {asked}",
    ]


def settings(record: Record) -> str:
    """Return the settings as YAML, also those with default values, which another version may change; none are empty."""
    given = record.manifest.parameters.settings
    try:
        full = Settings.model_validate(given).model_dump(mode="json")
    except ValidationError:  # of another version
        full = dict(given)
    kept = {name: value for name, value in full.items() if value not in (None, [], {})}
    if built := _repository(record):
        kept["repository"] = built
    return str(yaml.safe_dump(kept, sort_keys=False, allow_unicode=True))


def definition(record: Record) -> str:
    """Return what describes the system, as YAML; empty for a system that is part of this tool."""
    found = record.manifest.definition
    return str(yaml.safe_dump(found.content, sort_keys=False, allow_unicode=True)) if found else ""


def _repository(record: Record) -> dict[str, str] | None:
    """Return repository and exact commit that the system was built from, without secrets; None if it was not built."""
    artifact = record.manifest.artifact
    if artifact is None or artifact.repository is None:
        return None
    return {"url": artifact.repository, "commit": artifact.commit}


def files(folder: Path) -> Sequence[tuple[str, str]]:
    """Return the files in the run's folder, relative to it, with their sizes."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return [
        (path.relative_to(folder).as_posix(), formatting.size(path.stat().st_size))
        for path in found
        if path.name != "report.html"
    ]
