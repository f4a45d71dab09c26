"""The dashboards as data; tests/integration/test_prometheus.py runs their queries."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from benchmark.measure.validity import THRESHOLDS
from tools.generate import dashboards

BOARDS = {path.name: text for path, text in dashboards.documents().items()}


def board(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(BOARDS[name])
    return document


def drawn(name: str) -> list[dict[str, Any]]:
    return [panel for panel in board(name)["panels"] if panel["type"] != "row"]


def expressions(name: str) -> dict[str, list[str]]:
    return {panel["title"]: [target["expr"] for target in panel["targets"]] for panel in drawn(name)}


def test_dashboards_have_unique_uids_and_are_linked_by_tag() -> None:
    assert len({board(name)["uid"] for name in BOARDS}) == len(BOARDS)
    for name in BOARDS:
        (link,) = board(name)["links"]
        assert set(link["tags"]) <= set(board(name)["tags"])


@pytest.mark.parametrize("name", BOARDS)
def test_panels_are_on_the_grid_without_overlap(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board(name)["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert max(x for x, _ in cells) < dashboards.WIDTH
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("name", BOARDS)
def test_panels_have_unique_ids_titles_and_a_unit(name: str) -> None:
    panels = drawn(name)
    assert len({panel["id"] for panel in board(name)["panels"]}) == len(board(name)["panels"])
    for panel in panels:
        assert panel["title"]
        options = panel["options"]["yAxis"] if panel["type"] == "heatmap" else panel["fieldConfig"]["defaults"]
        assert options["unit"], panel["title"]


@pytest.mark.parametrize("name", BOARDS)
def test_the_data_source_is_a_variable_so_that_the_json_can_be_imported(name: str) -> None:
    variables = board(name)["templating"]["list"]
    assert [variable["name"] for variable in variables] == ["datasource", "region", "host"]
    assert variables[0]["type"] == "datasource"
    sources = [part["datasource"] for part in drawn(name) + board(name)["annotations"]["list"] + variables[1:]]
    assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in sources)


@pytest.mark.parametrize("name", BOARDS)
def test_region_and_host_can_be_chosen_together_or_all(name: str) -> None:
    for variable in board(name)["templating"]["list"][1:]:
        assert variable["multi"]
        assert variable["includeAll"]
        assert variable["allValue"] == ".*"
        assert variable["current"]["value"] == ["$__all"]


@pytest.mark.parametrize("name", BOARDS)
def test_every_query_names_its_job_and_follows_the_variables(name: str) -> None:
    for title, queries in expressions(name).items():
        for query in queries:
            for selector in re.findall(r"\{([^{}]*)\}", query):
                assert re.match(r'job="(client|node|host)"', selector), f"{title}: {query}"
                if "wan_" not in query:
                    assert 'region=~"$region"' in selector
                    assert 'host=~"$host"' in selector


def test_quantiles_come_from_summed_buckets() -> None:
    quantiles = [query for name in BOARDS for qs in expressions(name).values() for query in qs if "quantile" in query]
    assert len(quantiles) >= 9
    for query in quantiles:
        assert re.match(r"histogram_quantile\(0\.\d+, sum by \(le(, \w+)?\) \(rate\(\w+_bucket\{", query)


def test_run_dashboard_shows_load_latency_errors_and_scheduling_delay() -> None:
    shown = expressions("run.json")
    assert [re.findall(r"rate\((\w+)", query)[0] for query in shown["Load"]] == ["due", "submitted", "latency_s_count"]
    assert len(shown["Latency"]) == 4
    for title in ("Errors by type", "Requests in flight", "Scheduling delay of the load generators"):
        assert title in shown
    for by in ("region", "host"):
        assert {f"Completed per {by}", f"p99 latency per {by}", f"Errors per {by}"} <= set(shown)


def test_hosts_dashboard_shows_every_resource_and_the_emulator() -> None:
    text = json.dumps(expressions("hosts.json"))
    for metric in ("node_cpu_", "node_memory_", "node_network_", "node_disk_", "node_load1", "node_filesystem_"):
        assert metric in text
    for metric in ("wan_lateness_seconds_bucket", "wan_packets_total", "wan_dropped_packets_total"):
        assert metric in text


def test_scheduling_delay_is_explained_by_the_thresholds_of_runs() -> None:
    descriptions = {panel["title"]: panel.get("description", "") for name in BOARDS for panel in drawn(name)}
    clients, emulator = (
        descriptions["Scheduling delay of the load generators"],
        descriptions["Scheduling delay of the emulator"],
    )
    assert f"above {THRESHOLDS.client_delay_s * 1000:g} ms is a warning" in clients
    assert f"exceeds {THRESHOLDS.client_delay_share:.0%} of the mean latency" in clients
    assert f"above {THRESHOLDS.wan_delay_s * 1000:g} ms adds a warning" in emulator
    assert "valid" not in emulator, "it never makes a run invalid"


@pytest.mark.parametrize("name", BOARDS)
def test_phases_and_faults_are_annotated_at_their_times(name: str) -> None:
    annotations = {one["name"]: one for one in board(name)["annotations"]["list"]}
    assert set(annotations) == {"Phases", "Faults"}
    for kind, one in (("phase", annotations["Phases"]), ("fault", annotations["Faults"])):
        assert one["expr"] == f'1000 * run_mark_time_seconds{{kind="{kind}"}}'  # Grafana takes ms
        assert one["useValueForTime"] is True
        assert one["titleFormat"] == "{{mark}}"
        assert one["enable"] is True
