"""Settings of a testbed and of the benchmarks on it."""

from __future__ import annotations

from benchmark.settings.durations import Duration, format_duration, parse_duration
from benchmark.settings.model import (
    PROJECT,
    Machine,
    Network,
    RegionSpec,
    Repository,
    Settings,
    configured_settings,
    load_settings,
    parse_settings,
    stack_settings,
)
from benchmark.settings.redaction import redact, redact_document, redact_words
from benchmark.settings.regions import KnownRegion, known_regions
from benchmark.settings.yaml_files import expand, explained, parse_value, read_mapping

__all__ = [
    "PROJECT",
    "Duration",
    "KnownRegion",
    "Machine",
    "Network",
    "RegionSpec",
    "Repository",
    "Settings",
    "configured_settings",
    "expand",
    "explained",
    "format_duration",
    "known_regions",
    "load_settings",
    "parse_duration",
    "parse_settings",
    "parse_value",
    "read_mapping",
    "redact",
    "redact_document",
    "redact_words",
    "stack_settings",
]
