"""Content of a host's own layer before it is mounted, and its mounts as data."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from stacks.local.host.filesystem import HostConfig, mounts, write_file, write_upper
from stacks.local.host.services import WAN_METRICS

CONFIG = HostConfig("a-0", "a", "monitoring", "ssh-ed25519 OPERATOR", "PRIVATE\n", {"/etc/prometheus/x.yml": "x: 1\n"})


@pytest.fixture
def upper(tmp_path: Path) -> Path:
    if os.geteuid() != 0:
        pytest.fail("device files and trusted attributes need root; run the tests as root")
    folder = tmp_path / "upper"
    write_upper(folder, CONFIG, "rules\n", hidden=(Path("/opt/checkout"), Path("/tmp/state")))
    return folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.integration
def test_folders_with_the_machines_private_files_are_empty(upper: Path) -> None:
    for name in ("root", "home", "tmp", "run", "var/log", "var/tmp", "var/lib/prometheus", "etc/ssh"):
        assert os.getxattr(upper / name, "trusted.overlay.opaque") == b"y", name
    assert list((upper / "root").iterdir()) == []
    assert mode(upper / "root") == 0o711, "users of systems that refuse to run as root can reach their folders"
    assert mode(upper / "tmp") == 0o1777


@pytest.mark.integration
def test_other_folders_show_the_machines_files(upper: Path) -> None:
    with pytest.raises(OSError, match="No data available"):
        os.getxattr(upper / "etc", "trusted.overlay.opaque")
    assert mode(upper / "etc") == mode(Path("/etc"))


@pytest.mark.integration
def test_a_hidden_folder_is_deleted_unless_it_is_below_an_empty_one(upper: Path) -> None:
    found = (upper / "opt/checkout").stat()
    assert stat.S_ISCHR(found.st_mode)
    assert found.st_rdev == 0
    assert list((upper / "tmp").iterdir()) == []


@pytest.mark.integration
def test_private_files_are_readable_by_root_only_and_contain_no_password_hashes_of_the_machine(upper: Path) -> None:
    key = upper / "etc/ssh/ssh_host_ed25519_key"
    assert (key.read_text(encoding="utf-8"), mode(key)) == ("PRIVATE\n", 0o600)
    shadow = (upper / "etc/shadow").read_text(encoding="utf-8")
    assert {line.split(":")[1] for line in shadow.splitlines()} == {"*"}
    assert "root:*:" in shadow
    assert mode(upper / "etc/shadow") == 0o600


@pytest.mark.integration
def test_the_device_folder_has_the_usual_devices_and_no_tunnels(upper: Path) -> None:
    assert {path.name for path in (upper / "dev").iterdir() if path.is_char_device()} >= {"null", "zero", "urandom"}
    assert (upper / "dev/null").stat().st_rdev == Path("/dev/null").stat().st_rdev
    assert not (upper / "dev/net").exists()
    assert (upper / "dev/ptmx").readlink() == Path("pts/ptmx")


@pytest.mark.integration
def test_a_restart_keeps_the_hosts_files_and_empties_run(upper: Path) -> None:
    (upper / "root/result").write_text("42", encoding="utf-8")
    (upper / "run/sshd.pid").write_text("1", encoding="utf-8")
    write_upper(upper, CONFIG, "other rules\n", hidden=(Path("/opt/checkout"),))
    assert (upper / "root/result").read_text(encoding="utf-8") == "42"
    assert not (upper / "run/sshd.pid").exists()
    assert (upper / "etc/nftables.conf").read_text(encoding="utf-8") == "other rules\n"
    assert (upper / "etc/prometheus/x.yml").read_text(encoding="utf-8") == "x: 1\n"


def test_a_file_replaces_a_link_instead_of_following_it(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("the machine's", encoding="utf-8")
    (tmp_path / "upper/etc").mkdir(parents=True)
    (tmp_path / "upper/etc/resolv.conf").symlink_to(outside)
    write_file(tmp_path / "upper", "/etc/resolv.conf", "the host's")
    assert outside.read_text(encoding="utf-8") == "the machine's"
    assert (tmp_path / "upper/etc/resolv.conf").read_text(encoding="utf-8") == "the host's"


@pytest.mark.integration
@pytest.mark.parametrize(
    "name", ["etc/geobench", "etc", "tmp", "run", "var", "opt", "var/lib/prometheus/node-exporter"]
)
def test_links_in_the_place_of_folders_are_replaced_instead_of_followed(upper: Path, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(0o700)
    if (upper / name).is_dir():
        shutil.rmtree(upper / name)
    (upper / name).symlink_to(outside)
    write_upper(upper, CONFIG, "rules\n", hidden=(Path("/opt/checkout"),))
    assert list(outside.iterdir()) == []
    assert (mode(outside), os.listxattr(outside)) == (0o700, [])
    assert (upper / "etc/geobench/services").is_file()


def test_a_files_mode_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write_file(tmp_path, "/file", "text")
    finally:
        os.umask(before)
    assert mode(tmp_path / "file") == 0o644


def rows(text: str) -> dict[str, list[str]]:
    return {line.split()[1]: line.split() for line in text.splitlines()}


def test_the_overlay_comes_first_and_is_volatile() -> None:
    first = mounts(Path("/state/t/hosts/a-0"), None).splitlines()[0].split()
    assert first[1:3] == ["/state/t/hosts/a-0/root", "overlay"]
    assert "volatile" in first[3].split(",")


def test_kernel_settings_are_read_only_except_for_the_hosts_own_network() -> None:
    found = rows(mounts(Path("/s"), None))
    assert "ro" in found["/s/root/proc/sys"][3].split(",")
    assert "ro" in found["/s/root/sys"][3].split(",")
    assert "ro" not in found["/s/root/proc/sys/net"][3].split(",")


def test_metrics_of_the_network_are_mounted_read_only() -> None:
    found = rows(mounts(Path("/s"), Path("/s/network/metrics")))
    assert found[f"/s/root{WAN_METRICS}"][0] == "/s/network/metrics"
    assert found[f"/s/root{WAN_METRICS}"][3] == "bind,ro"


def test_the_disk_is_mounted_outside_the_root_in_which_a_host_could_make_links() -> None:
    found = rows(mounts(Path("/my state"), None, Path("/dev/loop7")))
    assert found[r"/my\040state/disk"][0] == "/dev/loop7"
    assert {"nosuid", "nodev", "discard"} <= set(found[r"/my\040state/disk"][3].split(","))


def test_blanks_in_paths_are_escaped_for_fstab() -> None:
    assert r"/my\040state/root" in mounts(Path("/my state"), None)
