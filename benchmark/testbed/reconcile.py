"""Apply settings that changed after the hosts were created, or reject those that cannot be applied.

`Testbed.make_ready` updates the firewalls with operator_cidrs; time_to_live is for new hosts, `extend` for existing
ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from shlex import join

from benchmark.errors import SettingsError
from benchmark.host_layout import GRAFANA_DATASOURCES, PROMETHEUS_CONFIG
from benchmark.remote.deadlines import CHANGE_S
from benchmark.remote.fleet import Fleet
from benchmark.settings import Settings
from benchmark.testbed.bootstrap import BootstrapStatus, listed

_SUDO = "sudo"


def reconcile(
    fleet: Fleet, settings: Settings, statuses: Mapping[str, BootstrapStatus], report: Callable[[str], None]
) -> None:
    """Apply the current settings to cloud hosts; `statuses` are by host.

    SettingsError where local disks were set up for other settings; HostError if a host cannot be changed.
    """
    wanted = settings.working_dir if settings.nvme else ""
    others = {name: status.local_disk for name, status in statuses.items() if status.local_disk not in (None, wanted)}
    if others:
        # A benchmark on another disk than the one in the settings would measure something else.
        created = next(iter(others.values()))
        raise SettingsError(
            f"the settings say {_disk_settings(wanted)}, but the local disk of {listed(others)} was set up for "
            f"{_disk_settings(created)}; change the settings back, or recreate the hosts with `pulumi destroy` and "
            "`pulumi up`"
        )
    interval = round(settings.scrape_interval.total_seconds() * 1000)
    for name, status in statuses.items():
        if status.scrape_interval_ms not in (None, interval):
            report(f"{name}: Prometheus now scrapes every {interval} ms, before every {status.scrape_interval_ms} ms")
            done = fleet.run(_set_interval(interval), hosts=[name], deadline=CHANGE_S)
            done.raise_for_failures("could not change the scrape interval of Prometheus on:")


def _disk_settings(folder: str | None) -> str:
    return f"working_dir: {folder} on the local disk" if folder else "nvme: false"


def _set_interval(interval_ms: int) -> str:
    """Return the command that changes the configuration of Prometheus, and of Grafana, which has the interval too."""
    rules = (
        f"s/^( *(scrape_interval|timeInterval): ).*/\\1{interval_ms}ms/;"
        f"s/^( *scrape_timeout: ).*/\\1{min(interval_ms, 10_000)}ms/"  # at most the interval
    )
    edit = join([_SUDO, "-n", "sed", "-i", "-E", rules, PROMETHEUS_CONFIG, GRAFANA_DATASOURCES])
    reload = f"{_SUDO} -n systemctl reload prometheus; {_SUDO} -n systemctl try-restart grafana-server || true"
    return f"set -e; {edit}; {reload}"
