"""Both emulated clouds without machines that boot, for tests of what a cloud answers to pulumi."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast
from unittest import mock

from fakes.emulated_account import IdleAws
from fakes.emulated_clouds import SETTINGS, Clouds
from fakes.emulators.machine import Image
from fakes.emulators.site import AWS_SECRET, TOKEN, Site
from fakes.vultr_account import IdleVultr

from stacks.local.wan.network import WideAreaNetwork


class IdleSite(Site):  # type: ignore[misc]  # emulators have no types
    """An AWS and a Vultr whose machines are idle, without a network."""

    operator = "198.51.100.7/32"

    def __init__(self, folder: Path) -> None:
        home, image, network = folder / "login", cast("Image", None), cast("WideAreaNetwork", None)
        self.aws = IdleAws(folder / "aws", image, network, home, AWS_SECRET)
        self.vultr = IdleVultr(folder / "vultr", image, network, TOKEN)
        self.serve(home)

    def close(self) -> None:
        self.close_clouds()


@contextmanager
def idle_clouds(folder: Path, testbed_id: str, settings: str = SETTINGS) -> Iterator[Clouds]:
    """Yield a stack that is not created yet, in a dedicated site of idle machines; destroy both."""
    with mock.patch.dict(os.environ, GEOBENCH_STATE_DIR=str(folder / "state")):
        site = IdleSite(folder)
        try:
            clouds = Clouds(folder, site, testbed_id, settings)
            try:
                yield clouds
            finally:
                clouds.stack.destroy()
        finally:
            site.close()
