"""The folder of runs that belong together, a sweep's or a search's, and the journal in it.

The journal is written anew before and after every run, so what was killed goes on from it. It refers to the runs by
their ids; their results lie in their own folders beside it.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from benchmark.errors import UsageError
from benchmark.files import write_atomically
from benchmark.results.run_folder import LATEST, read_summary
from benchmark.results.summary import Summary
from benchmark.results.upgrade import JsonObject


class Entry(BaseModel):
    """A part of a journal; what it does not know is an error."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class CollectionJournal(Entry):
    """What all journals hold."""

    schema_version: Literal[2] = Field(default=2, alias="schema")
    testbed_id: str
    created_at: datetime
    options: dict[str, Any]
    """The options as given: `--resume` takes them up again."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """The name of the folder."""

    def to_json(self) -> str:
        """Return the text of the file."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


AnyJournal = TypeVar("AnyJournal", bound=CollectionJournal)


class Collection(Generic[AnyJournal]):
    """The folder of runs that belong together; its journal is on disk whenever a method has returned."""

    FILE: ClassVar[str]
    """The journal's name."""
    KIND: ClassVar[str]
    KINDS: ClassVar[str]
    """What such folders are called, one and many."""

    def __init__(self, path: Path, journal: AnyJournal) -> None:
        self.path = path
        self.journal = journal

    @classmethod
    @abstractmethod
    def parse(cls, text: str) -> AnyJournal:
        """Read a journal; ValidationError if it is none."""

    @classmethod
    @abstractmethod
    def upgrade(cls, document: JsonObject) -> None:
        """Convert a parsed journal of schema 1 in place; ValueError if it is none."""

    @classmethod
    def create(cls, results_dir: Path, journal: AnyJournal) -> Self:
        """Make a new folder; UsageError if it cannot be written."""
        folder = cls(results_dir / journal.testbed_id / journal.identity, journal)
        try:
            folder.path.mkdir(parents=True)
        except OSError as error:
            raise UsageError(f"cannot write results to {folder.path}: {error.strerror}; see results_dir") from None
        folder.save()
        return folder

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the folder at `path`; UsageError if it is none of this kind."""
        try:
            document = from_json((path / cls.FILE).read_bytes())
            if isinstance(document, dict) and document.get("schema") == 1:
                cls.upgrade(document)
            return cls(path, cls.parse(json.dumps(document)))
        except OSError as error:
            raise UsageError(f"{path} is not the folder of a {cls.KIND}: {error.strerror}") from None
        except ValidationError as error:
            raise UsageError(f"{path / cls.FILE} is not a {cls.KIND}'s journal: {error.errors()[0]['msg']}") from None
        except ValueError as error:
            raise UsageError(f"{path / cls.FILE} is not a {cls.KIND}'s journal: {error}") from None

    @classmethod
    def find(cls, results_dir: Path, name: str) -> Self:
        """Read the one called `name`: a folder, an id or the beginning of one, or `latest`; UsageError otherwise."""
        if (Path(name) / cls.FILE).exists():
            return cls.read(Path(name))
        folders = sorted((path.parent for path in results_dir.glob(f"*/*/{cls.FILE}")), key=lambda path: path.name)
        matches = folders[-1:] if name == LATEST else [path for path in folders if path.name.startswith(name)]
        if len(matches) != 1:
            known = ", ".join(path.name for path in folders[-3:]) or "there is none"
            raise UsageError(
                f"{len(matches)} {cls.KINDS} are called {name!r} in {results_dir}; the newest are: {known}"
            )
        return cls.read(matches[0])

    def save(self) -> None:
        """Write the journal."""
        write_atomically(self.path / self.FILE, self.journal.to_json())

    def summary(self, run_id: str | None) -> Summary | None:
        """Return the summary of one of its runs; None if it has none."""
        return read_summary(self.path.parent / run_id) if run_id else None
