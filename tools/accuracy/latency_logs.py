"""Compare quantiles from latency logs and from Prometheus' buckets with the request log of a server.

The server's service times are known; a real load generator sends to it: `python -m tools.accuracy.latency_logs`. Prints
a Markdown table; exits with 1 if a quantile from a log is off by more than 1 %. With the folder of a stored run, its
figures from both sources are printed side by side: `python -m tools.accuracy.latency_logs RUN`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from fakes.reference_server import running_server  # noqa: E402
from prometheus_client.parser import text_string_to_metric_families  # noqa: E402

from benchmark.host_scripts import build_archive  # noqa: E402
from benchmark.measure.client_logs import ClientLog, log_timeline  # noqa: E402
from benchmark.measure.histogram import Array  # noqa: E402
from benchmark.measure.measurement import measure  # noqa: E402
from benchmark.measure.run_metrics import METRICS, QUANTILES, Quantile  # noqa: E402
from benchmark.measure.scrapes import RunSamples  # noqa: E402
from benchmark.metrics.latency_log import read_latency_log  # noqa: E402
from benchmark.metrics.sample_files import read_samples  # noqa: E402
from benchmark.metrics.samples import Series, join_parts  # noqa: E402
from benchmark.results.latency_logs import stored_logs  # noqa: E402
from benchmark.results.manifest import read_manifest  # noqa: E402
from benchmark.results.run_folder import SAMPLES, read_summary  # noqa: E402

MODELS = {
    "constant": "constant:0.05",
    "exponential": "exponential:0.05",
    "bimodal": "bimodal:0.02:0.2:0.1",
    "stall of 2 s": "stall:0.02:{middle}:2",
    "stall of 300 ms": "stall:0.02:{middle}:0.3",
}
WARM_UP_S, LIMIT = 1.0, 0.01


@dataclass(frozen=True)
class Row:
    """One quantile: the true one, that of the latency log, and that of the buckets, s."""

    model: str
    metric: str
    true: float
    log: Quantile
    buckets: Quantile

    @property
    def error(self) -> float:
        """Relative error of the log."""
        return self.log.estimate / self.true - 1

    def __str__(self) -> str:
        """Return a line of a Markdown table."""
        upper = "∞" if self.buckets.upper is None else f"{self.buckets.upper * 1000:.0f}"
        bounds = f"{self.buckets.lower * 1000:.0f} to {upper}"
        return (
            f"| {self.model} | {self.metric} | {self.true * 1000:.2f} | {self.log.estimate * 1000:.2f} "
            f"({self.error:+.2%}) | {self.buckets.estimate * 1000:.2f} ({self.buckets.estimate / self.true - 1:+.1%}; "
            f"{bounds}) |"
        )


def scrape(port: int) -> Iterator[Series]:
    """Yield a sample of each of a generator's series."""
    at = time.time()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = {"job": "client", "host": "a", "region": "r", "instance": f"127.0.0.1:{port}"} | sample.labels
            name = sample.name.removesuffix("_total") if not sample.name.startswith("process_") else sample.name
            yield Series(name, labels, np.array([at]), np.array([float(sample.value)]))


def compare(name: str, rate: float, seconds: float, folder: Path) -> list[Row]:
    """Send `rate` requests per second for so many seconds; return what was measured."""
    model = MODELS[name].format(middle=WARM_UP_S + seconds / 2)
    folder.mkdir()
    (folder / "generator.pyz").write_bytes(build_archive("load_generator"))
    with running_server(model, folder) as server:
        config = {
            "rate": rate,
            "listen": "127.0.0.1:0",
            "latency_log": str(folder / "a.hlog"),
            "requests": {"url": server.url(), "body": "{{sequence}}"},
        }
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        command = [sys.executable, "-I", "-S", str(folder / "generator.pyz"), "--config", str(folder / "config.json")]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as generator:
            assert generator.stdin is not None
            assert generator.stdout is not None
            port = int(generator.stdout.readline().rpartition(" ")[2])
            begin = np.ceil(time.time() * 10 + 2) / 10
            start, end = begin + WARM_UP_S, begin + WARM_UP_S + seconds
            generator.stdin.write(f"go {begin:.6f}\n")
            generator.stdin.flush()
            parts: dict[str, list[Series]] = {}
            while (now := time.time()) < end + 1.0:
                for one in scrape(port):
                    parts.setdefault(f"{one.metric} {sorted(one.labels.items())}", []).append(one)
                time.sleep(max(0.0, 0.5 - (time.time() - now)))
            generator.terminate()
        boot = time.time() - time.monotonic()
        entries = server.stop()
    completed = np.array([boot + entry.completion for entry in entries])
    latencies = completed - np.array([begin + entry.sequence / rate for entry in entries])
    exact: Array = np.sort(latencies[(completed >= start) & (completed < end)])
    log = ClientLog("a", "a", "r", read_latency_log(folder / "a.hlog"))
    samples = RunSamples([join_parts(each) for each in parts.values()])
    by_log, by_buckets = (
        measure(samples, start, end, scrape_interval=0.5, logs=logs).total.latency_s for logs in ([log], [])
    )
    assert by_log is not None
    assert by_buckets is not None
    if timeline := log_timeline([log], start, end, 0.1):
        idle = int(np.sum(timeline.completed_tps < rate / 100))
        print(f"{name}: {len(exact)} requests, {idle} of {len(timeline.edges) - 1} intervals of 0.1 s without any")
    return [
        Row(
            name,
            metric.short,
            float(np.quantile(exact, q, method="inverted_cdf")),
            by_log.quantiles[metric.key],
            by_buckets.quantiles[metric.key],
        )
        for metric, q in QUANTILES.items()
        if q < 1
    ]


def compare_stored(folder: Path) -> Iterator[str]:
    """Yield the figures of a stored run from its latency logs and from its samples, as lines of a Markdown table."""
    summary, manifest = read_summary(folder), read_manifest(folder)
    if summary is None or summary.window is None:
        raise SystemExit(f"{folder}: it was not measured")
    logs = stored_logs(folder, summary, manifest)
    if not logs:
        raise SystemExit(f"{folder}: it has no latency logs")
    samples = RunSamples(read_samples(folder / SAMPLES), manifest.metrics)
    start, end, step = summary.window.start, summary.window.end, manifest.parameters.scrape_interval_s
    both = [
        measure(samples, start, end, names=manifest.metrics, scrape_interval=step, logs=each).total
        for each in (logs, [])
    ]
    yield "| figure | latency logs | buckets | difference |"
    yield "| --- | ---: | ---: | ---: |"
    for metric in METRICS:
        values = [metric.of(each) for each in both]
        factor, unit = (1000, "ms") if metric.unit == "s" else (1, metric.unit)
        shown = ["-" if value is None else f"{value * factor:.3f} {unit}" for value in values]
        change = f"{values[1] / values[0] - 1:+.1%}" if values[0] and values[1] else "-"
        yield f"| {metric.label} | {shown[0]} | {shown[1]} | {change} |"


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", nargs="?", type=Path, help="the folder of a stored run")
    parser.add_argument("--rate", type=float, default=400)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    if options.run:
        print(*compare_stored(options.run), sep="\n")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        found = [compare(name, options.rate, options.seconds, Path(folder) / name) for name in MODELS]
    print("| service times | quantile | server (ms) | latency log (ms) | buckets (ms; bounds) |")
    print("| --- | --- | ---: | ---: | ---: |")
    rows = [row for each in found for row in each]
    print(*rows, sep="\n")
    return int(any(abs(row.error) > LIMIT for row in rows))


if __name__ == "__main__":
    sys.exit(main())
