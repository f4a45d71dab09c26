"""The runs that a paper reports, and the facts that they have in common."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from benchmark.compare.comparison import Compared
from benchmark.compare.repeats import LoadSummary
from benchmark.report.batch_means import Precision
from benchmark.report.paper_markup import Sentence
from benchmark.report.run_data import read_redacted_manifest
from benchmark.results.manifest import Manifest
from benchmark.results.summary import Summary


class Measured(NamedTuple):
    """A run that counts."""

    summary: Summary
    manifest: Manifest


@dataclass(frozen=True)
class Experiment:
    """The runs that a paper reports, by side: A and B by their names, or one side without a name."""

    kind: Literal["run", "sweep", "search", "comparison"]
    sides: Mapping[str, Sequence[Measured]]
    left_out: Sequence[Summary] = ()
    curves: Mapping[str, Sequence[LoadSummary]] | None = None
    """Statistics per load of each side; None for a run."""
    compared: Compared | None = None
    precision: Precision = field(default_factory=Precision)
    """Of a run."""
    order: Sentence | None = None
    """In which order the runs took place, if that is recorded."""

    @property
    def runs(self) -> list[Measured]:
        """All runs that count."""
        return [run for runs in self.sides.values() for run in runs]

    def fact(self, of: Callable[[Measured], str]) -> str:
        """Return what the runs have in common, or what each side has; empty if it is unknown."""
        found = {
            side: list(dict.fromkeys(text for run in runs if (text := of(run)))) for side, runs in self.sides.items()
        }
        if len({tuple(each) for each in found.values()}) == 1:
            return listed(next(iter(found.values())))
        return "; ".join(f"{side}: {listed(each) or 'not recorded'}" for side, each in found.items())

    def range(self, of: Callable[[Measured], float | None], unit: str) -> str:
        """Return the least and the greatest value of the runs; empty if it is unknown in any."""
        values = [of(run) for run in self.runs]
        known = [value for value in values if value is not None]
        if len(known) < len(values) or not known:
            return ""
        low, high = (f"{value:.4g}" for value in (min(known), max(known)))
        return f"{low if low == high else f'{low} to {high}'}\N{NO-BREAK SPACE}{unit}"


def read_measured(folder: Path, summaries: Sequence[Summary]) -> list[Measured]:
    """Return the runs that count, with their manifests; `folder` contains the folders of the runs."""
    return [Measured(run, read_redacted_manifest(folder / run.run_id)) for run in summaries if run.status == "ok"]


def window_of(experiment: Experiment) -> str:
    """Return the measured window in words, for a caption."""
    seconds = experiment.range(lambda run: run.summary.window.seconds if run.summary.window else None, "s")
    return f"measured window of {seconds}" if seconds else "length of the measured window not recorded"


def confidence(curves: Mapping[str, Sequence[LoadSummary]]) -> str:
    """Return the confidence that the intervals of the medians reach; empty where there are none."""
    found = {
        metric.median.confidence
        for loads in curves.values()
        for load in loads
        for metric in load.metrics.values()
        if metric.median.lower is not None
    }
    return percent(found) if found else ""


def percent(shares: Collection[float]) -> str:
    """Return the confidence of intervals in words."""
    written = span(sorted(shares), lambda share: f"{share * 100:.3g}")
    return f"{written}\N{NO-BREAK SPACE}% confidence intervals"


def span(values: Sequence[float], written: Callable[[float], str]) -> str:
    """Return the first and the last of sorted values, or the only one; `0` if there are none."""
    texts = [written(value) for value in values]
    return " to ".join(dict.fromkeys([texts[0], texts[-1]])) if texts else "0"


def listed(texts: Sequence[str]) -> str:
    """Return texts as a list in a sentence."""
    return ", ".join(texts[:-1]) + " and " + texts[-1] if len(texts) > 1 else "".join(texts)
