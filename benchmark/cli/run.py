"""The commands that run benchmarks: run and compare."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmark.cli.commands import cli, make_view
from benchmark.cli.options import make_request, of_runs, varied
from benchmark.cli.report import write_reports
from benchmark.cli.resume import kept_options, kept_request, same_options, same_request, same_testbed, taken_up
from benchmark.cli.target import Target, on_testbed, results_dir
from benchmark.errors import UsageError

if TYPE_CHECKING:
    from benchmark.compare.comparison import Compared
    from benchmark.plan.request import Request
    from benchmark.results.sweep import SweepFolder

_SWEEP_OPTIONS = (
    click.option("--repeat", type=click.IntRange(1), default=1, show_default=True, help="Runs of each load."),
    click.option("--shuffle", is_flag=True, help="Run the loads in a random order, another one for each repeat."),
    click.option(
        "--seed", type=int, help="Of the random order, implies --shuffle; else a random one, which is recorded."
    ),
    click.option("--retries", type=click.IntRange(0), default=2, show_default=True, help="For failing infrastructure."),
    click.option("--resume", metavar="ID|latest", help="Go on with a sweep that was interrupted, as it was begun."),
)


def _of_sweeps(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how often and in which order runs are done."""
    for option in reversed(_SWEEP_OPTIONS):
        command = option(command)
    return command


@cli.command()
@on_testbed
@click.option("--loads", multiple=True, type=click.IntRange(1), help="Offered loads in tx/s: 200 1000.")
@of_runs
@_of_sweeps
def run(as_json: bool, stack: str | None, inventory: Path | None, settings: Path | None, **options: Any) -> None:
    """Offer each load and measure what the system makes of it."""
    target = Target(stack, inventory, settings)
    folder = _resumed(target, options, ("",)) if options["resume"] else None
    options = folder.journal.options | {"retries": options["retries"]} if folder else options
    _need_loads(options)
    request = make_request(target.settings, target.results_dir, taken_up(options), options["loads"])
    if not folder and len(options["loads"]) * options["repeat"] == 1:
        _run_once(target, request, as_json)
        return
    folder = folder or _begun(target, {"": request}, options)
    _go(target, {"": request}, folder, options["retries"])
    view = make_view()
    if as_json:
        click.echo(json.dumps(_sweep_document(folder), indent=2))
    else:
        view.sweep(folder)
    write_reports(_folders(folder))
    _exit_unless_ok(_outcomes(folder))


@cli.command()
@on_testbed
@click.argument("names", nargs=-1, metavar="[A B]")
@click.option("--a", "a", multiple=True, help="A's settings file, or NAME=VALUE: committee=3. Repeat it for more.")
@click.option("--b", "b", multiple=True, help="The same for B.")
@click.option("--commits", nargs=2, help="Two commits to compare.")
@click.option("--loads", multiple=True, type=click.IntRange(1), help="Offered loads in tx/s, with --a and --b.")
@click.option("--fail-over", help="Exit with 1 if B is shown to be worse by more than this share: 5%.")
@of_runs
@_of_sweeps
def compare(as_json: bool, stack: str | None, inventory: Path | None, settings: Path | None, **options: Any) -> None:
    """Compare two runs or sweeps by their ids, or run A and B in turn with --a and --b or --commits."""
    from benchmark.compare.comparison import compare_sides, find_sides

    fail_over = read_share(options["fail_over"], "--fail-over") if options["fail_over"] else None
    asked = bool(options["a"] or options["b"] or options["commits"] or options["resume"])
    if asked and options["names"]:
        raise UsageError("runs to compare are named, and new ones asked for; give A and B, or --a and --b or --commits")
    folder = _run_in_turn(Target(stack, inventory, settings), options) if asked else None
    names = (str(folder.path),) if folder else options["names"]
    results = folder.path.parent.parent if folder else results_dir(stack, inventory, settings)
    compared = compare_sides(*find_sides(results, names), interleaved=len(names) == 1, fail_over=fail_over)
    _show(compared, as_json)
    if folder:
        write_reports(_folders(folder))
    if compared.gate and compared.gate.outcome == "fail":
        raise SystemExit(1)
    if folder and not compared.gate:
        _exit_unless_ok(_outcomes(folder))


def _run_once(target: Target, request: Request, as_json: bool) -> None:
    from benchmark.orchestrator.sweep import run_benchmark

    view = make_view()
    with target.open() as testbed, view:
        summaries = run_benchmark(testbed, request, view.observe, process_start())
    if as_json:
        click.echo(json.dumps([json.loads(summary.to_json()) for summary in summaries], indent=2))
    else:
        view.summaries(summaries, target.results_dir / target.inventory.testbed_id)
    write_reports(target.results_dir / target.inventory.testbed_id / summary.run_id for summary in summaries)
    _exit_unless_ok([summary.status for summary in summaries])


def _run_in_turn(target: Target, options: dict[str, Any]) -> SweepFolder:
    """Run A B A B …; return the folder that keeps both."""
    folder = _resumed(target, options, ("a", "b")) if options["resume"] else None
    options = folder.journal.options | {"retries": options["retries"]} if folder else options
    _need_loads(options)
    plain = taken_up(options)
    requests = {}
    for index, arm in enumerate(("a", "b")):
        words = [*options[arm], *([f"commit={options['commits'][index]}"] if options["commits"] else [])]
        changed, own = varied(target.settings, plain, words)
        requests[arm] = make_request(changed, target.results_dir, own, options["loads"])
    folder = folder or _begun(target, requests, options)
    _go(target, requests, folder, options["retries"])
    return folder


def _begun(target: Target, requests: Mapping[str, Request], options: Mapping[str, Any]) -> SweepFolder:
    """Make the folder of a new sweep."""
    from benchmark.results.sweep import SweepFolder, new_journal, slots

    seed = options["seed"]
    if seed is None and options["shuffle"]:
        seed = secrets.randbelow(1 << 31)
    plan = slots(tuple(requests), options["loads"], options["repeat"], seed)
    records = {arm: kept_request(request) for arm, request in requests.items()}
    journal = new_journal(target.inventory.testbed_id, records, kept_options(options), plan, seed)
    return SweepFolder.create(target.results_dir, journal)


def _resumed(target: Target, options: Mapping[str, Any], arms: tuple[str, ...]) -> SweepFolder:
    """Find the sweep to go on with; UsageError if it is of another testbed or kind, or is asked to be another."""
    from benchmark.results.sweep import SweepFolder

    folder = SweepFolder.find(target.results_dir, options["resume"])
    if folder.journal.arms != arms:
        command = folder.journal.command
        raise UsageError(f"{folder.journal.sweep_id} was begun by `{command}`; resume it with `{command} --resume`")
    same_testbed(f"sweep {folder.journal.sweep_id}", folder.journal.testbed_id, target)
    same_options(f"sweep {folder.journal.sweep_id}", folder.journal.options)
    return folder


def _go(target: Target, requests: Mapping[str, Request], folder: SweepFolder, retries: int) -> None:
    """Do what is not done yet; UsageError if now something else is asked for."""
    from benchmark.orchestrator.sweep import run_sweep

    for arm, request in requests.items():
        same_request(f"sweep {folder.journal.sweep_id}", folder.journal.requests[arm], request)
    view = make_view()
    with target.open() as testbed, view:
        run_sweep(testbed, requests, folder, view.observe, process_start(), retries)


def _show(compared: Compared, as_json: bool) -> None:
    if as_json:
        click.echo(compared.model_dump_json(indent=2))
    else:
        make_view().compared(compared)


def _sweep_document(folder: SweepFolder) -> dict[str, Any]:
    from benchmark.compare.repeats import over_repeats

    summaries = folder.summaries()
    return {
        "sweep": json.loads(folder.journal.to_json()),
        "loads": [each.model_dump(mode="json") for each in over_repeats(summaries)],
        "runs": [json.loads(summary.to_json()) for summary in summaries],
    }


def _folders(folder: SweepFolder) -> list[Path]:
    """Return the folders of the runs that a sweep's report links to, and its own last."""
    return [folder.path.parent / summary.run_id for summary in folder.summaries()] + [folder.path]


def _outcomes(folder: SweepFolder) -> list[str]:
    return [slot.attempts[-1].outcome for slot in folder.journal.slots if slot.attempts]


def _exit_unless_ok(outcomes: Sequence[str]) -> None:
    """End with exit code 1 if a run failed or is invalid; that one is saturated is a result."""
    if any(outcome != "ok" for outcome in outcomes):
        raise SystemExit(1)


def _need_loads(options: Mapping[str, Any]) -> None:
    if not options["loads"]:
        raise UsageError("no load is asked for; give --loads 200 1000, or --resume with the id of a sweep")


def read_share(text: str, option: str) -> float:
    """Read `5%` or `0.05`."""
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 < share <= 1:
        raise UsageError(f"{option}: found {text!r}, expected a share such as 5% or 0.05")
    return share


def process_start() -> float:
    """When this process began, Unix seconds: what came before the first phase is overhead too."""
    try:
        ticks = float(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        return time.time() - uptime + ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return time.time()
