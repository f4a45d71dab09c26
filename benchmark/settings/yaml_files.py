"""Read YAML files and values, with environment variables expanded."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from benchmark.errors import SettingsError
from benchmark.settings.redaction import redact

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def parse_value(text: str, source: str) -> object:
    """Read a value that is written as YAML, such as `4` or `[a, b]`; SettingsError, which names `source`, otherwise."""
    with explained(f"{source}: found {redact(text)!r}"):
        return yaml.safe_load(text)


@contextmanager
def explained(source: Path | str) -> Iterator[None]:
    """Turn what goes wrong while `source` is read as YAML into a SettingsError with line and column."""
    try:
        yield
    except OSError as error:
        raise SettingsError(f"cannot read {source}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{source} is not a text file in UTF-8") from None
    except (yaml.YAMLError, ValueError) as error:  # a date such as 2026-02-30 is a ValueError
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise SettingsError(f"{source}{where}: not YAML: {getattr(error, 'problem', None) or error}") from None


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a YAML file whose top level maps names to values; SettingsError with line and column."""
    with explained(path):
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    if document is None:
        return {}
    if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
        raise SettingsError(f"{path}: found {type(document).__name__}, expected fields as `name: value`")
    return document


def expand(text: str, source: str) -> str:
    """Replace `${NAME}` in `text` from the environment; SettingsError, which names `source`, where it is not set."""

    def replace(found: re.Match[str]) -> str:
        try:
            return os.environ[found[1]]
        except KeyError:
            raise SettingsError(
                f"{source}: ${{{found[1]}}} is not set in the environment; `export {found[1]}=…` first"
            ) from None

    return _VARIABLE.sub(replace, text)
