"""Begin, resume and run sweeps, comparisons and searches, then print them and write their reports."""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from benchmark.cli import messages, tables
from benchmark.cli.options import (
    ComparisonOptions,
    SearchOptions,
    SweepOptions,
    comparison_requests,
    read_share,
    require_loads,
)
from benchmark.cli.output import show
from benchmark.cli.report import write_reports
from benchmark.cli.resume import (
    dump_options,
    load_options,
    require_same_options,
    require_same_request,
    require_same_testbed,
)
from benchmark.cli.target import Target
from benchmark.cli.view import View
from benchmark.compare.comparison import Compared, compare_variants, find_variants
from benchmark.compare.repeats import over_repeats
from benchmark.errors import InfrastructureError, Interrupted, StorageError, SystemFailure, UsageError
from benchmark.orchestrator import search as search_runner
from benchmark.orchestrator.sweep import run_benchmark, run_sweep
from benchmark.plan.request import FEW_INTERVALS, Request, RunOptions, make_request, request_to_dict
from benchmark.results.events import Event, Observer, RunStarted
from benchmark.results.find import find_search, find_sweep
from benchmark.results.layout import LATEST, SUMMARY, Kind
from benchmark.results.search import Limits, SearchConfig, SearchFolder, new_search
from benchmark.results.sweep import SweepFolder, new_sweep, plan_runs
from benchmark.settings import format_duration, parse_duration


def run(
    target: Target,
    sweep_options: SweepOptions,
    run_options: RunOptions,
    retries: int,
    resume: str | None,
    as_json: bool,
    web: bool = False,
) -> None:
    """Run one load once, or a sweep, or continue a sweep; exit code 1 if a run failed or is invalid."""
    folder = _resume_sweep(target, resume, ("",), sweep_options, run_options) if resume else None
    if folder:
        sweep_options = load_options(SweepOptions, folder.journal.options)
        run_options = load_options(RunOptions, folder.journal.options)
    require_loads(sweep_options)
    request = make_request(target.settings, run_options, sweep_options.loads, target.results_dir)
    _warn_if_short([request])
    if not folder and len(sweep_options.loads) * sweep_options.repeat == 1:
        _run_once(target, request, as_json, web)
        return
    folder = folder or _begin_sweep(target, {"": request}, sweep_options, run_options)
    _run_sweep(target, {"": request}, folder, retries, web)
    if as_json:
        summaries = folder.summaries()
        document = {
            "sweep": json.loads(folder.journal.to_json()),
            "loads": [each.model_dump(mode="json") for each in over_repeats(summaries)],
            "runs": [json.loads(summary.to_json()) for summary in summaries],
        }
        click.echo(json.dumps(document, indent=2))
    else:
        show(tables.sweep(folder))
    write_reports(_report_folders(folder))
    _exit_unless_ok(_outcomes(folder))


def run_comparison(
    target: Target,
    sides: ComparisonOptions,
    run_options: RunOptions,
    retries: int,
    resume: str | None,
    fail_over: float | None,
    as_json: bool,
    web: bool = False,
) -> None:
    """Run A and B alternately and compare them; exit code 1 if a run failed or B is worse by more than `fail_over`."""
    folder = _resume_sweep(target, resume, ("a", "b"), sides, run_options) if resume else None
    if folder:
        sides = load_options(ComparisonOptions, folder.journal.options)
        run_options = load_options(RunOptions, folder.journal.options)
    require_loads(sides)
    requests = comparison_requests(target.settings, sides, run_options, target.results_dir)
    _warn_if_short(requests.values())
    folder = folder or _begin_sweep(target, requests, sides, run_options)
    _run_sweep(target, requests, folder, retries, web)
    found = find_variants(folder.path.parent.parent, [str(folder.path)])
    try:
        compared = compare_variants(*found, interleaved=True, fail_over=fail_over)
    except UsageError as error:  # too few runs are valid
        if not as_json:
            show(tables.sweep(folder))
        write_reports(_report_folders(folder)[:-1])
        messages.error(str(error))
        raise SystemExit(1) from None
    _show_comparison(compared, as_json)
    write_reports(_report_folders(folder))
    _exit_if_worse(compared)
    if not compared.gate:
        _exit_unless_ok(_outcomes(folder))


def compare_existing(names: Sequence[str], results_dir: Path, fail_over: float | None, as_json: bool) -> None:
    """Compare two stored runs or sweeps; exit code 1 if B is worse by more than `fail_over`."""
    sides = find_variants(results_dir, names)
    compared = compare_variants(*sides, interleaved=len(names) == 1, fail_over=fail_over)
    _show_comparison(compared, as_json)
    _exit_if_worse(compared)


def run_search(
    target: Target,
    search_options: SearchOptions,
    run_options: RunOptions,
    retries: int,
    resume: str | None,
    as_json: bool,
    web: bool = False,
) -> None:
    """Begin or continue a search; exit code 1 unless it finds a confirmed load."""
    folder = _resume_search(target, resume, search_options, run_options) if resume else None
    if folder:
        search_options = load_options(SearchOptions, folder.journal.options)
        run_options = load_options(RunOptions, folder.journal.options)
    request = make_request(target.settings, run_options, (search_options.maximum,), target.results_dir)
    _warn_if_short([request])
    if folder:
        require_same_request(f"search {folder.journal.search_id}", folder.journal.request, request)
    else:
        plan = SearchConfig(
            search_options.start,
            search_options.maximum,
            precision=read_share(search_options.precision, "--precision"),
            confirmations=search_options.confirmations,
            max_runs=search_options.max_runs,
        )
        begun = new_search(
            target.inventory.testbed_id,
            _read_limits(search_options.limits, Limits()),
            plan,
            dump_options(search_options, run_options),
            request_to_dict(request),
        )
        folder = SearchFolder.create(target.results_dir, begun)
    with target.open() as testbed, View(web) as view:
        search_runner.run_search(testbed, request, folder, view.observe, process_start(), retries)
    found = folder.journal
    if as_json:
        click.echo(found.to_json(), nl=False)
    else:
        show(tables.search(found, folder.path, folder.summaries()))
    write_reports([*(folder.path.parent / run.run_id for run in folder.summaries()), folder.path])
    if found.answer_tps is None or not found.confirmed:
        raise SystemExit(1)


def _run_once(target: Target, request: Request, as_json: bool, web: bool) -> None:
    with target.open() as testbed, reported_early() as begun, View(web) as view:
        summaries = run_benchmark(testbed, request, _noting(begun, view.observe), process_start())
    folder = target.results_dir / target.inventory.testbed_id
    if as_json:
        click.echo(json.dumps([json.loads(summary.to_json()) for summary in summaries], indent=2))
    else:
        show(tables.runs(summaries, folder))
    for summary in summaries:
        if not (folder / summary.run_id / SUMMARY).exists():
            raise StorageError(f"the results of {summary.run_id} are not in {folder}; see the warning above")
    write_reports(folder / summary.run_id for summary in summaries)
    _exit_unless_ok([summary.status for summary in summaries])


@contextmanager
def reported_early() -> Iterator[list[Path]]:
    """Yield a list for the folders of runs; if the last one fails or is interrupted, write its report."""
    begun: list[Path] = []
    try:
        yield begun
    except (Interrupted, InfrastructureError, SystemFailure):
        write_reports(begun[-1:])
        raise


def _noting(begun: list[Path], observe: Observer) -> Observer:
    """Return an observer that also notes the folders of the runs that begin."""

    def noting(event: Event) -> None:
        if isinstance(event, RunStarted):
            begun.append(Path(event.folder))
        observe(event)

    return noting


def _begin_sweep(
    target: Target, requests: Mapping[str, Request], sweep_options: SweepOptions, run_options: RunOptions
) -> SweepFolder:
    """Create the folder of a new sweep."""
    seed = sweep_options.seed
    if seed is None and sweep_options.shuffle:
        seed = secrets.randbelow(1 << 31)
    plan = plan_runs(tuple(requests), sweep_options.loads, sweep_options.repeat, seed)
    stored = {arm: request_to_dict(request) for arm, request in requests.items()}
    options = dump_options(sweep_options, run_options)
    return SweepFolder.create(target.results_dir, new_sweep(target.inventory.testbed_id, stored, options, plan, seed))


def _resume_sweep(
    target: Target, name: str, arms: tuple[str, ...], sweep_options: SweepOptions, run_options: RunOptions
) -> SweepFolder:
    """Return the folder of `--resume`; UsageError if it belongs to another testbed or command, or options differ."""
    own: Kind = "sweep" if arms == ("",) else "comparison"
    folder = find_sweep(target.results_dir, name, (own,) if name == LATEST else ("sweep", "comparison"))
    if folder.journal.arms != arms:
        command = folder.journal.command
        raise UsageError(f"{folder.journal.sweep_id} was begun by `{command}`; resume it with `{command} --resume`")
    require_same_testbed(f"sweep {folder.journal.sweep_id}", folder.journal.testbed_id, target)
    require_same_options(f"sweep {folder.journal.sweep_id}", folder.journal.options, sweep_options, run_options)
    return folder


def _run_sweep(target: Target, requests: Mapping[str, Request], folder: SweepFolder, retries: int, web: bool) -> None:
    """Execute the remaining runs; UsageError if the requests differ from those of the sweep."""
    for arm, request in requests.items():
        require_same_request(f"sweep {folder.journal.sweep_id}", folder.journal.requests[arm], request)
    with target.open() as testbed, reported_early() as begun, View(web) as view:
        run_sweep(testbed, requests, folder, _noting(begun, view.observe), process_start(), retries)


def _resume_search(target: Target, name: str, search_options: SearchOptions, run_options: RunOptions) -> SearchFolder:
    """Return the folder of `--resume`; UsageError if it belongs to another testbed, or options or limits differ."""
    folder = find_search(target.results_dir, name)
    what, known = f"search {folder.journal.search_id}", folder.journal.limits
    require_same_testbed(what, folder.journal.testbed_id, target)
    # Limits are compared by value, since `--limit p99=1000ms` is the same as `--limit p99=1s`.
    require_same_options(what, folder.journal.options, search_options, run_options, except_for=("limits",))
    if (limits := _read_limits(search_options.limits, known)) != known:
        then, now = (f"p99={each.p99_s:g}s achieved={each.achieved:.4g}" for each in (known, limits))
        raise UsageError(
            f"{what} was begun with other limits: {then}, now {now}; resume it without --limit, or begin a new one"
        )
    return folder


def _read_limits(given: Sequence[str], known: Limits) -> Limits:
    """Parse `p99=1s` and `achieved=98%`; a limit that is not given is the same as in `known`."""
    found: dict[str, float] = {}
    for word in given:
        name, _, value = word.partition("=")
        try:
            if name == "p99":
                found["p99_s"] = parse_duration(value).total_seconds()
                if not found["p99_s"]:
                    raise ValueError("no request takes 0 s; expected a longer duration")
            elif name == "achieved":
                found["achieved"] = read_share(value, "--limit achieved")
            else:
                raise ValueError("expected p99=DURATION or achieved=SHARE, such as p99=1s or achieved=98%")
        except ValueError as error:
            raise UsageError(f"--limit {word}: {error}") from None
    return dataclasses.replace(known, **found)


def _show_comparison(compared: Compared, as_json: bool) -> None:
    if as_json:
        click.echo(compared.model_dump_json(indent=2))
    else:
        show(tables.compared(compared))


def _report_folders(folder: SweepFolder) -> list[Path]:
    """Return the folders of the runs that a sweep's report links to, then its own."""
    return [folder.path.parent / summary.run_id for summary in folder.summaries()] + [folder.path]


def _outcomes(folder: SweepFolder) -> list[str]:
    return [planned.attempts[-1].outcome for planned in folder.journal.planned_runs if planned.attempts]


def _exit_unless_ok(outcomes: Sequence[str]) -> None:
    """Exit with 1 if a run failed or is invalid; a saturated run is a result."""
    if any(outcome != "ok" for outcome in outcomes):
        raise SystemExit(1)


def _exit_if_worse(compared: Compared) -> None:
    if compared.gate and compared.gate.outcome == "fail":
        raise SystemExit(1)


def _warn_if_short(requests: Iterable[Request]) -> None:
    """Warn of a run that has few samples, before anything starts."""
    for request in requests:
        interval = request.settings.scrape_interval
        if request.duration_s < FEW_INTERVALS * interval.total_seconds():
            messages.warning(
                f"a duration of {request.duration_s:g} s is less than {FEW_INTERVALS} scrape intervals of "
                f"{format_duration(interval)}: throughput and latency will be imprecise"
            )
            return


def process_start() -> float:
    """Return when this process started (Unix seconds): the time before the first phase is harness overhead too."""
    try:
        ticks = float(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        return time.time() - uptime + ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return time.time()
