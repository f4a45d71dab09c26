"""Functions that need root run in a helper of sudo, here with a stand-in for sudo that changes no user."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmark.errors import InfrastructureError
from benchmark.settings import Disk
from stacks.local import root
from stacks.local.requirements import check_machine
from stacks.local.root import as_root, require_own_code

SUDO = '#!/bin/sh\n[ "$2" != true ] || exit 0\nshift 2\nexec "$@"\n'


@pytest.fixture(scope="module")
def sudo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The program that is run as sudo by this process, which is no longer root's; all tests share its helper."""
    program = tmp_path_factory.mktemp("bin") / "sudo"
    program.write_text(SUDO, encoding="utf-8")
    program.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
        patch.setenv("GEOBENCH_STATE_DIR", str(program.parent / "the state"))
        patch.setattr(os, "geteuid", lambda: 1000)
        patch.setattr(root, "require_own_code", lambda paths: None)  # the checkout of tests may be shared
        root._start.cache_clear()
        yield program
        end_helper()


def end_helper() -> None:
    if root._start.cache_info().currsize:
        root._start().end()
    root._start.cache_clear()


@pytest.fixture
def new_helper(sudo: Path) -> Iterator[None]:
    """Share no helper: this test ends it, or reads its output, which goes to where it went when the helper began."""
    end_helper()
    yield
    end_helper()


def test_one_helper_runs_all_functions_and_prints_to_standard_error(
    sudo: Path, capfd: pytest.CaptureFixture[str], new_helper: None
) -> None:
    assert as_root(math.factorial)(5) == 120
    assert as_root(os.getenv)("GEOBENCH_STATE_DIR") == str(sudo.parent / "the state")
    helper = as_root(os.getpid)()
    assert helper != os.getpid()
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: as_root(os.getpid)(), range(20))) == {helper}
    as_root(print)("printed")
    assert "printed" in capfd.readouterr().err


def test_errors_of_the_helper_are_those_of_the_machine(sudo: Path) -> None:
    with pytest.raises(InfrastructureError, match="No such file or directory: '/not/there'"):
        as_root(os.listdir)("/not/there")
    with pytest.raises(InfrastructureError, match=r"Traceback(?s:.*)JSONDecodeError"):
        as_root(json.loads)("{")
    assert as_root(math.factorial)(3) == 6


def test_root_needs_no_helper(sudo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert as_root(os.getpid)() == os.getpid()


@pytest.mark.integration
def test_the_machine_is_checked_through_sudo(sudo: Path, tmp_path: Path) -> None:
    check_machine(tmp_path / "not/there/yet", Disk())
    with pytest.raises(InfrastructureError, match=r"/sys/kernel.*GEOBENCH_STATE_DIR"):
        check_machine(Path("/sys/kernel/state"), Disk())


@pytest.mark.usefixtures("new_helper")
def test_a_helper_that_ends_is_an_error_for_calls_in_progress_and_later_ones() -> None:
    for _ in range(2):
        with pytest.raises(InfrastructureError, match="helper that runs as root has ended"):
            as_root(os._exit)(3)


def test_a_user_whose_sudo_needs_a_password_is_told_to_enter_it_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sudo = tmp_path / "sudo"
    sudo.write_text("#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n", encoding="utf-8")
    sudo.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(
        InfrastructureError,
        match=r"^local hosts need root, and sudo reports: a password is required; run `sudo -v`, then this command",
    ):
        root._start.__wrapped__()


def test_a_user_without_sudo_is_told_to_become_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InfrastructureError, match=r"need root, and sudo is not installed; as root \(`su`\), run"):
        root._start.__wrapped__()


class TestCodeThatRunsAsRoot:
    @pytest.fixture
    def code(self, tmp_path: Path) -> Path:
        file = tmp_path / "folder/module.py"
        file.parent.mkdir()
        file.touch()
        return file

    def test_code_of_this_user_is_accepted_below_a_folder_with_sticky_bit(self, code: Path) -> None:
        require_own_code([code])  # /tmp is writable by everybody
        code.parent.chmod(0o1777)
        require_own_code([code])

    @pytest.mark.parametrize("name", [".", "module.py"])
    def test_a_file_or_folder_that_everybody_can_change_is_rejected(self, code: Path, name: str) -> None:
        code.parent.joinpath(name).chmod(0o777)
        with pytest.raises(
            InfrastructureError,
            match=rf"other users can change {code.parent / name}, .*`chmod go-w {code.parent / name}`",
        ):
            require_own_code([code])

    def test_code_of_another_user_is_rejected(self, code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "getuid", lambda: 12345)
        monkeypatch.setattr(Path, "stat", lambda path: os.stat_result((0o100644, 0, 0, 1, 54321, 0, 0, 0, 0, 0)))
        with pytest.raises(InfrastructureError, match="other users can change"):
            require_own_code([code])

    def test_only_the_private_group_of_the_user_may_change_code(
        self, code: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        code.chmod(0o664)
        group = code.stat().st_gid
        monkeypatch.setattr(root, "_private_group", lambda: group)
        require_own_code([code])
        monkeypatch.setattr(root, "_private_group", lambda: None)
        monkeypatch.setattr(Path, "stat", lambda path: os.stat_result((0o100664, 0, 0, 1, os.getuid(), 77, 0, 0, 0, 0)))
        with pytest.raises(InfrastructureError, match="other users can change"):
            require_own_code([code])
