"""Convert result files of schema 1 to today's.

Every function takes the parsed document and changes it in place; a document that was never of that schema raises
ValueError. What is filled in is what such a run did, never a guess.
"""

from __future__ import annotations

import re

from pydantic import JsonValue

from benchmark.settings import parse_duration

JsonObject = dict[str, JsonValue]

_SCRAPE_INTERVAL = "5s"
"""The default while manifests of schema 1 were written."""

_EVENT_KINDS: dict[str, JsonValue] = {
    "run": "run_started",
    "phase": "phase_started",
    "phase_end": "phase_ended",
    "summary": "summary_written",
}


def member(document: JsonObject, name: str) -> JsonObject:
    """Return the object called `name` within a document; ValueError if there is none."""
    found = document.get(name)
    if not isinstance(found, dict):
        raise ValueError(f"{name}: expected an object")
    return found


def members(document: JsonObject) -> list[JsonObject]:
    """Return the values of a document that holds objects only; ValueError if it holds anything else."""
    return [member(document, name) for name in document]


def items(document: JsonObject, name: str) -> list[JsonObject]:
    """Return the objects in the list called `name`; ValueError if it holds anything else."""
    found = document.get(name)
    if not isinstance(found, list):
        raise ValueError(f"{name}: expected a list")
    return [member({name: each}, name) for each in found]


def rename(document: JsonObject, **names: str) -> None:
    """Give each key its new name, where the document has it."""
    for old, new in names.items():
        if old in document:
            document[new] = document.pop(old)


def upgrade_manifest(document: JsonObject) -> None:
    """Convert a manifest of schema 1."""
    document["schema"] = 2
    # Before these keys existed, every system came from packages and was measured by the load generator's metrics.
    document.setdefault("artifact", None)
    document.setdefault("metrics", {})
    metrics = member(document, "metrics")
    if "counted_by" in metrics:
        metrics["aggregation"] = "median" if metrics.pop("counted_by") == "every" else "sum"
    parameters = member(document, "parameters")
    settings = member(parameters, "settings")
    rename(settings, profile="load_shape")
    rename(parameters, profile="load_shape", load_tps="requested_tps", offered_tps="scheduled_tps")
    parameters.setdefault("load_shape", "constant")
    shares = parameters.get("shares_tps")
    if "scheduled_tps" not in parameters and isinstance(shares, list):
        parameters["scheduled_tps"] = sum(share for share in shares if isinstance(share, int))
    interval = str(settings.get("scrape_interval", _SCRAPE_INTERVAL))
    parameters["scrape_interval_s"] = parse_duration(interval).total_seconds()
    for facts in members(member(document, "hosts")):
        rename(facts, left_over="stale_processes")
    if not document.get("times"):
        document["times"] = None
    if document["artifact"] is not None:
        artifact = member(document, "artifact")
        artifact["source"] = artifact.pop("from", None)
        for variant in members(member(artifact, "variants")):
            rename(variant, given_to="copied_to")


def upgrade_event(document: JsonObject) -> JsonObject:
    """Return an event of schema 1, whose fields are in `data`, as one of today."""
    data, kind = member(document, "data"), document.get("kind")
    rename(data, load="requested_tps", offered_tps="scheduled_tps", achieved_tps="completed_tps", timings="timings_s")
    if kind == "summary":
        summary = member(data, "summary")
        del data["summary"]
        data |= {"run_id": summary.get("run_id"), "status": summary.get("status")}
    if kind == "progress":
        found = {name: data.pop(name, None) for name in ("mean_s", "p50_s", "p99_s")}
        data["latencies_s"] = {name: value for name, value in found.items() if value is not None}
    return {**data, "kind": _EVENT_KINDS.get(str(kind), kind), "time": document.get("time")}


def upgrade_sweep(document: JsonObject) -> None:
    """Convert the journal of a sweep of schema 1."""
    _upgrade_journal(document)
    for request in members(member(document, "requests")):
        _upgrade_request(request)
    rename(document, slots="planned_runs")
    for planned in items(document, "planned_runs"):
        rename(planned, load="requested_tps")


def upgrade_search(document: JsonObject) -> None:
    """Convert the journal of a search of schema 1."""
    _upgrade_journal(document)
    _upgrade_request(member(document, "request"))
    rename(document, plan="config")
    for step in items(document, "steps"):
        rename(step, load_tps="requested_tps")


def _upgrade_journal(document: JsonObject) -> None:
    document["schema"] = 2
    options = member(document, "options")
    rename(options, profile="load_shape")
    for side in ("a", "b"):
        words = options.get(side)
        if isinstance(words, list):
            options[side] = [re.sub(r"^profile=", "load_shape=", str(word)) for word in words]


def _upgrade_request(request: JsonObject) -> None:
    rename(request, profile="load_shape")
    if request:
        rename(member(member(request, "parameters"), "settings"), profile="load_shape")
