"""Find results by name, by the same rules for every command.

A name is a folder, an id, the beginning of one, a name given with `--name`, or `latest`: the newest of the kinds that
the command works on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import UsageError
from benchmark.results.layout import COLLECTIONS, KINDS, LATEST, Kind, kind_of
from benchmark.results.manifest import read_manifest
from benchmark.results.run_folder import MANIFEST
from benchmark.results.search import SearchFolder
from benchmark.results.sweep import SweepFolder

_PLURALS: dict[Kind, str] = {"run": "runs", "sweep": "sweeps", "comparison": "comparisons", "search": "searches"}
_SHOWN = 3


@dataclass(frozen=True)
class Result:
    """A folder of results."""

    path: Path
    kind: Kind


def find(results_dir: Path, name: str, kinds: Sequence[Kind] = KINDS) -> Result:
    """Return the result called `name` of one of `kinds`; UsageError if none or more than one matches.

    Where runs and experiments are wanted, `latest` and a shared beginning or name mean the experiment, not its runs.
    """
    if any((Path(name) / file).exists() for file in (MANIFEST, *COLLECTIONS)):
        folder = Result(Path(name), kind_of(Path(name)))
        if folder.kind not in kinds:
            raise UsageError(f"{name} is a {folder.kind}; expected a {_listed(kinds)}")
        return folder
    paths = [path for path in results_dir.glob("*/*") if path.is_dir() and not path.is_symlink()]
    every = [Result(path, kind_of(path)) for path in sorted(paths, key=lambda path: path.name)]
    known = [each for each in every if each.kind in kinds]
    if not known:
        raise UsageError(f"no {' or '.join(_PLURALS[kind] for kind in kinds)} in {results_dir} yet")
    if name == LATEST:
        # Ids begin with the time: the result whose last run began last.
        newest = max(_without_members(known), key=lambda each: max([each.path.name, *_run_ids(each)]))
        return Result(newest.path.resolve(), newest.kind)
    matches = [each for each in known if each.path.name == name]
    matches = matches or _without_members([each for each in known if each.path.name.startswith(name)])
    matches = matches or _without_members([each for each in known if _given_name(each) == name])
    if len(matches) == 1:
        return matches[0]
    if matches:
        found = ", ".join(each.path.name for each in matches[:_SHOWN])
        more = f" and {len(matches) - _SHOWN} more" if len(matches) > _SHOWN else ""
        raise UsageError(f"{len(matches)} results match {name!r} in {results_dir}: {found}{more}; pass a full id")
    some = ", ".join(each.path.name for each in known[-_SHOWN:])
    raise UsageError(f"no {_listed(kinds)} matches {name!r} in {results_dir}; the newest: {some}")


def find_run(results_dir: Path, name: str) -> Path:
    """Return the folder of the run called `name`."""
    return find(results_dir, name, ("run",)).path


def find_sweep(results_dir: Path, name: str, kinds: Sequence[Kind] = ("sweep", "comparison")) -> SweepFolder:
    """Read the sweep or comparison called `name`."""
    return SweepFolder.read(find(results_dir, name, kinds).path)


def find_search(results_dir: Path, name: str) -> SearchFolder:
    """Read the search called `name`."""
    return SearchFolder.read(find(results_dir, name, ("search",)).path)


def _run_ids(result: Result) -> Sequence[str]:
    """Return the ids of an experiment's runs; none if its journal is damaged."""
    try:
        if result.kind == "search":
            return SearchFolder.read(result.path).journal.run_ids
        return [] if result.kind == "run" else SweepFolder.read(result.path).journal.run_ids
    except UsageError:
        return []


def _without_members(results: Sequence[Result]) -> list[Result]:
    """Return the results without the runs of experiments that are among them."""
    members = {run_id for each in results for run_id in _run_ids(each)}
    return [each for each in results if each.path.name not in members]


def _given_name(result: Result) -> object:
    """Return the name given with `--name`; None if there is none."""
    try:
        if result.kind == "run":
            return read_manifest(result.path).name
        folder = SearchFolder if result.kind == "search" else SweepFolder
        return folder.read(result.path).journal.options.get("name")
    except UsageError:
        return None


def _listed(kinds: Sequence[Kind]) -> str:
    return " or ".join(kinds)
