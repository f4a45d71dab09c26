"""Compare A with B: runs or sweeps of two commits, settings or testbeds; says so when no difference is shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from benchmark.compare.manifest_diff import Difference, differences
from benchmark.compare.statistics import Comparison, Interval, compare, repeats_needed
from benchmark.compare.van_elteren import Stratum, compare_strata, holm
from benchmark.errors import UsageError
from benchmark.measure.run_metrics import COMPARED, Metric
from benchmark.results.find import find, find_sweep
from benchmark.results.manifest import Manifest, read_manifest
from benchmark.results.run_folder import read_summary
from benchmark.results.summary import Summary
from benchmark.results.sweep import SweepFolder

CONFIDENCE = 0.95
_ALPHA = 0.05


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


@dataclass(frozen=True)
class Side:
    """A or B: the runs of one sweep, or a single run."""

    name: str
    folder: Path
    """Where the folders of its runs lie."""
    summaries: Sequence[Summary]
    """All its runs, in the order they ran."""

    @property
    def counted(self) -> list[Summary]:
        """The runs whose numbers may be used."""
        return [summary for summary in self.summaries if summary.status == "ok"]

    def values(self, metric: Metric, load: float) -> list[float]:
        """Return a metric's value in every run that counts and has it."""
        found = [metric.of(summary) for summary in self.counted if summary.requested_tps == load]
        return [value for value in found if value is not None]

    def manifest(self) -> Manifest:
        """Return the manifest of its first run that counts."""
        return read_manifest(self.folder / (self.counted or self.summaries)[0].run_id)


class AtLoad(_Model):
    """One figure at one load."""

    requested_tps: float
    comparison: Comparison
    p_adjusted: float
    """For all loads of this figure being looked at (Holm)."""
    shown: bool


class FigureComparison(_Model):
    """One figure over all loads that A and B have in common."""

    figure: str
    label: str
    unit: str
    relative: Interval
    """B / A - 1."""
    p_value: float
    p_adjusted: float
    """For all figures being looked at (Holm)."""
    shown: bool
    least_p_value: float
    """The smallest that so many repeats can give."""
    worse: float
    """By what share B is worse; negative if it is better."""
    loads: list[AtLoad]


class Gate(_Model):
    """What a regression gate says."""

    outcome: Literal["pass", "fail", "inconclusive"]
    text: str


class Compared(_Model):
    """A comparison of B against A."""

    a: str
    b: str
    runs: dict[str, list[str]]
    """Ids of the runs that count, of `a` and `b`."""
    differences: list[Difference]
    """What A and B differ in."""
    warnings: list[str]
    figures: list[FigureComparison]
    verdict: str
    gate: Gate | None = None


def find_sides(results_dir: Path, names: Sequence[str]) -> tuple[Side, Side]:
    """Return A and B: two runs or sweeps by id, beginning or `latest`, or one sweep of `compare --a --b`."""
    if len(names) == 1:
        sweep = find_sweep(results_dir, names[0])
        if sweep.journal.arms != ("a", "b"):
            raise UsageError(
                f"{sweep.journal.sweep_id} holds no two sides; name a second run or sweep to compare it with"
            )
        return side_of(sweep, "a"), side_of(sweep, "b")
    if len(names) != 2:
        raise UsageError(
            f"found {len(names)} names; name two runs or sweeps, or one comparison that was run with --a and --b"
        )
    return find_side(results_dir, names[0]), find_side(results_dir, names[1])


def find_side(results_dir: Path, name: str) -> Side:
    """Return the run or sweep called `name`; `latest` is the newest sweep, or run that belongs to none."""
    found = find(results_dir, name, ("run", "sweep", "comparison"))
    return _single(found.path) if found.kind == "run" else side_of(SweepFolder.read(found.path))


def side_of(sweep: SweepFolder, arm: str | None = None) -> Side:
    """Return the runs of a sweep, or of one of its arms, as a side of a comparison."""
    suffix = f" {arm.upper()}" if arm else ""
    return Side(f"{sweep.journal.sweep_id}{suffix}", sweep.path.parent, sweep.summaries(arm))


def compare_sides(a: Side, b: Side, *, interleaved: bool = False, fail_over: float | None = None) -> Compared:
    """Compare B with A at every load that both have; UsageError if there is none.

    `fail_over` is the share by which B may be worse in any figure: a gate judges that.
    """
    loads = _common_loads(a, b)
    found = differences(a.manifest(), b.manifest())
    figures = [each for metric in COMPARED if (each := _compare_metric(metric, a, b, loads))]
    adjusted = holm([figure.p_value for figure in figures])
    figures = [_settled(figure, p) for figure, p in zip(figures, adjusted, strict=True)]
    return Compared(
        a=a.name,
        b=b.name,
        runs={"a": [run.run_id for run in a.counted], "b": [run.run_id for run in b.counted]},
        differences=found,
        warnings=_warnings(a, b, loads, found, interleaved),
        figures=figures,
        verdict=_verdict(figures, a, b),
        gate=None if fail_over is None else _gate(figures, a, b, fail_over),
    )


def _common_loads(a: Side, b: Side) -> list[float]:
    had = [{run.requested_tps for run in side.counted} for side in (a, b)]
    common = sorted(had[0] & had[1])
    if not common:
        said = [", ".join(f"{load:g}" for load in sorted(loads)) or "none" for loads in had]
        raise UsageError(f"A and B have no load in common: A was measured at {said[0]} tx/s, B at {said[1]} tx/s")
    return common


def _compare_metric(metric: Metric, a: Side, b: Side, loads: Sequence[float]) -> FigureComparison | None:
    """Compare one metric; None where A or B lacks it, or it is 0."""
    strata: dict[float, Stratum] = {load: (a.values(metric, load), b.values(metric, load)) for load in loads}
    if not all(values and min(values) > 0 for pair in strata.values() for values in pair):
        return None
    shift = compare_strata(list(strata.values()), CONFIDENCE)
    single = {load: compare(*pair, confidence=CONFIDENCE, unit=metric.unit) for load, pair in strata.items()}
    adjusted = holm([comparison.p_value for comparison in single.values()])
    change = shift.relative.estimate
    return FigureComparison(
        figure=metric.name,
        label=metric.label,
        unit=metric.unit,
        relative=shift.relative,
        p_value=shift.p_value,
        p_adjusted=shift.p_value,
        shown=False,
        least_p_value=shift.least_p_value,
        worse=-change if metric.better == "higher" else change,
        loads=[
            AtLoad(requested_tps=load, comparison=each, p_adjusted=p, shown=each.shown and p <= _ALPHA)
            for (load, each), p in zip(single.items(), adjusted, strict=True)
        ],
    )


def _settled(figure: FigureComparison, p_adjusted: float) -> FigureComparison:
    """Say whether a difference is shown, by a p-value that allows for how many figures were looked at."""
    low, high = figure.relative.lower or 0.0, figure.relative.upper or 0.0
    shown = p_adjusted <= _ALPHA and (low > 0 or high < 0)
    return figure.model_copy(update={"p_adjusted": p_adjusted, "shown": shown})


def _warnings(a: Side, b: Side, loads: Sequence[float], found: Sequence[Difference], interleaved: bool) -> list[str]:
    said = []
    if len(found) > 1:
        said.append(f"A and B differ in {len(found)} things, so what is shown can be due to any: " + _listed(found))
    for name, side in (("A", a), ("B", b)):
        only = sorted({run.requested_tps for run in side.counted} - set(loads))
        if only:
            said.append(f"only {name} was measured at {', '.join(f'{load:g}' for load in only)} tx/s: not compared")
        lost = len(side.summaries) - len(side.counted)
        if lost:
            said.append(f"{lost} of {len(side.summaries)} runs of {name} do not count: {_why(side)}")
    if (leaders := [_leaders(side) for side in (a, b)]) and leaders[0] != leaders[1]:
        said.append(
            f"latency depends on where the leader is, which chance decides: of A {leaders[0]}; of B {leaders[1]}"
        )
    if not interleaved and (apart := _apart(a, b)):
        said.append(apart)
    return said


def _leaders(side: Side) -> str:
    """Say how many runs each host led."""
    led = Counter(run.leader for run in side.counted if run.leader)
    return ", ".join(f"{host} led {count}" for host, count in sorted(led.items())) or "none is known"


def _apart(a: Side, b: Side) -> str | None:
    """Say so where one side ran after the other."""
    windows = [[run.window for run in side.counted if run.window] for side in (a, b)]
    (a_first, a_last), (b_first, b_last) = (
        (min(window.start for window in side), max(window.end for window in side)) for side in windows
    )
    if a_last > b_first and b_last > a_first:
        return None
    shown = [f"{datetime.fromtimestamp(time, UTC):%F %T}" for time in (a_first, b_first)]
    return (
        f"A began at {shown[0]} and B at {shown[1]} UTC, one after the other: what else changed meanwhile is part "
        "of the difference; `compare --a … --b …` runs them in turn"
    )


def _verdict(figures: Sequence[FigureComparison], a: Side, b: Side) -> str:
    shown = [f"{each.label} {each.relative.estimate:+.1%}" for each in figures if each.shown]
    if shown:
        return f"B differs from A: {', '.join(shown)}"
    if not figures:
        return "nothing can be compared: A or B has no such figure"
    if min(each.least_p_value for each in figures) * len(figures) > _ALPHA:
        few = min(len(a.counted), len(b.counted))
        return (
            f"no difference shown, and none can be with {few} repeats at {len(figures[0].loads)} load(s): "
            f"{repeats_needed(1 - _ALPHA / len(figures))} of each at one load are needed"
        )
    return "no difference shown"


def _gate(figures: Sequence[FigureComparison], a: Side, b: Side, fail_over: float) -> Gate:
    """Judge whether B is worse than A by more than `fail_over` in any figure, over all loads or at one of them."""
    failed = [sum(run.failure == "system" for run in side.summaries) for side in (a, b)]
    if failed[1] > failed[0]:
        return Gate(outcome="fail", text=f"the system failed in {failed[1]} runs of B and {failed[0]} of A")
    shown: list[str] = []
    unshown: list[str] = []
    for figure in figures:
        signed = -1 if next(metric for metric in COMPARED if metric.name == figure.figure).better == "higher" else 1
        if figure.worse > fail_over:
            (shown if figure.shown else unshown).append(f"{figure.label} by {figure.worse:.1%}")
        for at in figure.loads if len(figure.loads) > 1 else ():
            worse = signed * at.comparison.relative.estimate if at.comparison.relative else 0.0
            if worse > fail_over:
                (shown if at.shown else unshown).append(f"{figure.label} at {at.requested_tps:g} tx/s by {worse:.1%}")
    if shown:
        return Gate(outcome="fail", text=f"B is worse by more than {fail_over:.1%}: {', '.join(shown)}")
    if unshown:
        text = f"B looks worse by more than {fail_over:.1%}, but no difference is shown: {', '.join(unshown)}"
        return Gate(outcome="inconclusive", text=text)
    return Gate(outcome="pass", text=f"B is not worse by more than {fail_over:.1%} in any figure")


def _listed(found: Sequence[Difference]) -> str:
    shown = "; ".join(str(each) for each in found[:6])
    return f"{shown}; and {len(found) - 6} more" if len(found) > 6 else shown


def _why(side: Side) -> str:
    lost = [run for run in side.summaries if run.status != "ok"]
    return "; ".join(f"{run.requested_tps:g} tx/s {run.status} ({'; '.join(run.reasons)[:120]})" for run in lost[:3])


def _single(folder: Path) -> Side:
    summary = read_summary(folder)
    if summary is None:
        raise UsageError(f"run {folder.name} has no result: it was killed or still goes on")
    return Side(summary.run_id, folder.parent, [summary])
