"""Check that processes export the metrics that a measurement needs, before it begins."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

from benchmark.metrics.names import LOAD_GENERATOR, MetricNames
from benchmark.metrics.prometheus import Prometheus
from benchmark.metrics.selectors import Selector, parse_selector

_PARTS = ("_bucket", "_sum", "_count")


def check_exported(
    prometheus: Prometheus, names: MetricNames, up_s: float, leader: str | None = None, position: str | None = None
) -> tuple[list[str], list[str]]:
    """Return why a run with these metrics cannot be measured, and what would be unknown.

    `up_s` is for how many seconds the oldest of the processes has run: no latency is longer. `leader` and
    `position` are the metrics of nodes that show which one leads, and how far each one is.
    """
    exported = prometheus.exported(names.job)
    problems: list[str] = []
    unknown: list[str] = []
    latency = parse_selector(names.latency)
    if f"{latency.name}_bucket" not in exported:
        if f"{latency.name}_count" in exported or (latency.name in exported and not latency.name.endswith(_PARTS)):
            kind = "a summary" if f"{latency.name}_count" in exported else "a gauge or native histogram"
            problems.append(f"metrics.latency: `{latency.name}` has no buckets ({kind}?); expected a histogram")
        else:
            histograms = {name.removesuffix("_bucket") for name in exported if name.endswith("_bucket")}
            problems.append(f"metrics.latency: {_missing(latency.name, exported, names.job, histograms)}")
    else:
        problems += _unmatched("metrics.latency", prometheus, latency, "_bucket", names.job) or _too_long(
            prometheus, latency, names, up_s
        )
    if names.throughput:
        throughput = parse_selector(names.throughput)
        if throughput.name not in exported:
            problems.append(f"metrics.throughput: {_missing(throughput.name, exported, names.job)}")
        else:
            problems += _unmatched("metrics.throughput", prometheus, throughput, "", names.job)
    for field, name, usual in (
        ("squared", names.squared, LOAD_GENERATOR.squared),
        ("errors", names.errors, LOAD_GENERATOR.errors),
    ):
        if name and name != usual and (missing := parse_selector(name).name) not in exported:
            unknown.append(f"metrics.{field}: {_missing(missing, exported, names.job)}")
    if leader or position:
        by_nodes = exported if names.job == "node" else prometheus.exported("node")
        of_nodes = {"leader_metric": leader, "position_metric": position}
        unknown += [
            f"{field}: {_missing(name, by_nodes, 'node')}"
            for field, name in of_nodes.items()
            if name and name not in by_nodes
        ]
    return problems, unknown


def _missing(name: str, exported: Collection[str], job: str, preferred: Collection[str] = ()) -> str:
    """Say that no process exports `name`, with the nearest names that exist."""
    base = name
    for part in (*_PARTS, "_total"):
        base = base.removesuffix(part)
    derived = [each for each in (base, f"{base}_total", f"{base}_count") if each != name]
    near = [each for each in derived if each in preferred or (not preferred and each in exported)]
    near = near or get_close_matches(name, [*preferred, *exported], n=3, cutoff=0.7)
    hint = f"; did you mean {' or '.join(f'`{each}`' for each in dict.fromkeys(near))}?" if near else ""
    return f"no {job} exports `{name}`{hint}"


def _unmatched(field: str, prometheus: Prometheus, selector: Selector, suffix: str, job: str) -> list[str]:
    """Say that the label matchers match no series, with the values that the labels have."""
    if not selector.matchers or prometheus.query(f"count({selector.promql(suffix, job)})"):
        return []
    every = Selector(selector.name).promql(suffix, job)
    found = []
    for label in dict.fromkeys(each.label for each in selector.matchers):
        answers = prometheus.query(f"count by ({label}) ({every})")
        values = sorted(repr(answer.metric[label]) for answer in answers if label in answer.metric)
        found.append(f"`{label}` is {', '.join(values[:8]) or 'missing'}")
    return [f"{field}: no series matches {selector.promql()}; {'; '.join(found)}"]


def _too_long(prometheus: Prometheus, latency: Selector, names: MetricNames, up_s: float) -> list[str]:
    """Say that latencies so far are longer than the processes have run.

    The median has to agree with the mean, because a sum need not start at zero.
    """
    total, count = (f"sum({latency.promql(part, names.job)})" for part in ("_sum", "_count"))
    median = f"histogram_quantile(0.5, sum by (le) ({latency.promql('_bucket', names.job)}))"
    for answer in prometheus.query(f"{total} / {count} and {median} > {up_s / 2 * names.per_second:g}"):
        mean = answer.value[1] / names.per_second
        if mean > up_s:
            return [
                f"metrics.unit: a mean latency of {mean:.3g} s after {up_s:.1f} s of running is impossible; "
                f"`{latency.name}` is not in {names.unit}: set `metrics: {{unit: …}}` to its unit (ns, us, ms or s)"
            ]
    return []
