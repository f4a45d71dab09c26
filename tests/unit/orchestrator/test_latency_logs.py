"""What described load generators write is downloaded, converted and measured; what is wrong with it ends the run."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from factories.hosts import inventory
from fakes.fleet import FakeFleet

from benchmark.errors import SystemFailure
from benchmark.metrics.latency_log import SCHEDULING_DELAY, Tag, from_requests, read_latency_log
from benchmark.orchestrator.latency_logs import client_logs
from benchmark.orchestrator.supervisor import Clock
from benchmark.protocols.base import Protocol
from benchmark.protocols.parameters import make_protocol
from benchmark.protocols.process import Plan, Process
from benchmark.protocols.registry import find_protocol
from benchmark.results.run_folder import LATENCIES, read_summary
from benchmark.results.summary import Summary
from benchmark.settings import Settings

pytestmark = pytest.mark.usefixtures("fast")


STEPS = ((0.0, 0.5, 0.5), (1.0, 1.0, 1.0))


@pytest.fixture
def described(tmp_path: Path) -> Protocol:
    return described_by(tmp_path, "time: 1, latency: 2, unit: ms, error: 3")


def described_by(tmp_path: Path, columns: str) -> Protocol:
    path = tmp_path / "system.yaml"
    client = f"client:\n  command: run --rate {{{{ load }}}}\n  requests: {{file: requests.csv, {columns}}}\n"
    path.write_text(f"name: described\nnode: {{command: serve}}\n{client}")
    return make_protocol(find_protocol(str(path)), Settings(regions=("a",)))


def requests(error: str = "") -> bytes:
    """Requests of the last three seconds, 20 a second."""
    now = time.time()
    return "".join(f"{now - 3 + at / 20:.3f},{at + 10},{error}\n" for at in range(61)).encode()


def test_requests_of_a_described_client_are_measured_without_metrics(
    execute: Callable[..., Summary], described: Protocol, folder: Callable[[], Path], fleet: FakeFleet
) -> None:
    fleet.stored = {"requests.csv": requests}
    summary = execute(protocol=described, duration_s=0.4, warm_up_s=0.1)
    assert summary.status == "ok", summary.reasons
    assert summary.completed_tps == pytest.approx(60, abs=8)  # 20 of each client
    assert (summary.sent_tps, summary.scheduled_tps, summary.errors) == (None, None, {})
    assert set(summary.sources.values()) == {"latency_log"}
    assert not any("second measurement" in text for text in summary.warnings)
    logs = sorted((folder() / LATENCIES).iterdir())
    assert [path.name for path in logs] == ["client-0.hlog", "client-1.hlog", "client-2.hlog"]
    assert read_latency_log(logs[0]).aligned


def test_failed_requests_of_unknown_latency_are_slower_than_all_others(
    execute: Callable[..., Summary], described: Protocol, fleet: FakeFleet
) -> None:
    fleet.stored = {"requests.csv": lambda: requests() + requests("refused")}
    summary = execute(protocol=described, duration_s=0.4, warm_up_s=0.1)
    assert summary.errors is not None
    assert summary.errors["refused"] == pytest.approx(24, abs=3)
    assert summary.latency_s is not None
    assert summary.successful_latency_s is not None
    assert summary.latency_s.mean is None
    assert summary.latency_s.quantiles["p99"].upper is None
    assert summary.successful_latency_s.mean == pytest.approx(0.06, abs=0.01)


def test_errors_of_a_file_without_them_are_unknown(
    execute: Callable[..., Summary], fleet: FakeFleet, tmp_path: Path
) -> None:
    fleet.stored = {"requests.csv": requests}
    summary = execute(protocol=described_by(tmp_path, "time: 1, latency: 2, unit: ms"), duration_s=0.4, warm_up_s=0.1)
    assert summary.status == "ok", summary.reasons
    assert summary.errors is None
    assert {stats.errors for stats in summary.by_client.values()} == {None}


def test_the_load_of_a_client_begins_by_its_own_clock() -> None:
    (host,) = inventory(a=1).hosts
    nothing = np.zeros(0)
    log = from_requests(nothing, nothing, nothing.astype(np.int64), [Tag(SCHEDULING_DELAY)])
    process, plan = Process("client-0", "client", host, ("run",)), Plan((), (host,), 10, (10,), {}, 0.0, STEPS)
    (client,) = client_logs([process], plan, {"client-0": log}, 1000.0, {host.name: Clock(0.5, 0.001)}, 0.2)
    assert client.clock_offset_s == pytest.approx(0.3)
    assert client.scheduled is not None
    assert client.scheduled(1000.5, 1002.5) == 15


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({}, r"no latencies: client-0 on a-\d: it wrote no file requests\.csv; client-1 on "),
        (
            {"requests.csv": b""},
            r"client-0 on a-\d: \S+/latencies/client-0/requests\.csv: found no requests",
        ),
        (
            {"requests.csv": b"1,2,3\n"},
            r"client-0/requests\.csv, line 1, column 1: found '1', expected a Unix time",
        ),
    ],
)
def test_a_missing_or_damaged_file_fails_the_run(
    execute: Callable[..., Summary],
    described: Protocol,
    folder: Callable[[], Path],
    fleet: FakeFleet,
    stored: dict[str, bytes],
    message: str,
) -> None:
    fleet.stored = {name: lambda content=content: content for name, content in stored.items()}  # type: ignore[misc]
    fleet.answers = {} if stored else {"for file in": ""}
    with pytest.raises(SystemFailure, match=message):
        execute(protocol=described, duration_s=0.1, warm_up_s=0.1)
    summary = read_summary(folder())
    assert (summary.status, len(summary.reasons)) == ("failed", 1)
    for name, content in stored.items():
        assert (folder() / LATENCIES / "client-0" / name).read_bytes() == content, "kept to be inspected"


def test_files_of_one_name_in_several_folders_are_rejected(
    execute: Callable[..., Summary], described: Protocol, fleet: FakeFleet
) -> None:
    fleet.stored = {"requests.csv": requests}
    fleet.answers = {"for file in": "a/requests.csv\nb/requests.csv\n"}
    with pytest.raises(SystemFailure, match=r"files in several folders have one name: a/requests.csv, b/requests.csv"):
        execute(protocol=described, duration_s=0.1, warm_up_s=0.1)
