"""Experiments: the runs of a sweep or a search, and the journal that lists them.

An experiment has a folder beside those of its runs. Its journal is written before and after every run, so that an
interrupted experiment can be resumed. It refers to runs by their ids.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Generic, Literal, Self, TypeVar

from pydantic import Field, ValidationError
from pydantic_core import from_json

from benchmark.errors import LockedError, UsageError
from benchmark.files import write_atomically
from benchmark.model import EditableModel
from benchmark.results.run_folder import is_running, read_summary, storing
from benchmark.results.summary import Summary
from benchmark.results.upgrade import JsonObject


class Journal(EditableModel):
    """What all journals hold."""

    schema_version: Literal[2] = Field(default=2, alias="schema")
    testbed_id: str
    created_at: datetime
    options: JsonObject
    """All options of the command, for `--resume`."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """The experiment's id, which names its folder."""

    @property
    @abstractmethod
    def run_ids(self) -> Sequence[str]:
        """The ids of all its runs in the order they ran, also of those that do not count."""

    def to_json(self) -> str:
        """Return the text of the file."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


AnyJournal = TypeVar("AnyJournal", bound=Journal)


class ExperimentFolder(Generic[AnyJournal]):
    """The folder of an experiment; its journal is on disk whenever a method has returned."""

    FILE: ClassVar[str]
    """The journal's file name."""
    KIND: ClassVar[str]
    """What such an experiment is called."""

    def __init__(self, path: Path, journal: AnyJournal) -> None:
        self.path = path
        self.journal = journal

    @classmethod
    @abstractmethod
    def parse(cls, document: JsonObject) -> AnyJournal:
        """Read a journal of any schema; ValueError if it is none."""

    @classmethod
    def create(cls, results_dir: Path, journal: AnyJournal) -> Self:
        """Create a new folder; UsageError if it cannot be written."""
        folder = cls(results_dir / journal.testbed_id / journal.identity, journal)
        try:
            folder.path.mkdir(parents=True)
        except OSError as error:
            raise UsageError(f"cannot write results to {folder.path}: {error.strerror}; see results_dir") from None
        folder.save()
        return folder

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the folder at `path`; UsageError if it is not of this kind."""
        file = path / cls.FILE
        try:
            document = from_json(file.read_bytes())
            if not isinstance(document, dict):
                raise ValueError("expected an object")
            return cls(path, cls.parse(document))
        except OSError as error:
            raise UsageError(f"{path} is not the folder of a {cls.KIND}: {error.strerror}") from None
        except ValidationError as error:
            raise UsageError(f"{file} is not a {cls.KIND}'s journal: {error.errors()[0]['msg']}") from None
        except ValueError as error:
            raise UsageError(f"{file} is not a {cls.KIND}'s journal: {error}") from None

    def require_ended(self, run_id: str | None) -> None:
        """Raise LockedError if the process that writes a run of this experiment is alive."""
        if run_id and is_running(self.path.parent / run_id):
            raise LockedError(f"run {run_id} of {self.path.name} is still running")

    def save(self) -> None:
        """Write the journal."""
        with storing(self.path / self.FILE) as path:
            write_atomically(path, self.journal.to_json())

    def summary(self, run_id: str | None) -> Summary | None:
        """Return the summary of one of its runs; None if it has none."""
        return read_summary(self.path.parent / run_id) if run_id else None


def validate_journal(model: type[AnyJournal], document: JsonObject) -> AnyJournal:
    """Check a parsed journal against its model; ValidationError if it does not fit."""
    return model.model_validate_json(json.dumps(document))
