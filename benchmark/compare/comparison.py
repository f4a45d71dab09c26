"""Compare variant B with variant A: runs or sweeps of two commits, settings or testbeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Literal

from benchmark.compare.faults import ComparedFault, compare_faults
from benchmark.compare.manifest_diff import Difference, differences
from benchmark.compare.parts import ComparedPart, compare_parts
from benchmark.compare.phases import ComparedPhase, compare_phases
from benchmark.compare.repeats import why_not_counted
from benchmark.compare.statistics import Comparison, Interval, compare, repeats_needed
from benchmark.compare.van_elteren import compare_strata, holm
from benchmark.errors import UsageError
from benchmark.measure.run_metrics import COMPARED, Metric
from benchmark.model import Finite, StrictModel
from benchmark.results.find import find, find_sweep
from benchmark.results.manifest import Manifest, read_manifest
from benchmark.results.run_folder import read_summary, without_result
from benchmark.results.summary import Source, Summary
from benchmark.results.sweep import SweepFolder
from benchmark.settings import redact

CONFIDENCE = 0.95
ALPHA = 0.05
_LISTED = 6
_LONGEST = 30
"""Characters of a title, of which two must fit beside each other into a legend."""
_SOURCES: Mapping[Source, str] = {
    "latency_log": "latency logs",
    "buckets": "samples of Prometheus",
    "schedule": "the schedule",
}


@dataclass(frozen=True)
class Variant:
    """A or B: the runs of a sweep, of one variant of a stored comparison, or a single run."""

    name: str
    folder: Path
    """The folder that contains the folders of its runs."""
    summaries: Sequence[Summary]
    """All its runs, in the order they ran."""
    title: str = ""
    """What the user called it: the values it was run with, such as `committee=3`, or the name of its runs."""

    def named(self, letter: str) -> str:
        """Return what a reader calls it as one side of a comparison: `A (committee=3)`."""
        return f"{letter} ({self.title})" if letter and self.title else letter

    @property
    def counted(self) -> list[Summary]:
        """The runs whose numbers may be used."""
        return [summary for summary in self.summaries if summary.status == "ok"]

    @property
    def loads(self) -> set[float]:
        """The loads of the runs that count, tx/s."""
        return {summary.requested_tps for summary in self.counted}

    @property
    def leaders(self) -> dict[str, Fraction]:
        """Share of the runs with a known leader that each host led."""
        led = Counter(summary.leader for summary in self.counted if summary.leader)
        return {host: Fraction(count, led.total()) for host, count in sorted(led.items())}

    def values(self, metric: Metric, load: float) -> list[float]:
        """Return a metric's value in every run of a load that counts and has it."""
        found = [metric.of(summary) for summary in self.counted if summary.requested_tps == load]
        return [value for value in found if value is not None]

    def manifest(self) -> Manifest:
        """Return the manifest of its first run that counts."""
        return read_manifest(self.folder / (self.counted or self.summaries)[0].run_id)


class AtLoad(StrictModel):
    """One metric at one load."""

    requested_tps: Finite
    comparison: Comparison
    p_adjusted: Finite
    """For the number of loads of this metric (Holm)."""
    significant: bool


class MetricComparison(StrictModel):
    """One metric over all loads that A and B have in common."""

    metric: str
    label: str
    unit: str
    relative: Interval
    """B / A - 1."""
    p_value: Finite
    p_adjusted: Finite
    """For the number of metrics (Holm)."""
    significant: bool
    least_p_value: Finite
    """The smallest that so many repeats can give."""
    worse: Finite
    """By what share B is worse; negative if it is better."""
    loads: list[AtLoad]


class Gate(StrictModel):
    """The outcome of a regression gate."""

    outcome: Literal["pass", "fail", "inconclusive"]
    text: str


class Compared(StrictModel):
    """A comparison of B with A."""

    a: str
    b: str
    runs: dict[str, list[str]]
    """Ids of the runs that count, of `a` and `b`."""
    differences: list[Difference]
    """Differences between A and B."""
    warnings: list[str]
    metrics: list[MetricComparison]
    parts: list[ComparedPart] = []
    """Parts of the latency that both measured."""
    phases: list[ComparedPhase] = []
    """Phases that both had."""
    faults: list[ComparedFault] = []
    """Outages and recoveries of the faults that both had."""
    verdict: str
    gate: Gate | None = None

    @property
    def remark(self) -> str:
        """Why intervals at single loads exclude 0 where the test shows nothing; empty where that is not so."""
        for metric in self.metrics:
            for at in metric.loads if len(metric.loads) > 1 else ():
                change = at.comparison.difference
                if ((change.lower or 0.0) > 0 or (change.upper or 0.0) < 0) and not at.significant:
                    return (
                        "at a single load, an interval can exclude 0 and yet not be significant: it has "
                        f"{change.confidence * 100:.0f} % confidence and is not adjusted; the rows of all loads "
                        "together decide"
                    )
        return ""


def find_variants(results_dir: Path, names: Sequence[str]) -> tuple[Variant, Variant]:
    """Return A and B: two runs or sweeps as `find_variant` names them, or both variants of one stored comparison."""
    if len(names) == 1:
        sweep = find_sweep(results_dir, names[0])
        if sweep.journal.arms != ("a", "b"):
            raise UsageError(f"{sweep.journal.sweep_id} is not a comparison; name a second run or sweep")
        return variant_of(sweep, "a"), variant_of(sweep, "b")
    if len(names) != 2:
        raise UsageError(f"found {len(names)} names; name two runs or sweeps, or one comparison, or pass --a/--b")
    return find_variant(results_dir, names[0]), find_variant(results_dir, names[1])


def find_variant(results_dir: Path, name: str) -> Variant:
    """Return the run or sweep called `name`, or with `NAME:a` or `NAME:b` one variant of a stored comparison.

    UsageError if `name` is a whole comparison.
    """
    stored, colon, arm = name.rpartition(":")
    if colon and arm in ("a", "b"):
        return variant_of(find_sweep(results_dir, stored), arm)
    found = find(results_dir, name, ("run", "sweep", "comparison"))
    if found.kind != "run":
        return variant_of(SweepFolder.read(found.path))
    summary = read_summary(found.path)
    if summary is None:
        raise UsageError(f"run {found.path.name} has no result: {without_result(found.path)}")
    return Variant(summary.run_id, found.path.parent, [summary], _shortened(read_manifest(found.path).name or ""))


def variant_of(sweep: SweepFolder, arm: str | None = None) -> Variant:
    """Return the runs of a sweep, or of one variant of a stored comparison; UsageError if the sweep has no such one."""
    name, arms = sweep.journal.sweep_id, sweep.journal.arms
    if arm is None and len(arms) > 1:
        choice = " or ".join(f"{name}:{each}" for each in arms)
        raise UsageError(f"{name} is a comparison of {len(arms)} variants; name one of them: {choice}")
    if arm is not None and arm not in arms:
        raise UsageError(f"{name} is not a comparison, so it has no variant {arm.upper()}; name it without :{arm}")
    options = sweep.journal.options
    given = options.get(arm) if arm else [options.get("name")]
    words = [each for each in given if isinstance(each, str)] if isinstance(given, list) else []
    commits = options.get("commits")
    if arm and isinstance(commits, list) and len(commits) == len(arms):
        words.append(f"commit={commits[arms.index(arm)]}")
    title = redact(", ".join(words))
    full = f"{name} {arm.upper()}" if arm else name
    return Variant(full, sweep.path.parent, sweep.summaries(arm), _shortened(title))


def _shortened(title: str) -> str:
    return title if len(title) <= _LONGEST else f"{title[: _LONGEST - 1]}…"


def compare_variants(a: Variant, b: Variant, *, interleaved: bool = False, fail_over: float | None = None) -> Compared:
    """Compare B with A at every load that both have; UsageError if there is none.

    `interleaved`: their runs alternated. `fail_over` is the share by which B may be worse in any metric
    before the gate fails.
    """
    loads = sorted(a.loads & b.loads)
    if not loads:
        raise UsageError(
            f"A and B have no load at which both have a valid run; A: {_what_counts(a)}; B: {_what_counts(b)}"
        )
    found = differences(a.manifest(), b.manifest())
    metrics = compare_metrics(a, b, loads)
    return Compared(
        a=a.name,
        b=b.name,
        runs={"a": [run.run_id for run in a.counted], "b": [run.run_id for run in b.counted]},
        differences=found,
        warnings=find_warnings(a, b, found, interleaved=interleaved),
        metrics=metrics,
        parts=compare_parts(a.counted, b.counted, loads),
        phases=compare_phases(a.counted, b.counted, loads),
        faults=compare_faults(a.counted, b.counted, loads),
        verdict=verdict_on(metrics, min(len(a.counted), len(b.counted)), (a.named("A"), b.named("B"))),
        gate=None if fail_over is None else judge_gate(metrics, a, b, fail_over),
    )


def _what_counts(variant: Variant) -> str:
    """Return the loads of the runs that count, and why others do not."""
    loads = ", ".join(f"{load:g}" for load in sorted(variant.loads))
    lost = [run for run in variant.summaries if run.status != "ok"]
    why = "; ".join(f"{run.requested_tps:g} tx/s {why_not_counted(run)[:140]}" for run in lost[:_LISTED])
    return ", ".join(part for part in (f"valid at {loads} tx/s" if loads else "no valid run", why) if part)


def compare_metrics(a: Variant, b: Variant, loads: Sequence[float]) -> list[MetricComparison]:
    """Compare each metric of `COMPARED`, except where a run of A or B has none, or it is 0."""
    pairs = {metric: {load: (a.values(metric, load), b.values(metric, load)) for load in loads} for metric in COMPARED}
    missing = {metric for variant in (a, b) for metric in unknown_in(variant, loads)}
    pairs = {
        metric: strata
        for metric, strata in pairs.items()
        if metric not in missing and all(values and min(values) > 0 for pair in strata.values() for values in pair)
    }
    shifts = [compare_strata(list(strata.values()), CONFIDENCE) for strata in pairs.values()]
    adjusted = holm([shift.p_value for shift in shifts])
    result = []
    for (metric, strata), shift, p_adjusted in zip(pairs.items(), shifts, adjusted, strict=True):
        single = {load: compare(*pair, confidence=CONFIDENCE, unit=metric.unit) for load, pair in strata.items()}
        at_loads = zip(single.items(), holm([each.p_value for each in single.values()]), strict=True)
        change, low, high = shift.relative.estimate, shift.relative.lower or 0.0, shift.relative.upper or 0.0
        result.append(
            MetricComparison(
                metric=metric.name,
                label=metric.label,
                unit=metric.unit,
                relative=shift.relative,
                p_value=shift.p_value,
                p_adjusted=p_adjusted,
                significant=p_adjusted <= ALPHA and (low > 0 or high < 0),
                least_p_value=shift.least_p_value,
                worse=-change if metric.better == "higher" else change,
                loads=[
                    AtLoad(
                        requested_tps=load, comparison=each, p_adjusted=p, significant=each.significant and p <= ALPHA
                    )
                    for (load, each), p in at_loads
                ],
            )
        )
    return result


def unknown_in(variant: Variant, loads: Sequence[float]) -> dict[Metric, list[Summary]]:
    """Return the metrics that are unknown in runs that count, with those runs: the others may not stand for them."""
    runs = [run for run in variant.counted if run.requested_tps in loads]
    found = {metric: [run for run in runs if metric.of(run) is None] for metric in COMPARED}
    return {metric: missing for metric, missing in found.items() if missing}


def find_warnings(a: Variant, b: Variant, found: Sequence[Difference], *, interleaved: bool) -> list[str]:
    """Return what limits the conclusions from a comparison of A and B, which differ in `found`."""
    warnings = [*_same_runs(a, b), *_higher(a, b)]
    if len(found) > 1:
        more = [f"{len(found) - _LISTED} more"] if len(found) > _LISTED else []
        listed = "; ".join([*map(str, found[:_LISTED]), *more])
        warnings.append(f"A and B differ in {len(found)} ways ({listed}); the effect cannot be attributed to one")
    for name, variant, other in (("A", a, b), ("B", b, a)):
        if only := sorted(variant.loads - other.loads):
            loads = ", ".join(f"{load:g}" for load in only)
            warnings.append(f"only {name} was measured at {loads} tx/s: not compared")
        if lost := [run for run in variant.summaries if run.status != "ok"]:
            why = "; ".join(f"{run.requested_tps:g} tx/s {why_not_counted(run)[:140]}" for run in lost[:3])
            warnings.append(f"{len(lost)} of {len(variant.summaries)} runs of {name} do not count: {why}")
        for metric, missing in unknown_in(variant, sorted(a.loads & b.loads)).items():
            reason = missing[0].unknown.get(metric.name)
            runs = f"{len(missing)} of {len(variant.counted)} runs of {name}"
            warnings.append(f"{metric.label} is not compared: unknown in {runs}{f' ({reason})' if reason else ''}")
    for figure, what in (("latency_s", "latencies"), ("completed_tps", "throughput")):
        sources = [sorted({_SOURCES[run.source(figure)] for run in variant.counted}) for variant in (a, b)]
        if all(sources) and sources[0] != sources[1]:
            shown = [" and ".join(each) for each in sources]
            warnings.append(
                f"{what} of A are from {shown[0]}, those of B from {shown[1]}, which count other windows with other "
                "precision"
            )
    if a.leaders != b.leaders:
        led = [
            ", ".join(f"{host} in {float(share) * 100:.0f} % of runs" for host, share in variant.leaders.items())
            or "unknown"
            for variant in (a, b)
        ]
        warnings.append(f"latency depends on which host leads; A: {led[0]}; B: {led[1]}")
    windows = [[run.window for run in variant.counted if run.window] for variant in (a, b)]
    if not interleaved and all(windows):
        began = [min(window.start for window in each) for each in windows]
        ended = [max(window.end for window in each) for each in windows]
        if ended[0] <= began[1] or ended[1] <= began[0]:
            shown = [f"{datetime.fromtimestamp(time, UTC):%F %T}" for time in began]
            warnings.append(
                f"A began at {shown[0]} and B at {shown[1]} UTC, one after the other: whatever changed in between is "
                "part of the difference; `compare --a … --b …` interleaves their runs"
            )
    return warnings


def _same_runs(a: Variant, b: Variant) -> Iterator[str]:
    """Yield a warning if A and B have runs in common."""
    first, second = ({(side.folder.resolve(), run.run_id) for run in side.counted} for side in (a, b))
    if first == second:
        yield "A and B are the same runs: any difference is 0 by definition"
    elif shared := len(first & second):
        yield f"{shared} of the runs of A are runs of B as well: a test assumes that they are independent"


def _higher(a: Variant, b: Variant) -> Iterator[str]:
    """Yield a warning for each quantile that runs only know a lower bound of, which is used as its value."""
    for name, side, other in (("A", a, b), ("B", b, a)):
        runs = [run for run in side.counted if run.requested_tps in other.loads]
        for metric in COMPARED:
            if higher := [run for run in runs if metric.exceeds(run)]:
                loads = ", ".join(f"{load:g}" for load in sorted({run.requested_tps for run in higher}))
                yield (
                    f"{metric.label} of {name} at {loads} tx/s is higher than shown in {len(higher)} of {len(runs)} "
                    "runs: only a lower bound is known"
                )


def verdict_on(metrics: Sequence[MetricComparison], repeats: int, names: tuple[str, str] = ("A", "B")) -> str:
    """Summarise a comparison in one sentence; `repeats` is the smaller number of runs that count."""
    shown: dict[str, list[str]] = {"worse": [], "better": []}
    for each in metrics:
        if each.significant:
            shown["worse" if each.worse > 0 else "better"].append(f"{each.label} {_with_interval(each.relative)}")
    if parts := [f"{word} in {', '.join(changes)}" for word, changes in shown.items() if changes]:
        return f"{names[1]} compared with {names[0]} is {'; '.join(parts)}"
    if not metrics:
        return "nothing to compare: a run of A or B has none of the metrics"
    if min(each.least_p_value for each in metrics) * len(metrics) > ALPHA:
        loads, enough = len(metrics[0].loads), f"{repeats_needed(1 - ALPHA / len(metrics))}"
        few = f"{repeats} repeats are" if repeats > 1 else "1 repeat is"
        if loads > 1:
            few, enough = f"{repeats} runs at {loads} loads are", f"{enough} at one"
        return f"not significant; {few} too few to show any difference, use ≥ {enough}"
    return "no significant difference"


def _with_interval(change: Interval) -> str:
    """Return a relative difference with its confidence interval: `+9.4 % (+8.1 to +10.7 %)`."""
    text = f"{change.estimate * 100:+.1f} %"
    if change.lower is None or change.upper is None:
        return text
    return f"{text} ({change.lower * 100:+.1f} to {change.upper * 100:+.1f} %)"


def judge_gate(metrics: Sequence[MetricComparison], a: Variant, b: Variant, fail_over: float) -> Gate:
    """Judge whether B is worse than A by more than `fail_over` in any metric, over all loads or at one of them."""
    failed = [sum(run.failure == "system" for run in variant.summaries) for variant in (a, b)]
    if failed[1] > failed[0]:
        return Gate(outcome="fail", text=f"the system failed in {failed[1]} runs of B and {failed[0]} of A")
    worse: dict[bool, list[str]] = {True: [], False: []}
    for each in metrics:
        if each.worse > fail_over:
            worse[each.significant].append(f"{each.label} by {each.worse * 100:.1f} %")
        higher = next(metric for metric in COMPARED if metric.name == each.metric).better == "higher"
        for at in each.loads if len(each.loads) > 1 else ():
            change = at.comparison.relative.estimate if at.comparison.relative else 0.0
            share = -change if higher else change
            if share > fail_over:
                worse[at.significant].append(f"{each.label} at {at.requested_tps:g} tx/s by {share * 100:.1f} %")
    if worse[True]:
        return Gate(outcome="fail", text=f"B is worse by more than {fail_over * 100:.1f} %: {', '.join(worse[True])}")
    if worse[False]:
        text = f"B looks worse by more than {fail_over * 100:.1f} %, but not significantly: {', '.join(worse[False])}"
        return Gate(outcome="inconclusive", text=text)
    return Gate(outcome="pass", text=f"B is not worse by more than {fail_over * 100:.1f} % in any metric")
