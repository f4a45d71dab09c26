"""A server deleted in Vultr's console: its provider cannot read it; the documented commands recover."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.emulated_clouds import Clouds, emulated_clouds
from fakes.emulators.provider import CloudError
from fakes.pulumi_stack import ROOT

pytestmark = pytest.mark.e2e

SETTINGS = """\
cloud_provider: vultr
regions: [ewr]
specs: vc2-4c-8gb
instances: 2
monitoring: false
operator_cidrs: [{operator}]
"""
INSTANCE = "vultr:index/instance:Instance"


class Unreadable:
    """Servers as ediri-vultr 2.27.1 has them: it takes no answer of today's API for `there is none`."""

    def __init__(self, kind: Any, known: dict[str, Any]) -> None:
        self._kind, self._known = kind, known

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kind, name)

    def read(self, identity: str) -> Any:
        self._must_know(identity)
        return self._kind.read(identity)

    def delete(self, identity: str) -> None:
        self._must_know(identity)
        self._kind.delete(identity)

    def _must_know(self, identity: str) -> None:
        if identity not in self._known:
            raise CloudError('error getting server: {"error":"instance not found","status":404}')


@pytest.fixture
def clouds(tmp_path: Path) -> Iterator[Clouds]:
    with emulated_clouds(tmp_path, "deleted", SETTINGS) as made:
        kinds = made.site.vultr_cloud.kinds
        kinds[INSTANCE] = Unreadable(kinds[INSTANCE], made.site.vultr.things)
        made.stack.up()
        yield made


def delete_in_console(clouds: Clouds, name: str) -> None:
    (identity,) = [each for each, one in clouds.site.vultr.machines.items() if one.name == f"deleted-{name}"]
    clouds.site.vultr_cloud.kinds[INSTANCE].delete(identity)


def forget(clouds: Clouds, name: str) -> None:
    """Do what the docs say, in their words."""
    docs = (ROOT / "docs/clouds.md").read_text(encoding="utf-8").partition("## A server that Vultr no longer has")[2]
    (block,) = re.findall(r"```sh\n(.*?)```", docs.partition("\n## ")[0], re.DOTALL)
    shown = clouds.stack.pulumi("stack", "--show-urns")
    (urn,) = re.findall(rf"URN: (\S+\${INSTANCE}::{name})\n", shown)
    destroy, delete = [shlex.split(line, comments=True)[1:] for line in block.replace("URN", urn).splitlines()]
    refused(clouds, *destroy)
    clouds.stack.pulumi(*delete, "--yes")


def refused(clouds: Clouds, *command: str) -> None:
    done = clouds.stack.run(*command, "--yes", "--skip-preview")
    assert done.returncode != 0
    assert "instance not found" in done.stdout


def test_deleted_server_is_forgotten_and_recreated(clouds: Clouds) -> None:
    delete_in_console(clouds, "ewr-1")
    shown = clouds.benchmark("status", exit_code=3)
    assert "`A server that Vultr no longer has`" in " ".join(shown.split())
    refused(clouds, "refresh")
    forget(clouds, "ewr-1")
    clouds.stack.up()
    assert sorted(clouds.machines) == ["ewr-0", "ewr-1"]
    addresses = {machine.address for machine in clouds.machines.values()}
    assert {host.address for host in clouds.stack.inventory().hosts} == addresses


def test_deleted_server_is_forgotten_and_the_rest_destroyed(clouds: Clouds) -> None:
    delete_in_console(clouds, "ewr-0")
    refused(clouds, "destroy")
    forget(clouds, "ewr-0")
    clouds.stack.destroy()
    assert clouds.site.machines == []
    assert clouds.site.vultr.things == {}
