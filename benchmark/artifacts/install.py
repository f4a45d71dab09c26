"""Getting the artifact of a benchmark onto its hosts: found, or built, or brought; then from host to host."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from benchmark.artifacts import store as hosts
from benchmark.artifacts.binaries import find_binaries, name_of, pack
from benchmark.artifacts.build import Built, build_artifact, key_of, resolve
from benchmark.artifacts.distribution import distribute
from benchmark.artifacts.source import Origin, Revision
from benchmark.artifacts.store import File, Holdings
from benchmark.errors import UsageError
from benchmark.inventory import Host
from benchmark.plan.source import Binaries
from benchmark.protocols.process import Build
from benchmark.results.manifest import ArtifactRecord, BuildRecord, FileRecord, VariantRecord
from benchmark.settings import Repository
from benchmark.testbed import packages
from benchmark.testbed.testbed import Testbed

_LOOK_DEADLINE_S = 60.0
_UPLOAD_DEADLINE_S = 3600.0
_BUILD_PACKAGES = ("git", "ca-certificates")

Tell = Callable[[str], None]
"""Takes a sentence about what is being done."""


@dataclass(frozen=True)
class Variant:
    """The artifact of one architecture, how it came about, and which hosts had to be given it."""

    sha256: str
    files: Mapping[str, File]
    given_to: tuple[str, ...] = ()
    builder: str | None = None
    """Host that built it now; none where it was built before."""
    build_seconds: float = 0.0
    changed: tuple[str, ...] = ()
    """Files of the checkout that the build itself changed."""


@dataclass(frozen=True)
class Installed:
    """What was installed: the commit, and what it is on each architecture and host."""

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
        """What a reader of the results has to know of it."""
        found = []
        if self.origin and self.revision and self.revision.moved:
            found.append(
                f"{self.origin.ref} moved: it was {self.revision.previous} on {self.revision.previous_at:%F %T} UTC, "
                f"now it is {self.commit}"
            )
        for architecture, variant in self.variants.items():
            if variant.changed:
                found.append(f"the build on {architecture} changed files of the commit: {', '.join(variant.changed)}")
        return found

    def to_record(self) -> ArtifactRecord:
        """Return what the manifest says of it; it holds no credentials."""
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
                    copied_to=variant.given_to,
                    builder=variant.builder,
                    build_seconds=variant.build_seconds,
                    changed=variant.changed,
                )
                for architecture, variant in self.variants.items()
            },
        )


@dataclass
class Installation:
    """One installation on `carriers`; `tell` hears what takes long, the log of a build is written into `log_folder`."""

    testbed: Testbed
    carriers: Sequence[Host]
    tell: Tell
    log_folder: Path
    rtt_ms: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """Measured round trips between regions, where they are known."""
    _holdings: dict[str, Holdings] = field(default_factory=dict)

    def from_repository(self, build: Build, repository: Repository) -> Installed:
        """Find the commit, build it on one host of each architecture that nobody built it for, bring it to all.

        Raises UsageError, SystemFailure with the build's last lines, or an InfrastructureError.
        """
        origin = Origin.of(repository)
        self._look(self.testbed.running)
        builder = next(host for host in self.testbed.running if host.role == "instance")
        self._equip(builder, _BUILD_PACKAGES)
        revision = resolve(self.testbed.fleet, self._working, builder.name, origin)
        variants, log = {}, None
        for architecture, carriers in self._by_architecture().items():
            key = key_of(origin, revision.commit, build, architecture)
            root = self._first(self.testbed.running, lambda holdings: key in holdings.built)  # noqa: B023
            if root is None:
                root = self._builder(architecture)
                log = log or self._log(revision.commit)
                built = self._build(root, origin, revision.commit, build, key, log)
                variant = Variant(built.name, {}, builder=root.name, build_seconds=built.seconds, changed=built.changed)
            else:
                known = self._holdings[root.name]
                variant = Variant(known.built[key], {}, changed=known.changed.get(key, ()))
            variants[architecture] = self._spread(variant, root, carriers)
            self._remember(key, variants[architecture], carriers)
        return Installed(revision.commit, variants, self._names(variants), origin, revision, build, log=log)

    def from_binaries(self, build: Build | None, binaries: Binaries) -> Installed:
        """Send the user's binaries to one host that lacks them, and from there to all."""
        files = find_binaries(binaries.folder, [PurePosixPath(path).name for path in build.outputs] if build else ())
        name = name_of(files)
        self._look(self.testbed.running)
        architectures = self._by_architecture()
        if len(architectures) > 1:
            raise UsageError(
                f"--binaries brings files of one architecture, the hosts have {', '.join(architectures)}; "
                "name a repository, which is built for each"
            )
        ((architecture, carriers),) = architectures.items()
        root = self._first(self.testbed.running, lambda holdings: name in holdings.artifacts)
        if root is None:
            root = carriers[0]
            self.tell(f"sending {', '.join(files)} to {root.name}")
            command = hosts.command(self._working, "store", name)
            self.testbed.fleet.run(
                command, hosts=[root.name], stdin=pack(files), deadline=_UPLOAD_DEADLINE_S
            ).raise_for_failures("the binaries did not arrive:")
            self._has(root, name)
        variants = {architecture: self._spread(Variant(name, {}), root, carriers)}
        return Installed(binaries.commit, variants, self._names(variants), folder=binaries.folder.resolve())

    @property
    def _working(self) -> str:
        return self.testbed.settings.working_dir

    def _look(self, asked: Sequence[Host]) -> None:
        answers = self.testbed.fleet.run(
            hosts.command(self._working, "list"), hosts=[host.name for host in asked], deadline=_LOOK_DEADLINE_S
        ).raise_for_failures("hosts do not say what they have:")
        self._holdings = {name: hosts.parse_holdings(answer.stdout) for name, answer in answers.items()}

    def _by_architecture(self) -> dict[str, list[Host]]:
        found: dict[str, list[Host]] = {}
        for host in self.carriers:
            found.setdefault(self._holdings[host.name].architecture, []).append(host)
        return found

    def _first(self, candidates: Sequence[Host], condition: Callable[[Holdings], bool]) -> Host | None:
        return next((host for host in candidates if condition(self._holdings[host.name])), None)

    def _builder(self, architecture: str) -> Host:
        """The first instance of an architecture builds for it."""
        candidates = [host for host in self.testbed.running if host.role == "instance"]
        found = self._first(candidates, lambda holdings: holdings.architecture == architecture)
        assert found is not None  # a carrier has it
        return found

    def _equip(self, host: Host, wanted: Sequence[str]) -> None:
        """Install the packages that the host lacks."""
        answer = self.testbed.fleet.run(
            packages.missing_command(wanted), hosts=[host.name], deadline=_LOOK_DEADLINE_S
        ).raise_for_failures("a host does not say which packages it has:")[host.name]
        if lacking := answer.stdout.split():
            self.tell(f"installing {', '.join(lacking)} on {host.name}")
            self.testbed.install({host.name: lacking})

    def _build(self, host: Host, origin: Origin, commit: str, build: Build, key: str, log: Path) -> Built:
        self._equip(host, (*_BUILD_PACKAGES, *build.packages))
        self.tell(f"building {commit[:8]} of {origin.url} on {host.name}; its log is {log}")
        built = build_artifact(self.testbed.fleet, self._working, host.name, origin, commit, build, key, log)
        self._has(host, built.name)
        return built

    def _has(self, host: Host, name: str) -> None:
        known = self._holdings[host.name]
        self._holdings[host.name] = dataclasses.replace(known, artifacts=known.artifacts | {name})

    def _spread(self, variant: Variant, root: Host, carriers: Sequence[Host]) -> Variant:
        """Give the artifact to the carriers that lack it, and say what is in it."""
        lacking = [host for host in carriers if variant.sha256 not in self._holdings[host.name].artifacts]
        if not lacking:
            answer = self.testbed.fleet.run(
                hosts.command(self._working, "describe", variant.sha256), hosts=[root.name], deadline=_LOOK_DEADLINE_S
            ).raise_for_failures("a host does not say what its artifact is:")[root.name]
            return dataclasses.replace(variant, files=hosts.parse_files(answer.stdout))
        self.tell(f"bringing {variant.sha256[:8]} from {root.name} to {len(lacking)} hosts")
        files, _ = distribute(self.testbed.fleet, self._working, variant.sha256, root, lacking, self.rtt_ms)
        return dataclasses.replace(variant, files=files, given_to=tuple(host.name for host in lacking))

    def _remember(self, key: str, variant: Variant, carriers: Sequence[Host]) -> None:
        """Note on every carrier what its artifact was built from, so that any of them can pass it on."""
        path, note = hosts.note(self._working, key, variant.sha256, variant.changed)
        unaware = {host.name: {path: note} for host in carriers if key not in self._holdings[host.name].built}
        self.testbed.fleet.put(unaware, deadline=_LOOK_DEADLINE_S).raise_for_failures("hosts cannot keep an artifact:")

    def _names(self, variants: Mapping[str, Variant]) -> dict[str, str]:
        architectures = self._by_architecture()
        return {host.name: variants[name].sha256 for name, carriers in architectures.items() for host in carriers}

    def _log(self, commit: str) -> Path:
        self.log_folder.mkdir(parents=True, exist_ok=True)
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        return self.log_folder / f"build-{now}-{commit[:8]}-{secrets.token_hex(2)}.log"
