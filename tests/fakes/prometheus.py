"""A Prometheus without a server: every target is scraped, and clients have completed all requests."""

from __future__ import annotations

import json
import time
from datetime import timedelta

import numpy as np
from factories.sample_factory import client
from fakes.fleet import FakeFleet

from benchmark.host_layout import TARGETS_DIRECTORY
from benchmark.inventory import Inventory
from benchmark.metrics.names import LOAD_GENERATOR
from benchmark.metrics.prometheus import Answer, Prometheus
from benchmark.metrics.samples import Series
from benchmark.metrics.targets import Identity
from benchmark.settings import Settings
from benchmark.testbed.testbed import Testbed


class FakePrometheus(Prometheus):
    """Reads the target files that the runner has written to the monitoring host of a fake fleet."""

    def __init__(self, fleet: FakeFleet, monitoring: str, url: str) -> None:
        self.url = url
        self._fleet, self._monitoring = fleet, monitoring
        self.unscraped: set[str] = set()
        """Jobs that have no samples yet."""
        self.names = {*LOAD_GENERATOR.exported, "etcd_server_is_leader"}
        """Metrics that processes export."""
        self.errors: dict[Identity, str] = {}
        """Why scrapes failed, by target."""

    def close(self) -> None:
        self._fleet.touch("close Prometheus")

    def scraped(self, since: float) -> set[Identity]:
        self._fleet.touch("scraped")
        targets = [(labels["job"], labels["host"], instance) for labels, instance in self._targets()]
        return {target for target in targets if target[0] not in self.unscraped}

    def samples(self, selector: str, start: float, end: float) -> list[Series]:
        self._fleet.touch("samples")
        if selector != '{job="client"}':
            return []
        scrapes, due = np.linspace(start, end, 50), np.linspace(start, end, 1000)
        found = []
        for labels, instance in self._targets():
            if labels["job"] == "client":
                for one in client(labels["host"], scrapes, due, np.full(len(due), 0.001), region=labels["region"]):
                    found.append(Series(one.metric, {**one.labels, "instance": instance}, one.times, one.values))
        return found

    def query(self, query: str, timeout: timedelta | None = None) -> list[Answer]:
        self._fleet.touch("query")
        if query.startswith("timestamp(etcd_server_is_leader)"):
            now = time.time()
            return [Answer({"host": self._fleet.leader}, (now, now))] if self._fleet.leader else []
        return [Answer({"quantity": "completed_tps"}, (0.0, 60.0))] if "quantity" in query else []

    def problem(self) -> str:
        self._fleet.touch("check Prometheus")
        return self._fleet.prometheus_problem

    def exported(self, job: str) -> set[str]:
        self._fleet.touch("exported")
        return self.names

    def scrape_errors(self) -> dict[Identity, str]:
        return self.errors

    def _targets(self) -> list[tuple[dict[str, str], str]]:
        files = self._fleet.files[self._monitoring]
        documents = [json.loads(content) for path, content in files.items() if path.startswith(TARGETS_DIRECTORY)]
        return [(group["labels"], group["targets"][0]) for document in documents for group in document]


def fake_testbed(inventory: Inventory, **settings: object) -> tuple[Testbed, FakeFleet]:
    """Return a testbed whose hosts and Prometheus are fakes, and its fleet."""
    fleet = FakeFleet(inventory.hosts)
    document = {"testbed_id": inventory.testbed_id, "regions": inventory.regions, "scrape_interval": "250ms"}
    monitoring = inventory.monitoring.name if inventory.monitoring else ""
    testbed = Testbed(
        inventory,
        fleet,
        Settings.model_validate(document | settings),
        open_prometheus=lambda url: FakePrometheus(fleet, monitoring, url),
    )
    return testbed, fleet
