"""Emulated clouds and the network between them, as one site that tests deploy to."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from fakes.emulators.aws import Aws
from fakes.emulators.machine import Image, Machine
from fakes.emulators.provider import Served
from fakes.emulators.vultr import Vultr

from benchmark.settings import Network
from stacks.local.wan.links import links_for
from stacks.local.wan.network import WideAreaNetwork

TOKEN = "V0ULTR-T0KEN-0F-THE-TESTS"
AWS_SECRET = "AWS-SECRET-0F-THE-TESTS"


class Site:
    """An AWS and a Vultr whose machines share an emulated network; `environment` points pulumi to them."""

    def __init__(self, folder: Path, name: str, regions: Sequence[str]) -> None:
        self.network = WideAreaNetwork(name)
        pairs = itertools.combinations_with_replacement(sorted(regions), 2)
        rtt_ms = {f"{a}/{b}": 0.5 if a == b else 20.0 for a, b in pairs}
        self.network.start(links_for(regions, Network(rtt_ms=rtt_ms, internet=False)))
        self.image = Image(folder / "image")
        home = folder / "login"
        self.aws = Aws(folder / "aws", self.image, self.network, home, AWS_SECRET)
        self.vultr = Vultr(folder / "vultr", self.image, self.network, TOKEN)
        self.serve(home)

    def serve(self, home: Path) -> None:
        """Serve both clouds to a user with that home folder."""
        self.aws_cloud, self.vultr_cloud = self.aws.cloud(), self.vultr.cloud()
        self._served = [Served(self.aws_cloud), Served(self.vultr_cloud)]
        (home / ".aws").mkdir(parents=True)
        keys = f"[default]\naws_access_key_id = AKIA\naws_secret_access_key = {AWS_SECRET}\n"
        (home / ".aws/credentials").write_text(keys, encoding="utf-8")
        (home / ".vultr").write_text(f"{TOKEN}\n", encoding="utf-8")
        aws, vultr = (served.port for served in self._served)
        self.environment = {
            "HOME": str(home),
            "PULUMI_DEBUG_PROVIDERS": f"aws:{aws},vultr:{vultr}",
            "VULTR_API_URL": self.vultr.url,
        }

    @property
    def operator(self) -> str:
        """The source network of this machine's connections."""
        return f"{self.network.operator_address}/32"

    @property
    def machines(self) -> list[Machine]:
        """The machines of both clouds."""
        return [*self.aws.machines.values(), *self.vultr.machines.values()]

    def close(self) -> None:
        """Stop the clouds and the network."""
        self.close_clouds()
        self.image.remove()
        self.network.stop()

    def close_clouds(self) -> None:
        """Remove all machines and stop serving."""
        for served in self._served:
            served.close()
        self.aws.close()
        self.vultr.close()
