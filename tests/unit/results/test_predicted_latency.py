"""The latency that round trips predict."""

from __future__ import annotations

import json
from typing import Any

import pytest
from factories.result_factory import REGIONS, write_run

from benchmark.inventory import EmulatedRoundTrip
from benchmark.results.manifest import Manifest, RoundTripRecord, parse_manifest, read_manifest
from benchmark.results.predicted_latency import over_all, predict_by_region
from benchmark.results.run_folder import read_summary
from benchmark.results.summary import Summary

US, EU, TOKYO = REGIONS


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, Summary]:
    folder = write_run(tmp_path_factory.mktemp("results") / "20270101T000000Z-etcd")
    summary = read_summary(folder)
    assert summary
    return read_manifest(folder), summary


def measured(run: tuple[Manifest, Summary], **more: Any) -> dict[str, RoundTripRecord]:
    times = {(US, EU): 70.0, (US, TOKYO): 150.0, (EU, US): 72.0, (TOKYO, US): 154.0, (EU, TOKYO): 230.0}
    return {"/".join(pair): RoundTripRecord(before_ms=ms, after_ms=999.0) for pair, ms in times.items()} | more


def test_prediction_adds_the_way_to_the_leader_and_the_nearest_majority(run: tuple[Manifest, Summary]) -> None:
    manifest, summary = run
    found = predict_by_region(manifest.model_copy(update={"network": measured(run)}), summary)
    assert {region: each.propagation_s for region, each in found.items()} == {
        US: 0.0, EU: pytest.approx(0.072), TOKYO: pytest.approx(0.154),
    }  # fmt: skip
    assert {each.quorum_s for each in found.values()} == {0.07}, "of three nodes, the nearest follower"
    total = over_all(found, summary)
    assert total.predicted_s == pytest.approx((0.0 + 0.072 + 0.154) / 3 + 0.07)
    assert summary.successful_latency_s
    assert total.measured_s == summary.successful_latency_s.mean
    for region, each in found.items():
        latency = summary.by_region[region].successful_latency_s
        assert latency
        assert latency.mean
        assert each.rest_s == pytest.approx(latency.mean - each.predicted_s)


def test_shares_of_the_load_are_weights(run: tuple[Manifest, Summary]) -> None:
    manifest, summary = run
    parameters = manifest.parameters.model_copy(update={"shares_tps": (10, 10, 80)})
    found = predict_by_region(manifest.model_copy(update={"network": measured(run), "parameters": parameters}), summary)
    assert over_all(found, summary).propagation_s == pytest.approx(0.1 * 0.072 + 0.8 * 0.154)


def test_five_nodes_wait_for_the_second_follower(run: tuple[Manifest, Summary]) -> None:
    manifest, summary = run
    inside = {f"{US}/{US}": RoundTripRecord(before_ms=0.5, after_ms=None)}
    hosts = manifest.inventory.hosts
    more = tuple(hosts[at].model_copy(update={"name": f"{hosts[at].region}-1"}) for at in (0, 1))
    nodes = tuple(host.name for host in (*hosts, *more))
    changed = manifest.model_copy(
        update={
            "network": measured(run, **inside),
            "inventory": manifest.inventory.model_copy(update={"hosts": (*hosts, *more)}),
            "placement": manifest.placement.model_copy(update={"nodes": nodes}),
        }
    )
    found = predict_by_region(changed, summary)
    assert {each.quorum_s for each in found.values()} == {0.07}, "after the one in the leader's region"


def test_round_trips_are_those_of_the_run_then_those_known_before(run: tuple[Manifest, Summary]) -> None:
    manifest, summary = run
    before = predict_by_region(manifest, summary)
    assert before[EU].propagation_s == manifest.round_trips[EU, US] / 1000
    late = {name: RoundTripRecord(before_ms=None, after_ms=40.0) for name in measured(run)}
    assert predict_by_region(manifest.model_copy(update={"network": late}), summary)[EU].propagation_s == 0.04
    trips = {f"{a}/{b}": EmulatedRoundTrip(rtt_ms=10) for a in REGIONS for b in REGIONS}
    inventory = manifest.inventory.model_copy(update={"round_trips": trips})
    requested = manifest.model_copy(update={"rtt_ms": {}, "inventory": inventory})
    assert predict_by_region(requested, summary)[EU].predicted_s == 0.02


@pytest.mark.parametrize(
    ("changes", "leader"),
    [({"quorum": None}, f"{US}-0"), ({"rtt_ms": {}}, f"{US}-0"), ({}, None), ({}, "elsewhere-0")],
    ids=["no majority", "no round trips", "no leader", "leader is no node"],
)
def test_nothing_is_predicted_from_what_is_unknown(
    run: tuple[Manifest, Summary], changes: dict[str, Any], leader: str | None
) -> None:
    manifest, summary = run
    changed = summary.model_copy(update={"leader": leader})
    assert predict_by_region(manifest.model_copy(update=changes), changed) == {}


@pytest.mark.parametrize(("protocol", "quorum"), [("etcd", "majority"), ("mysticeti", None)])
def test_manifests_of_earlier_versions_have_the_quorum_of_their_system(
    run: tuple[Manifest, Summary], protocol: str, quorum: str | None
) -> None:
    document = json.loads(run[0].to_json()) | {"protocol": protocol}
    del document["quorum"]
    assert parse_manifest(json.dumps(document), "old").quorum == quorum
