"""The manifest of a run: everything that its results depend on and that is needed to repeat it.

`manifest.json` is written and read with these classes only, so code cannot read a key that is never written. Manifests
of schema 1 are upgraded when they are read.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_core import from_json

from benchmark.errors import UsageError
from benchmark.faults.record import FaultRecord
from benchmark.inventory import Inventory
from benchmark.measure.warm_up import WarmUp
from benchmark.metrics.names import MetricNames
from benchmark.model import Finite, StrictModel
from benchmark.results.run_folder import MANIFEST
from benchmark.results.upgrade import JsonObject, add_disk, add_quorum, upgrade_manifest


class BuildRecord(StrictModel):
    """How the system's binaries were built."""

    packages: tuple[str, ...]
    command: str
    outputs: tuple[str, ...]
    repository: str | None
    """The protocol's default repository; `ArtifactRecord.repository` is the one used."""


class FileRecord(StrictModel):
    """One file of an artifact."""

    sha256: str
    size: int
    """Bytes."""


class VariantRecord(StrictModel):
    """The artifact for one architecture."""

    sha256: str
    """Hash of all its files, its name on the hosts."""
    files: dict[str, FileRecord]
    copied_to: tuple[str, ...]
    """Hosts to which this run copied it; the others already had it."""
    builder: str | None
    """Host that built it for this run; null if it was built earlier or supplied."""
    build_seconds: Finite
    changed: tuple[str, ...]
    """Files of the checkout that the build changed."""


class ArtifactRecord(StrictModel):
    """The binaries of the system and their origin."""

    source: Literal["repository", "binaries"]
    repository: str | None
    """URL without credentials."""
    requested: str | None
    """Branch, tag or hash as requested."""
    folder: str | None
    """Folder of binaries supplied by the user."""
    commit: str
    previous_commit: str | None
    """Commit that `requested` resolved to the last time on this testbed."""
    build: BuildRecord | None
    variants: dict[str, VariantRecord]
    """By architecture."""


class PhaseRecord(StrictModel):
    """A part of the measured window, after the one before it."""

    name: str
    duration_s: Finite


class Parameters(StrictModel):
    """What the user requested with settings and options."""

    settings: JsonObject
    """The settings without credentials; another version of this tool may not accept them."""
    scrape_interval_s: Finite
    requested_tps: int
    scheduled_tps: int
    """Sum of `shares_tps`; differs from the request if the protocol offers only multiples of a step."""
    shares_tps: tuple[int, ...]
    """Scheduled load of each client, or of each node where nodes generate the load."""
    duration_s: Finite
    warm_up_s: Finite
    load_shape: str
    phases: tuple[PhaseRecord, ...] = ()
    node_parameters: JsonObject
    client_parameters: JsonObject


class ProcessRecord(StrictModel):
    """One process as it was started."""

    host: str
    argv: tuple[str, ...]
    environment: dict[str, str]
    prepare: tuple[str, ...] = ()
    ready: str = ""
    user: str = ""
    """User that ran it where the login is root; empty for the login."""
    files: dict[str, str] = {}
    """SHA-256 of each file in its folder, by path; `Placement.file_contents` has the texts."""


class Placement(StrictModel):
    """Which hosts run nodes and clients."""

    nodes: tuple[str, ...]
    clients: tuple[str, ...]
    processes: dict[str, ProcessRecord]
    file_contents: dict[str, str] = {}
    """Texts of the files of all processes by their SHA-256; large ones and binaries are left out."""


class DefinitionRecord(StrictModel):
    """What the system is, apart from its parameters; equal definitions are the same system."""

    sha256: str
    """Of `content`."""
    content: JsonObject
    """The fields of the file that describes the system, or the hash of a plugin's source code."""


class HostFacts(StrictModel):
    """Facts that a host reported before the run; sizes in MiB."""

    stale_processes: int
    """Process groups of an earlier run that were killed."""
    cpus: int
    memory_mb: int
    memory_free_mb: int
    disk_free_mb: int
    kernel: str
    cpu_model: str = ""
    """Empty where it is unknown, as is `os`."""
    os: str = ""
    boot_id: str
    packages: dict[str, str]
    """Version of each package that the system needs; empty if it is not installed."""


class RunTimes(StrictModel):
    """Start of the load, and start and end of the measured window, in Unix seconds."""

    load: Finite
    start: Finite
    end: Finite


class RoundTripRecord(StrictModel):
    """Shortest of several round trips from one region to another, in ms; null if it is unknown."""

    before_ms: Finite | None
    """While the processes started."""
    after_ms: Finite | None
    """Once they had ended."""


class ClockOffset(StrictModel):
    """How far a host's clock was ahead of the operator's, and the error of this estimate, in seconds."""

    offset_s: Finite
    error_s: Finite


class ProcessState(StrictModel):
    """Start, readiness and exit code of one process; times in Unix seconds by the operator's clock."""

    started: Finite | None
    ready: Finite | None
    exit_code: int | None
    started_again: Finite | None = None
    """The last start after a fault had ended the process."""
    ready_again: Finite | None = None


class Manifest(StrictModel):
    """The content of `manifest.json`; fields with defaults become known during the run."""

    schema_version: Literal[2] = Field(default=2, alias="schema")
    run_id: str
    name: str | None
    protocol: str
    definition: DefinitionRecord | None = None
    """Null for systems that are part of this tool, whose version covers them."""
    metrics: MetricNames
    """Names of the metrics of latency and throughput, and which processes export them."""
    quorum: Literal["majority"] | None = None
    """`majority` if a leader answers requests once most nodes have them; null if that is not known."""
    commit: str
    packages: dict[str, str]
    artifact: ArtifactRecord | None
    """Null for a system that is installed from packages."""
    parameters: Parameters
    placement: Placement
    rtt_ms: dict[str, Finite]
    """Round-trip times between regions in ms, by `FROM/TO`, that were known when the run was planned."""
    inventory: Inventory
    hosts: dict[str, HostFacts]
    versions: dict[str, str]
    """Versions of this tool and of the tools that it runs."""
    command: tuple[str, ...]
    """The command line that started the run, without credentials."""
    faults: tuple[FaultRecord, ...] = ()
    times: RunTimes | None = None
    warm_up: WarmUp | None = None
    start_skew_s: Finite | None = None
    """Time from the start of the first node to the start of the last."""
    network: dict[str, RoundTripRecord] = {}
    """Round trips before and after the run by `FROM/TO`, also within regions; `inventory.round_trips` has those that
    were requested of an emulated network."""
    clock_offsets_s: dict[str, ClockOffset] = {}
    processes: dict[str, ProcessState] = {}
    timings_s: dict[str, Finite] = {}
    """Duration of each phase, of the system's start-up (`system_start`), and of everything except start-up, warm-up and
    window (`overhead`)."""

    @property
    def round_trips(self) -> dict[tuple[str, str], float]:
        """Measured round-trip times between regions in ms, by (from, to)."""
        return {(a, b): ms for pair, ms in self.rtt_ms.items() for a, _, b in [pair.partition("/")]}

    def to_json(self) -> str:
        """Return the text of `manifest.json`."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of the run in `folder`; UsageError if it is missing or damaged."""
    path = folder / MANIFEST
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}; expected the folder of a run") from None
    return parse_manifest(text, str(path))


def parse_manifest(text: str | bytes, source: str) -> Manifest:
    """Read the text of a manifest of any schema; `source` names it in errors (UsageError)."""
    try:
        document = from_json(text)
        if isinstance(document, dict) and document.get("schema") == 1:
            upgrade_manifest(document)
        if isinstance(document, dict):
            add_disk(document)
            add_quorum(document)
            text = json.dumps(document)
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "document"
        raise UsageError(f"{source} is not a manifest: {field}: {first['msg']}") from None
    except ValueError as error:
        raise UsageError(f"{source} is not a manifest: {error}") from None
