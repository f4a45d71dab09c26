"""Read settings and files of faults from YAML files.

Both programs read the same settings: the testbed program uses regions, specs and time to live, the runner uses
protocol, durations and loads. Fields of the stack's configuration with the same names override the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from benchmark.errors import SettingsError
from benchmark.settings.base import SettingsModel
from benchmark.settings.document import read_document
from benchmark.settings.faults import Fault
from benchmark.settings.model import Origin, Settings
from benchmark.settings.original import adopt
from benchmark.settings.phases import Phase
from benchmark.settings.validation import FieldError, FieldPath, explain_errors
from benchmark.settings.yaml_files import expand, parse_value, read_mapping, require_mapping

PROJECT = "geobench"
"""Name of the Pulumi project, which is the namespace of the stack's configuration keys."""

M = TypeVar("M", bound=SettingsModel)

_RENAMED = {"profile": "load_shape"}
"""Fields of earlier versions and their present names."""


class FaultFile(SettingsModel):
    """A file that `--faults` names."""

    phases: tuple[Phase, ...] = ()
    """Phases of the run, as in the settings."""
    faults: tuple[Fault, ...]
    """Faults to inject, as in the settings."""


def load_settings(path: Path, overrides: Mapping[str, object] | None = None) -> Settings:
    """Read a settings file; `overrides` (field to value) take precedence.

    `${NAME}` in the file is replaced from the environment. Paths in it are relative to the current folder.
    Raises SettingsError that names file, field, what was found and what is accepted.
    """
    settings, where = _load(path, Settings, overrides)
    return settings.read_from(Origin(where))


def load_faults(path: Path) -> FaultFile:
    """Read a file of faults; SettingsError as of `load_settings`."""
    return _load(path, FaultFile)[0]


def _load(
    path: Path, model: type[M], overrides: Mapping[str, object] | None = None
) -> tuple[M, Callable[[FieldPath], str | None]]:
    """Return the content of a file, and where in it a field is."""
    document = read_document(path, keep_tags=True)
    unset: list[FieldError] = []
    adopted = adopt({name: _expand(value, (name,), unset) for name, value in document.content.items()})
    given = dict(overrides or {})

    def place(field: FieldPath) -> FieldPath | None:
        """Return where a field is in the file; None if it is overridden, or about the file as a whole."""
        if not field or field[0] in given:
            return None
        return (*adopted.moved.get(str(field[0]), field[:1]), *field[1:])

    known = [*unset, *adopted.problems]
    problems = [f"{document.where(each.path)}: {each.message}" for each in known]
    try:
        found = model.model_validate(adopted.fields | given)
    except ValidationError as error:

        def written(field: FieldPath) -> str | None:
            return document.written(at) if (at := place(field)) else None

        for each in _explain(error, model, written=written):
            at = place(each.path)
            if not at or not any(other.path[: len(at)] == at for other in known):
                about_file = at is None and not each.path
                problems.append(f"{document.where(at or ()) if at or about_file else path}: {each.message}")
    if problems:
        raise SettingsError("\n".join(problems))

    def where(field: FieldPath) -> str | None:
        return document.where(at) if (at := place(field)) else None

    return found, where


def parse_settings(fields: Mapping[str, object], source: str, also_known: Sequence[str] = ()) -> Settings:
    """Validate the fields of settings; SettingsError reports all errors, each with `source`, field, found and accepted.

    An unknown field's nearest name may be one of `also_known`, which are accepted where the fields come from.
    """
    try:
        return Settings.model_validate(fields)
    except ValidationError as error:
        explained = _explain(error, Settings, also_known)
        raise SettingsError("\n".join(f"{source}: {each.message}" for each in explained)) from None


def _explain(
    error: ValidationError,
    model: type[SettingsModel],
    also_known: Sequence[str] = (),
    written: Callable[[FieldPath], str | None] = lambda path: None,
) -> list[FieldError]:
    reference = "docs/settings.md lists all fields" if model is Settings else ""
    return explain_errors(error, model, also_known=also_known, renamed=_RENAMED, reference=reference, written=written)


def stack_settings(project: Path, stack: str) -> Settings:
    """Load the settings file that a stack's configuration (`Pulumi.STACK.yaml` in `project`) names.

    Fields of the configuration with the same names override the file. Raises SettingsError.
    """
    config_file = project / f"Pulumi.{stack}.yaml"
    if not config_file.exists():
        raise SettingsError(f"{config_file} not found: stack {stack} has no configuration; see Pulumi.dev.yaml")
    config = require_mapping(read_mapping(config_file).get("config") or {}, f"{config_file}: config")
    return configured_settings(project, config, str(config_file))


def configured_settings(project: Path, config: Mapping[str, object], source: str) -> Settings:
    """Load the settings file that `config` names, a stack's configuration with its full keys.

    Its other values (which may be text) override the file; `source` names it in errors. Raises SettingsError.
    """
    prefix = f"{PROJECT}:"
    values = {key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)}
    path = values.pop("settings", None)
    if not isinstance(path, str):
        raise SettingsError(
            f"{source}: {prefix}settings is not set; run `pulumi config set settings assets/settings.local.yaml`"
        )
    parsed = {
        name: parse_value(value, f"{source}: {prefix}{name}") if isinstance(value, str) else value
        for name, value in values.items()
    }
    return load_settings(project / path, parsed)


def _expand(value: object, path: FieldPath, unset: list[FieldError]) -> object:
    """Replace `${NAME}` from the environment in every string of `value`, except where a host's shell does it.

    Variables that are not set are added to `unset`.
    """
    if isinstance(value, str):
        try:
            return value if path == ("build", "command") else expand(value, ".".join(map(str, path)))
        except SettingsError as error:
            unset.append(FieldError(path, str(error)))
            return value
    if isinstance(value, dict):
        return {key: _expand(item, (*path, key), unset) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, (*path, index), unset) for index, item in enumerate(value)]
    return value
