"""Install the artifact of a run on its hosts: build or upload it on one host, then copy it from host to host."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from benchmark.artifacts import store as hosts
from benchmark.artifacts.binaries import artifact_name, find_binaries, pack
from benchmark.artifacts.build import build_artifact, build_key, resolve
from benchmark.artifacts.distribution import distribute
from benchmark.artifacts.source import Origin, Revision
from benchmark.artifacts.store import File, HostCache
from benchmark.artifacts.toolchains import complete
from benchmark.errors import UsageError
from benchmark.inventory import Host
from benchmark.plan.source import Binaries
from benchmark.protocols.process import Build
from benchmark.remote.deadlines import INSPECT_S
from benchmark.results.manifest import ArtifactRecord, BuildRecord, FileRecord, VariantRecord
from benchmark.settings import Repository
from benchmark.testbed import packages
from benchmark.testbed.testbed import Testbed

_UPLOAD_DEADLINE_S = 3600.0
_BUILD_PACKAGES = ("git", "ca-certificates")


@dataclass(frozen=True)
class Variant:
    """The artifact for one architecture."""

    sha256: str
    files: Mapping[str, File]
    copied_to: tuple[str, ...] = ()
    """Hosts that did not have it yet."""
    builder: str | None = None
    """Host that built it in this installation; None if it was cached."""
    build_seconds: float = 0.0
    changed: tuple[str, ...] = ()
    """Tracked files that the build changed."""


@dataclass(frozen=True)
class Installed:
    """The result of an installation: the commit, and the artifact for each architecture and host."""

    commit: str
    variants: Mapping[str, Variant]
    by_host: Mapping[str, str]
    """Name of the artifact on each host."""
    origin: Origin | None = None
    revision: Revision | None = None
    build: Build | None = None
    folder: Path | None = None
    log: Path | None = None

    @property
    def warnings(self) -> list[str]:
        """Warnings for the readers of the results."""
        found = []
        if self.origin and self.revision and self.revision.moved:
            found.append(
                f"{self.origin.ref} moved: it was {self.revision.previous} on {self.revision.previous_at:%F %T} UTC, "
                f"now it is {self.commit}"
            )
        for architecture, variant in self.variants.items():
            if variant.changed:
                found.append(f"the build on {architecture} changed tracked files: {', '.join(variant.changed)}")
        return found

    def to_record(self) -> ArtifactRecord:
        """Return the entry for the manifest, without credentials."""
        build = self.build if self.origin else None
        return ArtifactRecord(
            source="repository" if self.origin else "binaries",
            repository=self.origin.url if self.origin else None,
            requested=self.origin.ref if self.origin else None,
            folder=str(self.folder) if self.folder else None,
            commit=self.commit,
            previous_commit=self.revision.previous if self.revision else None,
            build=BuildRecord(**dataclasses.asdict(build)) if build else None,
            variants={
                architecture: VariantRecord(
                    sha256=variant.sha256,
                    files={name: FileRecord(**dataclasses.asdict(file)) for name, file in variant.files.items()},
                    copied_to=variant.copied_to,
                    builder=variant.builder,
                    build_seconds=variant.build_seconds,
                    changed=variant.changed,
                )
                for architecture, variant in self.variants.items()
            },
        )


@dataclass
class Installation:
    """Install one artifact on `carriers`."""

    testbed: Testbed
    carriers: Sequence[Host]
    report: Callable[[str], None]
    """Called with a description of each step that takes long."""
    log_folder: Path
    """Folder for build logs."""
    rtt_ms: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """Measured round trips between regions, where they are known."""
    _caches: dict[str, HostCache] = field(default_factory=dict)

    def from_repository(self, build: Build, repository: Repository) -> Installed:
        """Resolve the commit, build it on one host per architecture unless it is cached, and copy it to all carriers.

        Raises UsageError, SystemFailure with the build's last lines, or an InfrastructureError.
        """
        origin = Origin.of(repository)
        self._list_artifacts()
        instances = [host for host in self.testbed.running if host.role == "instance"]
        self._install_packages(instances[0], _BUILD_PACKAGES)
        revision = resolve(self.testbed.fleet, self._working, instances[0].name, origin)
        build = complete(build, revision.files, f"{revision.commit[:8]} of {origin.url}")
        variants, log = {}, None
        for architecture, carriers in self._by_architecture().items():
            key = build_key(origin, revision.commit, build, architecture)
            root = self._first(self.testbed.running, lambda cache: key in cache.built)  # noqa: B023
            if root is not None:
                cache = self._caches[root.name]
                variant = Variant(cache.built[key], {}, changed=cache.changed.get(key, ()))
            else:
                root = self._first(instances, lambda cache: cache.architecture == architecture)  # noqa: B023
                assert root is not None  # carriers are instances
                if log is None:
                    self.log_folder.mkdir(parents=True, exist_ok=True)
                    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
                    log = self.log_folder / f"build-{now}-{revision.commit[:8]}-{secrets.token_hex(2)}.log"
                variant = self._build(root, origin, revision.commit, build, key, log)
            variants[architecture] = self._copy(variant, root, carriers)
            # Any carrier can be the source of the next installation.
            path, entry = hosts.index_entry(self._working, key, variant.sha256, variant.changed)
            new = {host.name: {path: entry} for host in carriers if key not in self._caches[host.name].built}
            self.testbed.fleet.put(new, deadline=INSPECT_S).raise_for_failures("could not register the artifact on:")
        by_host = self._artifact_by_host(variants)
        return Installed(revision.commit, variants, by_host, origin, revision, build, log=log)

    def from_binaries(self, build: Build | None, binaries: Binaries) -> Installed:
        """Upload the user's binaries to one host unless a host has them, and copy them to all carriers."""
        files = find_binaries(binaries.folder, [PurePosixPath(path).name for path in build.outputs] if build else ())
        name = artifact_name(files)
        self._list_artifacts()
        architectures = self._by_architecture()
        if len(architectures) > 1:
            raise UsageError(
                f"--binaries supplies files for one architecture, but the hosts have {', '.join(architectures)}; "
                "set a repository instead, which is built for each"
            )
        ((architecture, carriers),) = architectures.items()
        root = self._first(self.testbed.running, lambda cache: name in cache.artifacts)
        if root is None:
            root = carriers[0]
            self.report(f"uploading {', '.join(files)} to {root.name}")
            command = hosts.command(self._working, "store", name)
            self.testbed.fleet.run(
                command, hosts=[root.name], stdin=pack(files), deadline=_UPLOAD_DEADLINE_S
            ).raise_for_failures("could not upload the binaries to:")
            self._add_to_cache(root, name)
        variants = {architecture: self._copy(Variant(name, {}), root, carriers)}
        by_host = self._artifact_by_host(variants)
        return Installed(binaries.commit, variants, by_host, folder=binaries.folder.resolve())

    def _build(self, host: Host, origin: Origin, commit: str, build: Build, key: str, log: Path) -> Variant:
        self._install_packages(host, (*_BUILD_PACKAGES, *(build.packages or ())))
        self.report(f"building {commit[:8]} of {origin.url} on {host.name}; its log is {log}")
        built = build_artifact(self.testbed.fleet, self._working, host.name, origin, commit, build, key, log)
        self._add_to_cache(host, built.name)
        return Variant(built.name, {}, builder=host.name, build_seconds=built.seconds, changed=built.changed)

    @property
    def _working(self) -> str:
        return self.testbed.settings.working_dir

    def _list_artifacts(self) -> None:
        answers = self.testbed.fleet.run(
            hosts.command(self._working, "list"),
            hosts=[host.name for host in self.testbed.running],
            deadline=INSPECT_S,
        ).raise_for_failures("could not list artifacts on:")
        self._caches = {name: hosts.parse_cache(answer.stdout) for name, answer in answers.items()}

    def _by_architecture(self) -> dict[str, list[Host]]:
        found: dict[str, list[Host]] = {}
        for host in self.carriers:
            found.setdefault(self._caches[host.name].architecture, []).append(host)
        return found

    def _first(self, candidates: Iterable[Host], condition: Callable[[HostCache], bool]) -> Host | None:
        return next((host for host in candidates if condition(self._caches[host.name])), None)

    def _install_packages(self, host: Host, wanted: Sequence[str]) -> None:
        """Install the packages that are missing on the host."""
        answer = self.testbed.fleet.run(
            packages.missing_command(wanted), hosts=[host.name], deadline=INSPECT_S
        ).raise_for_failures("could not list packages on:")[host.name]
        if missing := answer.stdout.split():
            self.report(f"installing {', '.join(missing)} on {host.name}")
            self.testbed.install({host.name: missing})

    def _add_to_cache(self, host: Host, name: str) -> None:
        known = self._caches[host.name]
        self._caches[host.name] = dataclasses.replace(known, artifacts=known.artifacts | {name})

    def _copy(self, variant: Variant, root: Host, carriers: Sequence[Host]) -> Variant:
        """Copy the artifact from `root` to the carriers without it; return it with its files."""
        missing = [host for host in carriers if variant.sha256 not in self._caches[host.name].artifacts]
        if not missing:
            answer = self.testbed.fleet.run(
                hosts.command(self._working, "describe", variant.sha256),
                hosts=[root.name],
                deadline=INSPECT_S,
            ).raise_for_failures(f"could not list the files of artifact {variant.sha256[:8]} on:")[root.name]
            return dataclasses.replace(variant, files=hosts.parse_files(answer.stdout))
        self.report(f"copying {variant.sha256[:8]} from {root.name} to {len(missing)} hosts")
        files, _ = distribute(self.testbed.fleet, self._working, variant.sha256, root, missing, self.rtt_ms)
        return dataclasses.replace(variant, files=files, copied_to=tuple(host.name for host in missing))

    def _artifact_by_host(self, variants: Mapping[str, Variant]) -> dict[str, str]:
        architectures = self._by_architecture()
        return {host.name: variants[name].sha256 for name, carriers in architectures.items() for host in carriers}
