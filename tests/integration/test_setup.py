"""Set up for real: packages leave services alone, and `pulumi up` in the checkout asks nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT

from benchmark import __version__

# Runs in a mount namespace of its own, with overlays over /usr/sbin and /etc: the machine's own are never touched.
IN_OVERLAY = """
set -eu
mkdir "$1/scratch"; mount -t tmpfs none "$1/scratch"
for folder in usr/sbin etc; do
    mkdir -p "$1/scratch/$folder/upper" "$1/scratch/$folder/work"
    options="lowerdir=/$folder,upperdir=$1/scratch/$folder/upper,workdir=$1/scratch/$folder/work"
    mount -t overlay none -o "$options" "/$folder"
done
rm -f /usr/sbin/policy-rc.d
mkdir -p /etc/systemd/system/multi-user.target.wants /etc/rc2.d
links() { find /etc/systemd/system /etc/rc?.d -type l | sort; }
links > "$1/before"
[ "$2" = none ] || { echo "$2" > /usr/sbin/policy-rc.d; }
PATH="$1/bin:$PATH" "$3" || echo "status $?" >> "$1/log"
cat /usr/sbin/policy-rc.d >> "$1/log" 2>/dev/null || echo "no policy" >> "$1/log"
links | diff "$1/before" - | grep '^[<>]' >> "$1/log" || true
"""

FAKE_APT = """#!/bin/sh
echo "apt-get $*" >> "{folder}/log"
[ "$1" = install ] || exit 0
ln -sf /lib/systemd/system/prometheus.service /etc/systemd/system/multi-user.target.wants/
ln -sf ../init.d/dependency /etc/rc2.d/S01dependency
tail -n 1 /usr/sbin/policy-rc.d >> "{folder}/log"
[ ! -e "{folder}/fails" ]
"""


@pytest.mark.integration
class TestPackages:
    """apt-get is a fake, so that the test installs nothing; dpkg-query reports one package as missing."""

    def install(self, folder: Path, policy: str = "none") -> list[str]:
        (folder / "bin").mkdir()
        for name, text in {
            "apt-get": FAKE_APT.format(folder=folder),
            "dpkg-query": '#!/bin/sh\ncase "$*" in *prometheus) echo not-installed;; *) echo installed;; esac\n',
        }.items():
            (folder / "bin" / name).write_text(text, encoding="utf-8")
            (folder / "bin" / name).chmod(0o755)
        script = str(ROOT / "tools/setup/install_packages.sh")
        inside = ["sh", "-c", IN_OVERLAY, "sh", str(folder), policy, script]
        subprocess.run(["unshare", "--mount", *inside], check=True, timeout=60)
        return (folder / "log").read_text(encoding="utf-8").splitlines()

    def test_only_missing_packages_are_installed_and_no_service_is_started_or_enabled(self, tmp_path: Path) -> None:
        assert self.install(tmp_path) == [
            "apt-get install -y -q --no-install-recommends --no-remove prometheus",
            "exit 101",
            "no policy",
            "> /etc/rc2.d/K01dependency",
        ]

    def test_the_machines_own_policy_is_respected(self, tmp_path: Path) -> None:
        log = self.install(tmp_path, "exit 104")
        assert log[1:3] == ["exit 104", "exit 104"]

    def test_a_failure_fetches_package_lists_once_and_restores_policy_and_services(self, tmp_path: Path) -> None:
        (tmp_path / "fails").touch()
        log = self.install(tmp_path)
        calls = [line.split()[1] for line in log if line.startswith("apt-get")]
        assert calls == ["install", "update", "install"]
        assert log[-3:] == ["status 1", "no policy", "> /etc/rc2.d/K01dependency"]


PROGRAM = """
import pulumi
from numbers_provider import Doubled
pulumi.export("doubled", Doubled("it", 21).doubled)
"""

PROVIDER = """
from pulumi import Input, Output
from pulumi.dynamic import CreateResult, Resource, ResourceProvider


class Doubling(ResourceProvider):
    def create(self, props):
        return CreateResult("it", props | {"doubled": 2 * props["number"]})


class Doubled(Resource):
    doubled: Output[int]

    def __init__(self, name, number):
        super().__init__(Doubling(), name, {"number": number, "doubled": None})
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A git checkout of the set-up alone, around a small program; it borrows this checkout's packages."""
    root = tmp_path / "checkout"
    root.mkdir()
    for name in ("tools", "env.sh", "Pulumi.yaml", "Pulumi.dev.yaml", ".gitattributes", ".gitignore"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, root / name)
    for name in ("requirements.txt", "requirements-dev.txt"):
        shutil.copy(ROOT / name, root)
    configuration = (root / "Pulumi.dev.yaml").read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in configuration if not line.startswith("encryptionsalt:")]
    (root / "Pulumi.dev.yaml").write_text("".join(kept), encoding="utf-8")
    (root / "__main__.py").write_text(PROGRAM, encoding="utf-8")
    (root / "numbers_provider.py").write_text(PROVIDER, encoding="utf-8")
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for arguments in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "all"]):
        subprocess.run(["git", *arguments], cwd=root, check=True, timeout=60)
    (root / ".git/info/exclude").write_text(".venv\n__pycache__\n", encoding="utf-8")
    (root / ".venv").symlink_to(sys.prefix)
    return root


def shell(checkout: Path, script: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PULUMI_")}
    environment |= {
        "PULUMI_HOME": str(checkout.parent / "pulumi"),
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PYTHON": sys.executable,
    }
    return subprocess.run(
        ["bash", "-c", script],
        cwd=checkout,
        env=environment,
        text=True,
        capture_output=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.e2e
def test_after_set_up_pulumi_asks_nothing_and_git_sees_no_change(checkout: Path) -> None:
    for _ in range(2):
        done = shell(checkout, "tools/setup/setup.sh")
        assert done.returncode == 0, done.stderr
    done = shell(checkout, ". ./env.sh && pulumi up --yes && pulumi stack output doubled && pulumi stack --show-name")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-2:] == ["42", "dev"]
    assert "encryptionsalt" in (checkout / "Pulumi.dev.yaml").read_text(encoding="utf-8")
    assert (checkout / ".state/passphrase").stat().st_mode & 0o777 == 0o600
    assert shell(checkout, "git status --porcelain").stdout == ""
    assert shell(checkout, ". ./env.sh && pulumi up --yes -c instances=8").returncode == 0
    assert "geobench:instances" in (checkout / "Pulumi.dev.yaml").read_text(encoding="utf-8")
    assert (
        shell(checkout, "git status --porcelain && git commit -qam more; git diff HEAD").stdout.count("instances") == 0
    )
    assert shell(checkout, ". ./env.sh && pulumi destroy --yes").returncode == 0


@pytest.mark.e2e
def test_geobench_runs_the_checkout_from_any_folder(tmp_path: Path) -> None:
    done = shell(ROOT, f". ./env.sh && cd {tmp_path} && geobench --version")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"geobench {__version__}")


@pytest.mark.e2e
def test_set_up_recreates_deleted_state_and_keeps_a_selected_stack(checkout: Path) -> None:
    assert shell(checkout, "tools/setup/setup.sh").returncode == 0
    shutil.rmtree(checkout / ".state")
    assert shell(checkout, "tools/setup/setup.sh").returncode == 0
    done = shell(checkout, ". ./env.sh && pulumi preview && pulumi stack init other && tools/setup/setup.sh")
    assert done.returncode == 0, done.stdout + done.stderr
    assert shell(checkout, ". ./env.sh && pulumi stack --show-name").stdout == "other\n"


@pytest.mark.integration
def test_packages_of_emulated_machines_are_installed_into_a_layer_alone() -> None:
    status = Path("/var/lib/dpkg/status")
    before = status.read_bytes()
    layers = [shell(ROOT, "tools/setup/cloud_image.sh").stdout.strip() for _ in range(2)]
    assert layers[0] == layers[1]
    seen = [path for path in (Path(layers[0], "var/lib/dpkg/status"), status) if path.exists()]
    installed = seen[0].read_text(encoding="utf-8")  # the machine's where it has all of the packages already
    for name in ("chrony", "cloud-init", "ufw"):
        assert f"Package: {name}\nStatus: install ok installed\n" in installed
    assert not Path(layers[0], "usr/sbin/policy-rc.d").exists()
    assert status.read_bytes() == before
