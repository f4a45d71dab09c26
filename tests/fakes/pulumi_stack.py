"""A stack of the program under the real pulumi, with a separate backend, home and state folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from paths import ROOT

from benchmark.inventory import Inventory, parse_inventory
from stacks.local.host.host import Host
from stacks.local.wan.network import WideAreaNetwork

TWO_REGIONS = "regions: [us-east-1, eu-west-1]\ninstances: 2\n"


class Stack:
    """A stack of the program, deployed from a folder that links to this checkout."""

    def __init__(self, folder: Path, testbed_id: str, settings: str = TWO_REGIONS) -> None:
        self.testbed_id = testbed_id
        self.project = folder / "project"
        self.state = folder / "state"
        self.backend = folder / "backend"
        for path in (self.project, self.state, self.backend):
            path.mkdir(parents=True)
        for name in ("__main__.py", "benchmark", "stacks", "assets"):
            (self.project / name).symlink_to(ROOT / name)
        (self.project / "Pulumi.yaml").write_text("name: geobench\nruntime: python\n", encoding="utf-8")
        (self.project / "s.yaml").write_text(f"testbed_id: {testbed_id}\n{settings}", encoding="utf-8")
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PULUMI_BACKEND_URL": f"file://{self.backend}",
            "PULUMI_HOME": str(folder / "home"),
            "PULUMI_CONFIG_PASSPHRASE": "a passphrase",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "GEOBENCH_STATE_DIR": str(self.state),
        }
        self.pulumi("stack", "init", "e2e")
        self.pulumi("config", "set", "settings", "s.yaml")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        found = shutil.which("pulumi", path=self.environment["PATH"])
        assert found, "pulumi is not on PATH; `make setup && . ./env.sh` provides it"
        return subprocess.run(
            [found, "--non-interactive", *arguments],
            cwd=self.project, env=self.environment, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    def pulumi(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, f"{' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def up(self, *arguments: str) -> str:
        return self.pulumi("up", "--yes", "--skip-preview", *arguments)

    def destroy(self) -> str:
        return self.pulumi("destroy", "--yes", "--skip-preview")

    def inventory(self) -> Inventory:
        return parse_inventory(self.pulumi("stack", "output", "inventory", "--json"), "the stack's output")

    def host(self, name: str) -> Host:
        return Host(WideAreaNetwork(self.testbed_id), name)

    def pids(self) -> dict[str, int | None]:
        return {host.name: self.host(host.name).process_id() for host in self.inventory().hosts}
