"""Artifacts as data: where they come from, what secrets are hidden, who gives what to whom."""

from __future__ import annotations

import io
import subprocess
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from factories.repository import BUILD

from benchmark.artifacts.binaries import find_binaries, name_of, pack
from benchmark.artifacts.distribution import sources
from benchmark.artifacts.install import Installed, Variant
from benchmark.artifacts.source import Origin, Revision, parse_revision, unreadable
from benchmark.artifacts.store import File, Holdings, note, parse_files, parse_holdings
from benchmark.errors import InfrastructureError, SettingsError, UsageError
from benchmark.inventory import Host
from benchmark.plan.source import Binaries, find_source
from benchmark.protocols.base import Protocol
from benchmark.protocols.etcd import Etcd
from benchmark.protocols.process import Build
from benchmark.settings import Repository, load_settings, redact
from benchmark.testbed.packages import install_command, missing_command, missing_packages, package_commit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
BEFORE = "f" * 40
SECRET = "ghp_s3cret"
ORIGIN = Origin("https://git.example.org/a/b", "main")


class Built(Etcd):
    name = "built"
    build = BUILD


class WithRepository(Etcd):
    name = "with-repository"
    build = Build((), "make", ("x",), repository="https://git.example.org/own")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://git.example.org/a", ("https://git.example.org/a", "", "")),
        (f"https://{SECRET}@git.example.org/a", ("https://git.example.org/a", SECRET, SECRET)),
        (f"https://me:{SECRET}@git.example.org:8443/a", ("https://git.example.org:8443/a", "me", SECRET)),
        ("https://me:p%40ss@git.example.org/a", ("https://git.example.org/a", "me", "p@ss")),
        ("ssh://git@git.example.org/a", ("ssh://git@git.example.org/a", "", "")),
        ("git@git.example.org:a/b.git", ("git@git.example.org:a/b.git", "", "")),
        ("/srv/a@b", ("/srv/a@b", "", "")),
    ],
)
def test_credentials_are_taken_out_of_the_url(url: str, expected: tuple[str, str, str]) -> None:
    origin = Origin.of(Repository(url=url))
    assert (origin.url, origin.username, origin.password) == expected


def test_a_secret_shows_up_in_no_representation() -> None:
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


@pytest.mark.parametrize("ref", ["", "-x", "--upload-pack=x", "a b", "main\nx", "$(x)", "main~1", "a:b"])
def test_what_cannot_be_a_commits_name_is_refused(ref: str) -> None:
    with pytest.raises(UsageError, match="is no branch, tag or hash"):
        Origin.of(Repository(url="/srv/a", commit=ref))


def test_the_secret_goes_to_standard_input_as_two_lines() -> None:
    assert Origin("u", "main", "me", SECRET).secret_input == f"me\n{SECRET}\n"
    with pytest.raises(UsageError, match="line break"):
        _ = Origin("u", "main", "me", "a\nb").secret_input


def test_what_git_says_is_shown_without_the_secret() -> None:
    origin = Origin(ORIGIN.url, "main", "me", SECRET)
    said = f"fatal: https://me:{SECRET}@git.example.org/a {SECRET} is bad"
    assert origin.hide(said) == "fatal: https://git.example.org/a REDACTED is bad"
    assert SECRET not in str(unreadable(origin, said))


@pytest.mark.parametrize(
    ("complaint", "error", "hint"),
    [
        ("fatal: Could not resolve host: git.example.org", InfrastructureError, "does that host reach it"),
        ("ssh: connect to host x port 22: Connection refused", InfrastructureError, "does that host reach it"),
        ("fatal: could not read Username for 'https://x'", UsageError, "needs a token in its URL"),
    ],
)
def test_a_repository_that_cannot_be_read_is_a_matter_of_network_or_of_usage(
    complaint: str, error: type[Exception], hint: str
) -> None:
    found = unreadable(ORIGIN, complaint)
    assert type(found) is error
    assert hint in str(found)
    assert complaint in str(found)


def test_redaction_leaves_what_is_no_secret() -> None:
    assert redact("see https://x.org/a@b and ssh://git@x.org") == "see https://x.org/a@b and ssh://git@x.org"
    assert redact(f"--repository=https://u:{SECRET}@x.org/a") == "--repository=https://x.org/a"


def test_a_wrong_settings_file_does_not_print_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    path = tmp_path / "settings.yaml"
    path.write_text("regions: [us-east-1]\nrepository: https://${TOKEN}@git.example.org/a\n", encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    assert SECRET not in str(caught.value)
    path.write_text("regions: [us-east-1]\nrepository: {url: 'https://${TOKEN}@git.example.org/a'}\n", encoding="utf-8")
    loaded = load_settings(path).repository
    assert loaded
    assert loaded.url == f"https://{SECRET}@git.example.org/a"


SETTLED = Repository(url="/srv/settled", commit="v1")


@pytest.mark.parametrize(
    ("protocol", "settled", "options", "expected"),
    [
        (Etcd, SETTLED, {}, None),
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
def test_options_win_over_settings_and_those_over_the_protocol(
    protocol: type[Protocol], settled: Repository | None, options: dict[str, Any], expected: object
) -> None:
    assert find_source(protocol, settled, **options) == expected


@pytest.mark.parametrize(
    ("protocol", "options", "message"),
    [
        (Built, {}, "nothing says where built is built from"),
        (Etcd, {"commit": "v1"}, "etcd is installed from packages"),
        (Built, {"url": "/x", "binaries": Path("x")}, "give one of them"),
        (Built, {"url": "https://${NOT_SET_ANYWHERE}@x.org/a"}, "--repository.*NOT_SET_ANYWHERE.*export"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    protocol: type[Protocol], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        find_source(protocol, None, **options)


def test_a_token_of_the_option_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    found = find_source(Built, None, url="https://${TOKEN}@x.org/a")
    assert found == Repository(url=f"https://{SECRET}@x.org/a")


def test_a_revision_is_read_with_what_it_was_before() -> None:
    found = parse_revision(ORIGIN, [f"previous {BEFORE} 1700000000", f"commit {COMMIT}"])
    assert found == Revision(COMMIT, BEFORE, datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC))
    assert found.moved
    assert not parse_revision(ORIGIN, [f"previous {COMMIT} 1700000000", f"commit {COMMIT}"]).moved
    assert not parse_revision(ORIGIN, [f"commit {COMMIT}"]).moved


def test_the_nearest_names_are_told() -> None:
    names = [f"known {name}" for name in ("maint", "release", "main-2", "x")]
    with pytest.raises(UsageError, match=r"has no branch, tag or commit 'main'; .* are: maint, main-2$"):
        parse_revision(ORIGIN, names)
    with pytest.raises(UsageError, match="it has no branch and no tag"):
        parse_revision(ORIGIN, [])


def test_a_moved_branch_and_a_changed_checkout_are_warned_of() -> None:
    moved = Revision(COMMIT, BEFORE, datetime(2026, 1, 2, tzinfo=UTC))
    variants = {"x86_64": Variant("a" * 64, {}, changed=("Cargo.lock",))}
    found = Installed(COMMIT, variants, {}, ORIGIN, moved, BUILD)
    assert found.warnings == [
        f"main moved: it was {BEFORE} on 2026-01-02 00:00:00 UTC, now it is {COMMIT}",
        "the build on x86_64 changed files of the commit: Cargo.lock",
    ]
    record = found.to_record()
    assert (record.requested, record.commit, record.previous_commit) == ("main", COMMIT, BEFORE)


def test_holdings_are_read_and_what_was_removed_does_not_count_as_built() -> None:
    text = "arch x86_64\nartifact aa\nbuilt k1 aa\nchanged k1 a file\nchanged k1 b\nbuilt k2 bb\n"
    assert parse_holdings(text) == Holdings("x86_64", frozenset({"aa"}), {"k1": "aa"}, {"k1": ("a file", "b")})


def test_a_note_has_the_form_that_hosts_write() -> None:
    path, content = note("work", "k1", "aa", ("a file",))
    assert (path, content) == ("work/artifacts/index/k1", b"artifact aa\nchanged a file\n")


def test_files_are_read() -> None:
    assert parse_files("file ab 12 a name\nfile cd 0 b\n") == {"a name": File("ab", 12), "b": File("cd", 0)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("remora", "load_generator", "B"):
        (tmp_path / name).write_text(name, encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "notes.txt").write_text("not executable", encoding="utf-8")
    (tmp_path / "deps").mkdir()
    return tmp_path


def test_binaries_are_those_that_the_protocol_names_else_all_that_can_be_executed(folder: Path) -> None:
    assert list(find_binaries(folder, ["remora", "load_generator"])) == ["load_generator", "remora"]
    assert list(find_binaries(folder, ())) == ["B", "load_generator", "remora"]


def test_missing_binaries_are_named_with_what_is_there(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"no executable file replica, notes.txt; .* there: B, load_generator, remora"):
        find_binaries(folder, ["remora", "replica", "notes.txt"])
    with pytest.raises(UsageError, match="is no folder"):
        find_binaries(folder / "none", ())
    with pytest.raises(UsageError, match="no executable file at all"):
        find_binaries(folder / "deps", ())


def test_the_name_is_what_sha256sum_says_of_the_folder(folder: Path) -> None:
    (folder / "notes.txt").unlink()
    (folder / "deps").rmdir()
    said = subprocess.run(
        "LC_ALL=C; sha256sum -- * | sha256sum", shell=True, cwd=folder, capture_output=True, check=True
    )
    assert name_of(find_binaries(folder, ())) == said.stdout.split()[0].decode()


def test_packing_is_repeatable_and_whole(folder: Path) -> None:
    files = find_binaries(folder, ())
    packed = pack(files)
    (folder / "B").touch()
    assert pack(files) == packed
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        assert {entry.name: (entry.size, entry.mode) for entry in tar} == {name: (len(name), 0o555) for name in files}


def host(name: str) -> Host:
    region = name.rpartition("-")[0]
    return Host(name=name, provider="local", region=region, specs="x", address="10.0.0.1", host_key="k")


def parents(*names: str, **rtt_ms: float) -> dict[str, str]:
    """The source of each but the first of `names`; `ab` is the round trip between the regions a and b."""
    root, *receivers = map(host, names)
    known = {pair: ms for (a, b), ms in rtt_ms.items() for pair in ((a, b), (b, a))}
    return {name: source.name for name, source in sources(root, receivers, known).items()}


def test_one_region_is_a_tree_of_two_branches() -> None:
    found = parents("a-0", "a-1", "a-2", "a-3", "a-4", "a-5")
    assert found == {"a-1": "a-0", "a-2": "a-0", "a-3": "a-1", "a-4": "a-1", "a-5": "a-2"}


def test_every_region_is_entered_once() -> None:
    names = [f"{region}-{index}" for region in "abcde" for index in range(6)]
    found = parents(*names)
    assert set(found) == set(names[1:])
    entered = [name for name, source in found.items() if name[0] != source[0]]
    assert sorted(entered) == ["b-0", "c-0", "d-0", "e-0"]
    assert max(list(found.values()).count(source) for source in set(found.values())) <= 4


def test_regions_get_it_from_the_nearest_that_is_free() -> None:
    names = ("a-0", "b-0", "c-0", "d-0")
    line = {"ab": 10.0, "bc": 10.0, "cd": 10.0, "ac": 20.0, "bd": 20.0, "ad": 30.0}
    assert parents(*names, **line) == {"b-0": "a-0", "c-0": "b-0", "d-0": "c-0"}
    star = {"ab": 10.0, "ac": 11.0, "ad": 12.0, "bc": 50.0, "bd": 60.0, "cd": 55.0}
    assert parents(*names, **star) == {"b-0": "a-0", "c-0": "a-0", "d-0": "c-0"}


def test_nobody_is_its_own_source_even_over_others() -> None:
    found = parents(*[f"{region}-{index}" for index in range(7) for region in "abc"])
    for name in found:
        steps = 0
        while name != "a-0":
            name, steps = found[name], steps + 1
        assert steps <= 5


def test_hosts_with_different_versions_are_refused() -> None:
    with pytest.raises(UsageError, match="different versions of etcd: 1 on a; 2 on b"):
        package_commit(["etcd"], {"a": {"etcd": "1"}, "b": {"etcd": "2"}})
    assert package_commit(["etcd"], {"a": {"etcd": "1"}, "b": {"etcd": "1"}}) == "1"
    assert package_commit([], {"a": {}, "b": {}}) == "unknown"
    assert missing_packages({"a": {"x": "", "y": "1"}, "b": {"x": "2"}}) == {"a": ["x"]}


def test_lacking_packages_are_found_by_dpkg() -> None:
    said = subprocess.run(missing_command(["bash", "no-such-package"]), shell=True, capture_output=True, text=True)
    assert said.stdout.split() == ["no-such-package"]
    assert "apt-get install" in install_command(["x"])
