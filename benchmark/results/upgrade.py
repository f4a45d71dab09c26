"""Upgrade result files of schema 1, and of earlier versions within schema 2, to the current schema.

Each function takes the parsed document and changes it in place; ValueError if the document was never of its schema.
Missing values are filled in with what runs did at that time, never guessed.
"""

from __future__ import annotations

import re

from pydantic import JsonValue

from benchmark.settings import parse_duration

JsonObject = dict[str, JsonValue]

_SCRAPE_INTERVAL = "5s"
"""The default at the time of schema 1."""

_DISK: JsonValue = {"durable": False, "size": "20GB", "bandwidth": None}
"""Of local hosts before there was a setting: fsync returned at once."""

_STATISTICS = {"due_tps": "scheduled_tps", "submitted_tps": "sent_tps", "throughput_tps": "completed_tps"}
"""Rates of a summary, and of each of its regions and clients."""

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
    """Return the values of a document, which must all be objects; ValueError otherwise."""
    return [member(document, name) for name in document]


def items(document: JsonObject, name: str) -> list[JsonObject]:
    """Return the list called `name`, whose items must be objects; ValueError otherwise."""
    found = document.get(name)
    if not isinstance(found, list):
        raise ValueError(f"{name}: expected a list")
    return [member({name: each}, name) for each in found]


def rename(document: JsonObject, **names: str) -> None:
    """Rename the keys that the document has, given as `old=new`."""
    for old, new in names.items():
        if old in document:
            document[new] = document.pop(old)


def upgrade_manifest(document: JsonObject) -> None:
    """Upgrade a manifest."""
    document["schema"] = 2
    # Before these keys existed, every system was installed from packages and measured by the load generator.
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


def add_disk(document: JsonObject) -> None:
    """Add the disk of local hosts to a manifest of schema 2 from before the settings had one."""
    try:
        settings = member(member(document, "parameters"), "settings")
        hosts = items(member(document, "inventory"), "hosts")
    except ValueError:
        return  # the model says what is wrong
    if "disk" not in settings and any(host.get("provider") == "local" for host in hosts):
        settings["disk"] = _DISK


def add_quorum(document: JsonObject) -> None:
    """Add how the leader commits to a manifest of schema 2 from before it was recorded."""
    if document.get("protocol") == "etcd":
        document.setdefault("quorum", "majority")


def upgrade_summary(document: JsonObject) -> None:
    """Upgrade a summary."""
    document["schema"] = 2
    rename(document, load_tps="requested_tps", offered_tps="sent_tps", **_STATISTICS)
    for groups in ("by_region", "by_client"):
        if groups in document:
            for statistics in members(member(document, groups)):
                rename(statistics, **_STATISTICS)
                _upgrade_latency(statistics)
    _upgrade_latency(document)


def _upgrade_latency(statistics: JsonObject) -> None:
    """Keep the latency of completed transactions as such; that of all transactions is unknown where some failed."""
    statistics["successful_latency_s"] = statistics.get("latency_s")
    if statistics.get("errors"):
        statistics["latency_s"] = None


def upgrade_event(document: JsonObject) -> JsonObject:
    """Return an event with the fields that schema 1 kept in `data` at the top level."""
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
    """Upgrade the journal of a sweep."""
    _upgrade_journal(document)
    for request in members(member(document, "requests")):
        _upgrade_request(request)
    rename(document, slots="planned_runs")
    for planned in items(document, "planned_runs"):
        rename(planned, load="requested_tps")


def upgrade_search(document: JsonObject) -> None:
    """Upgrade the journal of a search."""
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
