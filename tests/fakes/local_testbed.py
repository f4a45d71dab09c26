"""A small local testbed without Pulumi, for tests and for measurements of the tools: real hosts, real network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from benchmark.host_layout import DISK_FILE
from benchmark.inventory import Host as Entry
from benchmark.inventory import Inventory, Role, Ssh
from benchmark.remote.fleet import Fleet
from benchmark.settings import Network, Settings
from benchmark.testbed.testbed import Testbed
from stacks.keys import KeyPair, generate_key
from stacks.local.host.disk import Disk
from stacks.local.host.filesystem import HostConfig
from stacks.local.host.host import Host
from stacks.local.wan.links import links_for
from stacks.local.wan.network import WideAreaNetwork
from stacks.monitoring import monitoring_files

SCRAPE_INTERVAL = timedelta(seconds=1)


@contextmanager
def local_testbed(folder: Path, name: str, regions: Mapping[str, int]) -> Iterator[LocalTestbed]:
    """Yield a testbed with a monitoring host, whose files are in `folder`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEOBENCH_STATE_DIR", str(folder / "state"))
        with LocalTestbed(name, regions, folder, monitoring=True) as made:
            yield made


class LocalTestbed:
    """Hosts `REGION-INDEX` on an emulated network, connected; a context manager that cleans up.

    GEOBENCH_STATE_DIR is the folder of the hosts' files. The first host is the monitoring host, if requested.
    """

    def __init__(self, name: str, regions: Mapping[str, int], folder: Path, *, monitoring: bool = False) -> None:
        self.settings = Settings(testbed_id=name, regions=tuple(regions), scrape_interval=SCRAPE_INTERVAL)
        self.network = WideAreaNetwork(name)
        self._regions = {f"{region}-{index}": region for region, count in regions.items() for index in range(count)}
        self._monitoring = next(iter(self._regions)) if monitoring else None
        self._operator = generate_key()
        self._configs: dict[str, HostConfig] = {}
        self.key_file = folder / f"{name}.key"
        self.key_file.touch(mode=0o600)
        self.key_file.write_text(self._operator.private_key, encoding="utf-8")

    def __enter__(self) -> LocalTestbed:
        try:
            links = links_for(self.settings.regions, Network())
            self.network.start(links)
            with ThreadPoolExecutor(8) as pool:
                entries = list(pool.map(self._create, self._regions))
            self.inventory = Inventory(
                testbed_id=self.settings.testbed_id,
                created_at=datetime.now(UTC),
                ssh=Ssh(user="root", private_key_file=str(self.key_file)),
                round_trips=links.round_trips(),
                hosts=tuple(entries),
            )
            self.fleet = Fleet(entries, "root", self.key_file, timeout=timedelta(seconds=20), retries=2)
            self.testbed = Testbed(self.inventory, self.fleet, self.settings)
            self.testbed.connect()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if hasattr(self, "fleet"):
            self.fleet.close()
        for name in self._regions:
            self.host(name).remove()
        self.network.stop()

    def host(self, name: str) -> Host:
        """Return a host as this machine sees it."""
        return Host(self.network, name)

    def restart(self, name: str) -> None:
        """Restart a host on its files, with its address and key."""
        self.host(name).start(self._configs[name])

    def output(self, host: str, command: str) -> str:
        """Run a command on a host and return what it printed; it must succeed."""
        return self.fleet.run(command, hosts=[host], deadline=60).raise_for_failures(command)[host].stdout

    def _create(self, name: str) -> Entry:
        key = generate_key()
        role: Role = "monitoring" if name == self._monitoring else "instance"
        self._configs[name] = self._config(name, role, key)
        address = self.host(name).create(self._configs[name])
        return Entry(
            name=name, provider="local", region=self._regions[name], specs="namespace", address=address,
            host_key=key.public_key, role=role,
        )  # fmt: skip

    def _config(self, name: str, role: Role, key: KeyPair) -> HostConfig:
        settings = self.settings
        files = monitoring_files(SCRAPE_INTERVAL) if role == "monitoring" else {}
        files = {**files, DISK_FILE: f"{settings.disk.describe(settings.working_dir)}\n"}
        disk = Disk(settings.disk.size, f"/root/{settings.working_dir}")
        return HostConfig(name, self._regions[name], role, self._operator.public_key, key.private_key, files, disk)
