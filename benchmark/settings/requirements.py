"""What settings need before a testbed can be created from them, beyond the types of their fields."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from benchmark.settings.model import Settings
from benchmark.settings.regions import known_regions
from benchmark.settings.validation import FieldError


def missing_requirements(settings: Settings) -> list[FieldError]:
    """Return what `pulumi up` would reject because of the settings alone, with the fields to change."""
    return [*_of_regions(settings), *_of_clouds(settings), *_of_machines(settings)]


def _of_regions(settings: Settings) -> Iterator[FieldError]:
    seen: dict[str, str] = {}
    links = settings.network.rtt_ms
    pairs = [set(pair.split("/")) for pair in links]
    names = [spec.name for spec in settings.region_specs]
    for index, spec in enumerate(settings.region_specs):
        first = seen.setdefault(spec.name, spec.provider)
        if first != spec.provider:
            yield FieldError(
                ("regions", index),
                f"regions: {spec.name} is listed for {first} and {spec.provider}, and hosts are named after their "
                "region; remove one",
            )
        others = [name for name in names if name != spec.name]
        given = settings.network.links or all({spec.name, name} in pairs for name in others)
        if spec.provider == "local" and others and spec.name not in known_regions() and not given:
            near = difflib.get_close_matches(spec.name, known_regions(), n=1)
            hint = f"did you mean {near[0]!r}? For" if near else "for"
            yield FieldError(
                ("regions", index),
                f"regions: unknown region {spec.name!r}; {hint} a custom name set "
                f"`network: {{rtt_ms: {{{spec.name}/{others[0]}: MILLISECONDS}}}}`",
            )


def _of_clouds(settings: Settings) -> Iterator[FieldError]:
    clouds = list(dict.fromkeys(spec.provider for spec in settings.region_specs if spec.provider in ("aws", "vultr")))
    if clouds and not settings.operator_cidrs:
        yield FieldError(
            ("operator_cidrs",),
            "operator_cidrs: found none, expected the networks that may reach the hosts' SSH, such as [203.0.113.7/32]",
        )
    for cloud in clouds:
        found = settings.specs.get(cloud) if isinstance(settings.specs, dict) else settings.specs
        if not found:
            yield FieldError(("specs",), f"specs: found none for {cloud}, expected an instance type or plan")


def _of_machines(settings: Settings) -> Iterator[FieldError]:
    if settings.machines and settings.ssh_private_key_file is None:
        yield FieldError(
            ("ssh_private_key_file",),
            "ssh_private_key_file is missing: name a private key that all machines accept, such as ~/.ssh/id_ed25519",
        )
    for index, machine in enumerate(settings.machines):
        if not machine.host_key:
            yield FieldError(
                ("machines", index),
                f"machines.{index}: host_key is missing; `ssh-keyscan -t ed25519 {machine.address}` prints it",
            )
