"""Read settings files of the orchestrators that this project follows (Mysticeti, Remora, Sui, Walrus)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeGuard

from benchmark.settings.durations import parse_duration
from benchmark.settings.validation import FieldError, FieldPath

Fields = dict[str, object]


class Adopted(NamedTuple):
    """Fields with their names and forms in this project."""

    fields: Fields
    moved: Mapping[str, FieldPath]
    """Where fields are in the file, if elsewhere than their names say."""
    problems: list[FieldError]
    """What has no meaning here, and what to write instead."""


_RENAMED = {
    "node_parameters_path": "node_parameters",
    "client_parameters_path": "client_parameters",
    "results_directory": "results_dir",
    "working_directory": "working_dir",
}
_WITHOUT_MEANING = {
    "logs_dir": "logs are stored with the results of each run; remove it",
    "logs_directory": "logs are stored with the results of each run; remove it",
    "crash_order": "nodes to crash are chosen at random; remove it, and write `spare: [REGION]` in a fault",
    "enable_tracing": "set what the nodes log in node_parameters; remove it",
    "build_cache": "builds are kept on the hosts; remove it",
    "build_configs": "write `build: {command: …, outputs: […]}`",
    "pre_run_sleep": "write `warm_up: DURATION`",
    "ssh_private_key_passphrase": "keys with a passphrase are not supported; name one without in ssh_private_key_file",
    "ssh_key_password": "keys with a passphrase are not supported; name one without in ssh_private_key_file",
    "cloudlab_hosts": "write `cloud_provider: machines` and `machines: [{region: …, address: …}]`",
}


def adopt(fields: Mapping[str, object]) -> Adopted:
    """Return the fields of a settings file, those of the original orchestrators in this project's form.

    Fields that are this project's own stay as they are; problems are reported for all fields at once.
    """
    found: Fields = {}
    moved: dict[str, FieldPath] = {}
    problems: list[FieldError] = []
    for name, value in fields.items():
        if name in _WITHOUT_MEANING:
            problems.append(FieldError((name,), f"{name}: {_WITHOUT_MEANING[name]}"))
        elif name in _READ:
            for inner, path, item in _READ[name](value, problems):
                found[inner] = item
                moved[inner] = (name, *path)
        elif name in _RENAMED:
            # Both programs read null as "not given".
            found[_RENAMED[name]], moved[_RENAMED[name]] = value, (name,)
        else:
            found[name] = _untag(name, value, problems)
    return Adopted(found, moved, problems)


_CUSTOM = ("ssh_username", "instances")
Read = list[tuple[str, FieldPath, object]]


def _read_provider(value: object, problems: list[FieldError]) -> Read:
    """Read `aws`, `!aws {specs, token_file}` or `!custom {ssh_username, instances}`."""
    if isinstance(value, str):
        return [("cloud_provider", (), value.lower())]
    tag, inner = _tagged(value)
    if tag in ("aws", "vultr") and isinstance(inner, Mapping):
        return [
            ("cloud_provider", (), tag),
            *((str(name), (str(name),), item) for name, item in inner.items()),
        ]
    if tag == "custom" and isinstance(inner, Mapping):
        user, listed = inner.get("ssh_username"), inner.get("instances")
        machines = listed
        if isinstance(listed, list):
            login = {"user": user} if user is not None else {}
            machines = [
                {("address" if name == "ip" else name): item for name, item in each.items()} | login
                if isinstance(each, Mapping)
                else each
                for each in listed
            ]
        rest = [(str(name), (str(name),), item) for name, item in inner.items() if name not in _CUSTOM]
        return [("cloud_provider", (), "machines"), ("machines", ("instances",), machines), *rest]
    if tag is not None:
        text = f"cloud_provider: found !{tag}, expected aws, vultr, machines, local, or !aws or !custom"
        problems.append(FieldError(("cloud_provider",), text))
        return []
    return [("cloud_provider", (), value)]


def _read_faults(value: object, problems: list[FieldError]) -> Read:
    """Read `!Permanent {faults}`, `!CrashRecovery {max_faults, interval}` or a list of this project's own faults.

    The original crashes a third of `max_faults` more after each interval, and restarts all an interval after the last.
    """
    if value is None:
        return []
    tag, inner = _tagged(value)
    if tag is None:
        return [("faults", (), _untag("faults", value, problems))]
    fields = inner if isinstance(inner, Mapping) else {}
    count = fields.get("faults" if tag == "permanent" else "max_faults")
    if tag == "permanent" and fields.keys() == {"faults"} and _is_count(count):
        return [("faults", (), [f"crash:{count}@0s"] if count else [])]
    if tag == "crashrecovery" and fields.keys() == {"max_faults", "interval"} and _is_count(count):
        try:
            interval = parse_duration(fields["interval"])
        except ValueError as error:
            problems.append(FieldError(("faults", "interval"), f"faults.interval: {error}"))
            return []
        third = count // 3
        steps = [third, third, count - 2 * third] if third else [count]
        cycle = (len(steps) + 1) * interval
        crashes = [
            {"kind": "crash", "target": str(size), "start": step * interval, "end": cycle, "every": cycle}
            for step, size in enumerate(steps, 1)
        ]
        return [("faults", (), crashes if count else [])]
    expected = "`!Permanent {faults: NUMBER}`, `!CrashRecovery {max_faults: NUMBER, interval: DURATION}` or a list"
    problems.append(FieldError(("faults",), f"faults: expected {expected}"))
    return []


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _read_spot(value: object, problems: list[FieldError]) -> Read:
    known = {"spot": True, "on_demand": False, "ondemand": False}
    if value == "mixed":
        problems.append(FieldError(("spot",), "spot: all hosts are of one kind; write true or false"))
        return []
    return [("spot", (), known.get(value.lower(), value) if isinstance(value, str) else value)]


def _read_duration(value: object, problems: list[FieldError]) -> Read:
    """Reject 0, which meant to run until interrupted."""
    if value in (0, "0s", {"secs": 0, "nanos": 0}) and not isinstance(value, bool):
        text = "benchmark_duration: a run has to end; write a duration such as 180s"
        problems.append(FieldError(("benchmark_duration",), text))
        return []
    return [("benchmark_duration", (), value)]


_READ: Mapping[str, Callable[[object, list[FieldError]], Read]] = {
    "cloud_provider": _read_provider,
    "faults": _read_faults,
    "spot": _read_spot,
    "benchmark_duration": _read_duration,
}


def _tagged(value: object) -> tuple[str | None, object]:
    """Return tag and value of `!Tag value`, the tag in lower case; None where there is no tag."""
    if isinstance(value, Mapping) and len(value) == 1:
        ((tag, inner),) = value.items()
        if isinstance(tag, str) and tag.startswith("!"):
            return tag[1:].lower(), inner
    return None, value


def _untag(name: str, value: object, problems: list[FieldError], path: FieldPath = ()) -> object:
    """Report the tags in a value, which have no meaning there."""
    path = path or (name,)
    tag, _ = _tagged(value)
    if tag is not None:
        problems.append(
            FieldError(path, f"{'.'.join(map(str, path))}: unknown tag !{tag}; remove it, or quote the value")
        )
        return None
    if isinstance(value, Mapping):
        return {key: _untag(name, item, problems, (*path, str(key))) for key, item in value.items()}
    if isinstance(value, list):
        return [_untag(name, item, problems, (*path, index)) for index, item in enumerate(value)]
    return value
