"""Tags that users give to results, in a file of the result's folder."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from benchmark.errors import UsageError
from benchmark.files import write_atomically
from benchmark.results.run_folder import storing

TAGS = "tags.json"
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TAG_LIST = TypeAdapter(tuple[str, ...])


def read_tags(folder: Path) -> tuple[str, ...]:
    """Return the tags of a result; none if its file of tags is missing or damaged."""
    try:
        return _TAG_LIST.validate_json((folder / TAGS).read_bytes())
    except (OSError, ValidationError):
        return ()


def change_tags(folder: Path, add: Collection[str] = (), remove: Collection[str] = ()) -> tuple[str, ...]:
    """Add and remove tags of a result and return those that it has now; UsageError for a tag that cannot be used."""
    for tag in add:
        if not _TAG.fullmatch(tag):
            raise UsageError(f"tag {tag!r}: expected at most 64 letters, digits, dots, dashes or underscores")
    tags = tuple(sorted({*read_tags(folder), *add} - {*remove}))
    with storing(folder / TAGS) as path:
        write_atomically(path, json.dumps(tags) + "\n")
    return tags
