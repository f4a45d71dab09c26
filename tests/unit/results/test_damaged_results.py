"""Damaged result folders: every command that reads them reports the damage in a line, or shows what is left."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from factories.result_factory import write_run, write_search, write_sweep
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmark import api
from benchmark.cli import tables
from benchmark.compare.comparison import compare_variants, find_variants
from benchmark.errors import UsageError
from benchmark.report.run_data import read_record
from benchmark.report.search_data import read_search_record
from benchmark.report.sweep_page import read_sweep_record
from benchmark.results.catalogue import catalogue
from benchmark.results.events import read_events
from benchmark.results.find import find_run, find_search, find_sweep
from benchmark.results.log_files import find_logs, read_log
from benchmark.results.run_folder import find_runs

ODD: list[Any] = [
    *(None, True, 0, -1, 1e400, float("nan"), 10**30, "", "x", "\x1b[2J", "../..", [], {}, [None], {"x": {"y": [0]}}),
]
limited = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with logs, a sweep and a search."""
    results = tmp_path_factory.mktemp("results")
    run = write_run(results / "dev" / "20270101T000000Z-etcd")
    log = run / "logs" / "us-east-1-0" / "node-0.log.gz"
    log.parent.mkdir(parents=True)
    log.write_bytes(gzip.compress(b"started\n" * 50))
    write_sweep(results, {"a": {}, "b": {"slower": 1.2}}, loads=(30, 60), repeat=2)
    write_search(results, steps=3)
    return results


@st.composite
def damage(draw: st.DrawFn, file: str) -> Callable[[Path], None]:
    """Return what damages a file: bytes that are replaced, cut or added, a folder in its place, or odd JSON values."""
    kinds = ["cut", "bytes", "bytes", "add", "folder", "missing"] + ["value"] * 6 * file.endswith("json")
    kind, at = draw(st.sampled_from(kinds)), draw(st.floats(0, 1))
    junk, odd, names = draw(st.binary(min_size=1, max_size=4)), draw(st.sampled_from(ODD)), draw(st.integers(0, 10**6))

    def apply(path: Path) -> None:
        content = path.read_bytes()
        place = int(at * len(content))
        if kind == "value":
            document = json.loads(content)
            _replace(document, names, odd)
            path.write_text(json.dumps(document))
        elif kind in ("folder", "missing"):
            path.unlink()
            if kind == "folder":
                path.mkdir()
        else:
            rest = {"cut": b"", "bytes": junk + content[place + len(junk) :], "add": junk + content[place:]}[kind]
            path.write_bytes(content[:place] + rest)

    return apply


def _replace(document: Any, number: int, value: Any) -> None:
    """Replace one of all values in a JSON document, however deep it is."""
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for key, inner in node.items() if isinstance(node, dict) else enumerate(node):
            places.append((node, key))
            if isinstance(inner, dict | list):
                walk(inner)

    walk(document)
    node, key = places[number % len(places)]
    node[key] = value


def list_runs(folder: Path) -> None:
    list(find_runs(folder.parents[1]))
    catalogue(folder.parents[1])


READERS: dict[str, list[Callable[[Path], object]]] = {
    "summary.json": [list_runs, api.run, read_record, lambda folder: api.runs(folder.parents[1])],
    "manifest.json": [api.run, read_record, lambda folder: find_run(folder.parents[1], "latest")],
    "samples.parquet": [lambda folder: api.run(folder).timeline(), lambda folder: read_record(folder).usage],
    "events.jsonl": [lambda folder: read_events(folder / "events.jsonl")],
    "logs/us-east-1-0/node-0.log.gz": [lambda folder: [read_log(path) for path in find_logs(folder / "logs", None)]],
}
"""What commands and the API do with a file of a run."""
JOURNAL_READERS: dict[str, list[Callable[[Path], object]]] = {
    "sweep.json": [
        lambda folder: list(tables.sweep(find_sweep(folder.parents[1], str(folder)))),
        lambda folder: api.sweep(folder, folder.parents[1]),
        read_sweep_record,
        lambda folder: compare_variants(
            *find_variants(folder.parents[1], [str(folder)]), interleaved=True, fail_over=None
        ),
    ],
    "search.json": [
        lambda folder: list(tables.search(find_search(folder.parents[1], str(folder)).journal, folder)),
        lambda folder: read_search_record(folder).points,
    ],
}


@contextmanager
def damaged(path: Path, apply: Callable[[Path], None]) -> Iterator[None]:
    """Damage a file until the end of the block."""
    before = path.read_bytes()
    try:
        apply(path)
        yield
    finally:
        if path.is_dir():
            path.rmdir()
        path.write_bytes(before)


@pytest.mark.parametrize("file", READERS)
@limited
@given(data=st.data())
def test_damaged_run_is_an_error_or_shown_in_part(originals: Path, file: str, data: st.DataObject) -> None:
    folder = originals / "dev" / "20270101T000000Z-etcd"
    with damaged(folder / file, data.draw(damage(file))):
        for read in READERS[file]:
            with suppress(UsageError):
                read(folder)


@pytest.mark.parametrize(("file", "readers"), JOURNAL_READERS.items(), ids=JOURNAL_READERS)
@limited
@given(data=st.data())
def test_damaged_journal_is_an_error_or_shown_in_part(
    originals: Path, file: str, readers: list[Callable[[Path], object]], data: st.DataObject
) -> None:
    (journal,) = originals.glob(f"dev/*/{file}")
    with damaged(journal, data.draw(damage(file))):
        for read in readers:
            with suppress(UsageError):
                read(journal.parent)


def test_a_damaged_run_does_not_hide_the_others(originals: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    shutil.copytree(originals / "dev" / "20270101T000000Z-etcd", results / "dev" / "20270101T000000Z-etcd")
    broken = shutil.copytree(results / "dev" / "20270101T000000Z-etcd", results / "dev" / "20270102T000000Z-etcd")
    (broken / "summary.json").write_bytes(b'{"schema": 2, "\xac')
    assert [run.state for run in find_runs(results)] == ["ok", "damaged"]
    assert len(api.runs(results)) == 1
