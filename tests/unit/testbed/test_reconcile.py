"""Settings that changed after the hosts were created: over a real SSH server, with a fake sudo."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from factories.cloud_init import MONITORING, files
from fakes.sshd import USER, Sshd

from benchmark.errors import SettingsError
from benchmark.host_layout import GRAFANA_DATASOURCES, PROMETHEUS_CONFIG
from benchmark.remote.fleet import Fleet
from benchmark.settings import Settings
from benchmark.testbed import reconcile as module
from benchmark.testbed.bootstrap import BootstrapStatus
from benchmark.testbed.reconcile import reconcile

REGIONS = ("us-east-1",)


@pytest.fixture
def fleet(server: Sshd) -> Iterator[Fleet]:
    hosts = [server.host(name) for name in ("a-0", "a-1")]
    with Fleet(hosts, USER, server.user_key, timeout=timedelta(seconds=5), retries=0) as opened:
        yield opened


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with a monitoring host's configurations, and `asked`, the recorded arguments of systemctl."""
    given = files(MONITORING)
    for name, path in {"prometheus": PROMETHEUS_CONFIG, "grafana": GRAFANA_DATASOURCES}.items():
        (tmp_path / name).write_text(given[path])
    monkeypatch.setattr(module, "PROMETHEUS_CONFIG", str(tmp_path / "prometheus"))
    monkeypatch.setattr(module, "GRAFANA_DATASOURCES", str(tmp_path / "grafana"))
    sudo = tmp_path / "sudo"
    sudo.write_text(f'#!/bin/sh\nshift\n[ "$1" != systemctl ] || exec echo "$@" >>{tmp_path}/asked\nexec "$@"\n')
    sudo.chmod(0o755)
    monkeypatch.setattr(module, "_SUDO", str(sudo))
    return tmp_path


def statuses(interval_ms: int | None = None, disk: str | None = None) -> dict[str, BootstrapStatus]:
    return {
        "a-0": BootstrapStatus("ready", scrape_interval_ms=interval_ms),
        "a-1": BootstrapStatus("ready", local_disk=disk),
    }


@pytest.mark.parametrize(("interval", "timeout_ms"), [("250ms", 250), ("1m", 10_000)])
def test_prometheus_and_grafana_get_a_new_scrape_interval(
    fleet: Fleet, host: Path, interval: str, timeout_ms: int
) -> None:
    reported: list[str] = []
    settings = Settings(regions=REGIONS, scrape_interval=interval)  # type: ignore[arg-type]  # as in a file
    milliseconds = round(settings.scrape_interval.total_seconds() * 1000)
    reconcile(fleet, settings, statuses(5000), reported.append)
    assert reported == [f"a-0: Prometheus now scrapes every {milliseconds} ms, before every 5000 ms"]
    made_now = files(replace(MONITORING, scrape_interval=settings.scrape_interval))
    assert yaml.safe_load((host / "prometheus").read_text()) == yaml.safe_load(made_now[PROMETHEUS_CONFIG])
    assert f"scrape_timeout: {timeout_ms}ms\n" in (host / "prometheus").read_text()
    assert f"timeInterval: {milliseconds}ms\n" in (host / "grafana").read_text()
    assert (host / "asked").read_text() == "systemctl reload prometheus\nsystemctl try-restart grafana-server\n"


def test_an_unchanged_scrape_interval_changes_nothing(fleet: Fleet, host: Path) -> None:
    reconcile(fleet, Settings(regions=REGIONS), statuses(5000), pytest.fail)
    reconcile(fleet, Settings(regions=REGIONS), {}, pytest.fail)
    assert not (host / "asked").exists()


@pytest.mark.parametrize(
    ("made", "settings", "words"),
    [
        ("geobench", {"working_dir": "/data"}, "working_dir: /data on the local disk, .* set up for working_dir: geob"),
        (
            "geobench",
            {"nvme": False},
            "say nvme: false, but the local disk of a-1 was set up for working_dir: geo",
        ),
        ("", {}, "say working_dir: geobench on the local disk, but the local disk of a-1 was set up for nvme: false"),
    ],
)
def test_local_disks_set_up_for_other_settings_are_rejected(
    fleet: Fleet, made: str, settings: dict[str, object], words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        reconcile(fleet, Settings(regions=REGIONS, **settings), statuses(disk=made), pytest.fail)  # type: ignore[arg-type]


@pytest.mark.parametrize(("made", "settings"), [("geobench", {}), (None, {"working_dir": "/x"}), ("", {"nvme": False})])
def test_local_disks_as_in_the_settings_and_hosts_without_one_are_accepted(
    fleet: Fleet, made: str | None, settings: dict[str, object]
) -> None:
    reconcile(fleet, Settings(regions=REGIONS, **settings), statuses(disk=made), pytest.fail)  # type: ignore[arg-type]
