"""What a manifest says of a run, read back from its JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import pytest

from benchmark.metrics.names import LOAD_GENERATOR, Metrics
from benchmark.orchestrator.manifest import versions
from benchmark.protocols.registry import find_protocol, protocol_names
from benchmark.results import manifest
from benchmark.settings import Settings


def stored(document: dict[str, Any]) -> Any:
    return json.loads(json.dumps(document))


@pytest.mark.parametrize("name", protocol_names())
def test_metrics_are_read_as_they_were_written(name: str) -> None:
    written = find_protocol(name).metrics
    assert manifest.metrics(stored({"metrics": asdict(written)})) == written


def test_metrics_of_a_system_of_ones_own_are_those_that_were_written() -> None:
    written = Metrics("commit_s", squared=None, job="node", counted_by="every", throughput="commits")
    assert manifest.metrics(stored({"metrics": asdict(written)})) == written


@pytest.mark.parametrize("interval", [timedelta(milliseconds=200), timedelta(seconds=1), timedelta(minutes=1)])
def test_the_scrape_interval_is_that_of_the_settings(interval: timedelta) -> None:
    settings = Settings(regions=("ewr",), scrape_interval=interval).model_dump(mode="json")
    assert manifest.scrape_interval(stored({"parameters": {"settings": settings}})) == interval.total_seconds()


def test_what_a_manifest_does_not_say_is_as_by_default() -> None:
    assert manifest.metrics({}) == LOAD_GENERATOR
    default = Settings(regions=("ewr",)).scrape_interval
    assert manifest.scrape_interval({}) == default.total_seconds()


def test_versions_name_what_took_part() -> None:
    found = versions()
    assert found["fabric"].count(".") >= 1
    assert set(found) > {"geobench", "python", "fabric", "numpy"}
