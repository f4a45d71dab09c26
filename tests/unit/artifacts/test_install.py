"""The result of an installation, and what the results contain of it."""

from __future__ import annotations

from datetime import UTC, datetime

from factories.repository import BUILD

from benchmark.artifacts.install import Installed, Variant
from benchmark.artifacts.source import Origin, Revision
from benchmark.settings import Repository

COMMIT = "0123456789abcdef0123456789abcdef01234567"
BEFORE = "f" * 40
SECRET = "ghp_s3cret"
ORIGIN = Origin("https://git.example.org/a/b", "main")


def test_no_representation_contains_credentials() -> None:
    repository = Repository(url=f"https://{SECRET}@git.example.org/a")
    origin = Origin.of(repository)
    installed = Installed(COMMIT, {}, {}, origin, Revision(COMMIT), BUILD)
    for shown in (
        repr(repository),
        str(repository),
        repr(origin),
        repr(installed),
        installed.to_record().model_dump_json(),
    ):
        assert SECRET not in shown


def test_moved_branch_and_changed_files_give_warnings() -> None:
    moved = Revision(COMMIT, BEFORE, datetime(2026, 1, 2, tzinfo=UTC))
    variants = {"x86_64": Variant("a" * 64, {}, changed=("Cargo.lock",))}
    found = Installed(COMMIT, variants, {}, ORIGIN, moved, BUILD)
    assert found.warnings == [
        f"main moved: it was {BEFORE} on 2026-01-02 00:00:00 UTC, now it is {COMMIT}",
        "the build on x86_64 changed tracked files: Cargo.lock",
    ]
    record = found.to_record()
    assert (record.requested, record.commit, record.previous_commit) == ("main", COMMIT, BEFORE)
