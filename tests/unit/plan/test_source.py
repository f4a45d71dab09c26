"""Options, settings and protocol decide what a system is built from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from factories.repository import BUILD

from benchmark.errors import UsageError
from benchmark.plan.source import Binaries, find_build, find_source
from benchmark.protocols.base import Protocol
from benchmark.protocols.etcd import Etcd
from benchmark.protocols.process import Build
from benchmark.settings import BuildSettings, Repository

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SECRET = "ghp_s3cret"


class Built(Etcd):
    name = "built"
    build = BUILD


class WithRepository(Etcd):
    name = "with-repository"
    build = Build((), "make", ("x",), repository="https://git.example.org/own")


SETTLED = Repository(url="/srv/settled", commit="v1")


@pytest.mark.parametrize(
    ("protocol", "settled", "options", "expected"),
    [
        (Etcd, None, {}, None),
        (Etcd, None, {"binaries": Path("x")}, Binaries(Path("x"), "unknown")),
        (Built, SETTLED, {"binaries": Path("x"), "commit": COMMIT}, Binaries(Path("x"), COMMIT)),
        (Built, SETTLED, {}, SETTLED),
        (Built, SETTLED, {"commit": "v2"}, Repository(url="/srv/settled", commit="v2")),
        (Built, SETTLED, {"url": "/srv/other"}, Repository(url="/srv/other", commit="main")),
        (Built, None, {"url": "/srv/other", "commit": "v2"}, Repository(url="/srv/other", commit="v2")),
        (WithRepository, None, {}, Repository(url="https://git.example.org/own", commit="main")),
        (WithRepository, SETTLED, {}, SETTLED),
    ],
)
def test_options_override_settings_which_override_the_protocol(
    protocol: type[Protocol], settled: Repository | None, options: dict[str, Any], expected: object
) -> None:
    assert find_source(protocol, protocol.build, settled, **options) == expected


@pytest.mark.parametrize(
    ("protocol", "options", "message"),
    [
        (Built, {}, "no repository configured for built"),
        (Etcd, {"commit": "v1"}, "etcd is installed from packages"),
        (Built, {"url": "/x", "binaries": Path("x")}, "pass one of them"),
        (Built, {"url": "https://t0ken@x.org/a"}, r"--repository: its login would be stored.*write '\$\{NAME\}'"),
        (Built, {"url": "https://${NOT_SET_ANYWHERE}@x.org/a"}, "--repository.*NOT_SET_ANYWHERE.*export"),
    ],
)
def test_conflicting_options_are_rejected(protocol: type[Protocol], options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find_source(protocol, protocol.build, None, **options)


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("https://github.com/asonnino/mysticeti.git", "did you mean `protocol: mysticeti`? Else remove `repository`"),
        ("https://${TOKEN}@github.com/me/remora/", "did you mean `protocol: remora`?"),
        ("git@example.org:mysticetti", "did you mean `protocol: mysticeti`?"),
        (
            "https://github.com/etcd-io/etcd",
            "set `protocol` to what it contains, remove `repository`, or set `build: {}`",
        ),
    ],
)
def test_a_repository_that_is_not_used_is_an_error(url: str, hint: str) -> None:
    with pytest.raises(UsageError) as error:
        find_source(Etcd, None, Repository(url=url))
    assert "`repository` in the settings is not used: etcd is installed from packages" in str(error.value)
    assert hint in str(error.value)


def test_token_in_the_option_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    found = find_source(Built, BUILD, None, url="https://${TOKEN}@x.org/a")
    assert found == Repository(url=f"https://{SECRET}@x.org/a")


@pytest.mark.parametrize(
    ("protocol", "settled", "expected"),
    [
        (Built, None, BUILD),
        (Etcd, None, None),
        (Etcd, BuildSettings(), Build()),
        (Etcd, BuildSettings(command="make", outputs=("etcd",)), Build(None, "make", ("etcd",))),
        (Built, BuildSettings(), BUILD),
        (Built, BuildSettings(command="make all"), Build(BUILD.packages, "make all", BUILD.outputs)),
        (Built, BuildSettings(packages=()), Build((), BUILD.command, BUILD.outputs)),
        (WithRepository, BuildSettings(outputs=("y",)), Build((), "make", ("y",), "https://git.example.org/own")),
    ],
)
def test_build_of_the_settings_lays_over_that_of_any_protocol(
    protocol: type[Protocol], settled: BuildSettings | None, expected: Build | None
) -> None:
    assert find_build(protocol, settled) == expected


def test_build_makes_a_system_from_packages_need_a_repository() -> None:
    with pytest.raises(UsageError, match="no repository configured for etcd"):
        find_source(Etcd, Build(), None)
    assert find_source(Etcd, Build(), SETTLED, commit="v2") == Repository(url="/srv/settled", commit="v2")
