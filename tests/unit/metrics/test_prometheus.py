"""Targets, marks and stored samples as data, and a Prometheus that misbehaves; the real one is in integration/."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from benchmark.errors import InfrastructureError, UsageError
from benchmark.host_layout import NODE_EXPORTER_PORT
from benchmark.inventory import Host
from benchmark.metrics.prometheus import Prometheus
from benchmark.metrics.samples import Series, read_samples, write_samples
from benchmark.metrics.targets import Endpoint, Mark, marks, targets


def host(name: str, address: str, role: str = "instance") -> Host:
    fields = {"name": name, "address": address, "role": role, "region": name[:-2]}
    return Host.model_validate(fields | {"provider": "local", "specs": "namespace", "host_key": "ssh-ed25519 AAAA"})


HOSTS = (host("us-0", "198.18.0.2", "monitoring"), host("us-1", "198.18.0.3"), host("eu-0", "2001:db8::1"))


def test_every_host_is_scraped_with_its_labels() -> None:
    groups = json.loads(targets(HOSTS, [])["host.json"])
    assert [group["targets"] for group in groups] == [
        [f"198.18.0.2:{NODE_EXPORTER_PORT}"],
        [f"198.18.0.3:{NODE_EXPORTER_PORT}"],
        [f"[2001:db8::1]:{NODE_EXPORTER_PORT}"],
    ]
    assert groups[0]["labels"] == {"job": "host", "host": "us-0", "region": "us", "role": "monitoring"}
    assert groups[2]["labels"] == {"job": "host", "host": "eu-0", "region": "eu", "role": "instance"}


def test_nodes_and_clients_go_to_files_of_their_own() -> None:
    files = targets(HOSTS, [Endpoint("us-1", 2379, "node"), Endpoint("us-1", 9200, "client", "/load/metrics")])
    (node,) = json.loads(files["node.json"])
    (client,) = json.loads(files["client.json"])
    assert node["targets"] == ["198.18.0.3:2379"]
    assert "__metrics_path__" not in node["labels"]
    assert client["targets"] == ["198.18.0.3:9200"]
    assert client["labels"]["__metrics_path__"] == "/load/metrics"
    assert client["labels"]["job"] == "client"


def test_two_nodes_of_one_host_are_two_targets() -> None:
    groups = json.loads(targets(HOSTS, [Endpoint("us-1", 1, "node"), Endpoint("us-1", 2, "node")])["node.json"])
    assert [group["targets"] for group in groups] == [["198.18.0.3:1"], ["198.18.0.3:2"]]


def test_jobs_without_targets_still_replace_the_files_of_an_earlier_run() -> None:
    files = targets(HOSTS, [])
    assert set(files) == {"host.json", "node.json", "client.json"}
    assert json.loads(files["node.json"]) == json.loads(files["client.json"]) == []


def test_a_stopped_host_is_no_target() -> None:
    assert len(json.loads(targets((*HOSTS, host("eu-1", "")), [])["host.json"])) == len(HOSTS)


def test_an_unknown_host_is_named_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="'mars-0' to scrape; the hosts are: us-0, us-1, eu-0"):
        targets(HOSTS, [Endpoint("mars-0", 1, "node")])


def test_marks_escape_what_the_format_reserves() -> None:
    lines = marks("run-1", [Mark(1700000000.1239, "fault", "cut", 'a "b" \\ c\nd')]).splitlines()
    assert lines[1] == "# TYPE run_mark_time_seconds gauge"
    assert lines[2] == (
        'run_mark_time_seconds{run="run-1",kind="fault",mark="cut",detail="a \\"b\\" \\\\ c\\nd"} 1700000000.124'
    )
    assert len(lines) == 3


def test_importing_the_module_costs_none_of_the_libraries() -> None:
    heavy = ("numpy", "pyarrow", "requests", "prometheus_api_client", "pandas")
    code = f"import sys, benchmark.metrics.prometheus; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == "[]"


def series(name: str, count: int, first: float = 1700000000.123, **labels: str) -> Series:
    times = np.array([round(first + 5.0 * number, 3) for number in range(count)])
    return Series(name, labels, times, np.array([1.5 * number for number in range(count)]))


def same(one: Series, other: Series) -> bool:
    arrays = np.array_equal(one.times, other.times) and np.array_equal(one.values, other.values, equal_nan=True)
    return bool(arrays) and (one.metric, one.labels) == (other.metric, other.labels)


def test_samples_come_back_as_they_were_written(tmp_path: Path) -> None:
    odd = Series("odd", {"text": 'é "\n'}, np.array([1.0, 2.0, 3.0]), np.array([np.nan, np.inf, -0.1]))
    written = [
        series("up", 4, host="a"),
        series("up", 3, host="b"),
        series("down", 1, host="b"),
        odd,
        series("bare", 2),
    ]
    write_samples(tmp_path / "samples.parquet", written)
    read = read_samples(tmp_path / "samples.parquet")
    assert len(read) == len(written)
    assert all(same(one, other) for one, other in zip(read, written, strict=True))
    assert all(one.times.dtype == one.values.dtype == np.float64 for one in read)


def test_every_millisecond_survives(tmp_path: Path) -> None:
    times = np.array([int(1.7e12) + n for n in range(1000)]) / 1000
    write_samples(tmp_path / "s", [Series("m", {}, times, times)])
    assert read_samples(tmp_path / "s")[0].times.tolist() == times.tolist()


def test_no_series_is_a_file_too(tmp_path: Path) -> None:
    write_samples(tmp_path / "s", [])
    assert read_samples(tmp_path / "s") == []


def test_the_columns_are_those_of_the_documentation(tmp_path: Path) -> None:
    write_samples(tmp_path / "s", [series("up", 2, zone="z", host="a")])
    table = pq.read_table(tmp_path / "s")
    assert {name: str(table.schema.field(name).type) for name in table.column_names} == {
        "metric": "dictionary<values=string, indices=int32, ordered=0>",
        "labels": "dictionary<values=string, indices=int32, ordered=0>",
        "time": "timestamp[ms, tz=UTC]",
        "value": "double",
    }
    assert table.column("labels").to_pylist() == ['{"host": "a", "zone": "z"}'] * 2
    assert pq.ParquetFile(tmp_path / "s").metadata.row_group(0).column(3).compression == "ZSTD"


def test_files_of_many_row_groups_are_put_together(tmp_path: Path) -> None:
    written = [series("up", 50, host=str(number)) for number in range(20)]
    write_samples(tmp_path / "one", written)
    pq.write_table(pq.read_table(tmp_path / "one"), tmp_path / "many", row_group_size=33)
    assert pq.ParquetFile(tmp_path / "many").num_row_groups > 20
    assert all(same(one, other) for one, other in zip(read_samples(tmp_path / "many"), written, strict=True))


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "samples.parquet"
    write_samples(path, [series("old", 2)])
    torn = Series("new", {}, np.arange(3.0), np.arange(2.0))
    with pytest.raises(ValueError, match="length"):
        write_samples(path, [torn])
    assert [one.metric for one in read_samples(path)] == ["old"]
    assert [file.name for file in tmp_path.iterdir()] == ["samples.parquet"]


@pytest.mark.parametrize("content", [None, b"", b"PAR1 but no more"])
def test_a_file_that_holds_no_samples_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "samples.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"cannot read the samples .*samples\.parquet"):
        read_samples(path)


def test_a_parquet_file_of_something_else_is_named(tmp_path: Path) -> None:
    write_samples(tmp_path / "s", [series("up", 2)])
    pq.write_table(pq.read_table(tmp_path / "s").drop_columns(["labels"]), tmp_path / "other")
    with pytest.raises(UsageError, match="cannot read the samples"):
        read_samples(tmp_path / "other")


def test_the_samples_of_a_hundred_clients_over_half_an_hour_read_within_a_second(tmp_path: Path) -> None:
    buckets = [series("latency_s_bucket", 360, host=str(c), le=str(b)) for c in range(100) for b in range(65)]
    write_samples(tmp_path / "s", buckets)
    # The processor time of this process: other work on the machine does not count.
    before = time.process_time()
    read = read_samples(tmp_path / "s")
    assert time.process_time() - before < 1.0
    assert len(read) == 6500


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """Serve one answer to everything, whatever stands in the place of Prometheus."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    asked: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
        assert all(path.startswith("/api/v1/query?") for path in asked)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answer(*result: object) -> bytes:
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"status": "success"}'])
def test_something_else_behind_the_tunnel_is_recognised(body: bytes) -> None:
    with answering(200, body) as url, Prometheus(url) as client, pytest.raises(InfrastructureError, match="not Prom"):
        client.scraped(0)


@pytest.mark.parametrize("status", [400, 422, 503])
def test_a_refusal_carries_the_query_and_the_answer(status: int) -> None:
    refusal = pytest.raises(InfrastructureError, match=rf"refused the query timestamp.*{status}.*because")
    with answering(status, b"because") as url, Prometheus(url) as client, refusal:
        client.scraped(0)


def test_samples_outside_the_window_are_cut() -> None:
    values = [[1.0, "1"], [2.0, "2"], [3.0, "3"], [4.0, "4"]]
    matrix = [{"metric": {"__name__": "m", "host": "a"}, "values": values}, {"metric": {}, "values": [[9.0, "9"]]}]
    with answering(200, answer(*matrix)) as url, Prometheus(url) as client:
        (one,) = client.samples("m", 2.0, 3.0)
    assert (one.metric, one.labels) == ("m", {"host": "a"})
    assert one.times.tolist() == one.values.tolist() == [2.0, 3.0]


def test_a_window_that_ends_before_it_starts_is_refused() -> None:
    with Prometheus("http://127.0.0.1:1") as client, pytest.raises(UsageError, match="the end is before the start"):
        client.samples("m", 2.0, 1.0)


def test_nobody_listening_is_an_infrastructure_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with Prometheus(url) as client, pytest.raises(InfrastructureError, match=r"no answer.*does the tunnel stand"):
            client.scraped(0)


def test_an_answer_that_never_comes_ends_with_the_timeout() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        started = time.monotonic()
        with (
            Prometheus(url, timedelta(seconds=0.3)) as client,
            pytest.raises(InfrastructureError, match=r"within 0\.3 s"),
        ):
            client.scraped(0)
        assert 0.3 <= time.monotonic() - started < 3


def test_the_operators_proxy_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    scraped = {"metric": {"job": "host", "host": "a", "instance": "10.0.0.1:9100"}, "value": [1, "1"]}
    with answering(200, answer(scraped)) as url, Prometheus(url) as client:
        assert client.scraped(0) == {("host", "a", "10.0.0.1:9100")}
