"""Define, read and validate the settings of a testbed and its benchmarks."""

from __future__ import annotations

from benchmark.settings.disk import Disk
from benchmark.settings.document import Document, Place, parse_document, read_document, split_place
from benchmark.settings.durations import Duration, format_duration, parse_duration
from benchmark.settings.faults import FaultRequest, Recovery, parse_fault, place_in_phases
from benchmark.settings.load import (
    PROJECT,
    FaultFile,
    configured_settings,
    load_faults,
    load_settings,
    parse_settings,
    stack_settings,
)
from benchmark.settings.model import BuildSettings, Machine, RegionSpec, Repository, Settings
from benchmark.settings.network import (
    Jitter,
    Link,
    Loss,
    Matrix,
    Network,
    RoundTrip,
    Trace,
    format_trace,
    read_matrix,
    read_trace,
)
from benchmark.settings.phases import PhaseRequest, check_duration, parse_phase, total_duration
from benchmark.settings.redaction import has_literal_secret, redact, redact_document, redact_words, redacted
from benchmark.settings.regions import KnownRegion, known_regions
from benchmark.settings.requirements import missing_requirements
from benchmark.settings.shares import parse_share
from benchmark.settings.validation import explain_errors, pattern
from benchmark.settings.yaml_files import expand, parse_value, parse_yaml, read_mapping, read_text, require_mapping

__all__ = [
    "PROJECT",
    "BuildSettings",
    "Disk",
    "Document",
    "Duration",
    "FaultFile",
    "FaultRequest",
    "Jitter",
    "KnownRegion",
    "Link",
    "Loss",
    "Machine",
    "Matrix",
    "Network",
    "PhaseRequest",
    "Place",
    "Recovery",
    "RegionSpec",
    "Repository",
    "RoundTrip",
    "Settings",
    "Trace",
    "check_duration",
    "configured_settings",
    "expand",
    "explain_errors",
    "format_duration",
    "format_trace",
    "has_literal_secret",
    "known_regions",
    "load_faults",
    "load_settings",
    "missing_requirements",
    "parse_document",
    "parse_duration",
    "parse_fault",
    "parse_phase",
    "parse_settings",
    "parse_share",
    "parse_value",
    "parse_yaml",
    "pattern",
    "place_in_phases",
    "read_document",
    "read_mapping",
    "read_matrix",
    "read_text",
    "read_trace",
    "redact",
    "redact_document",
    "redact_words",
    "redacted",
    "require_mapping",
    "split_place",
    "stack_settings",
    "total_duration",
]
