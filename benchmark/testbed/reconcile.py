"""Settings that cloud hosts got at their first start and that may have changed since: followed, or refused.

Firewalls follow operator_cidrs in `Testbed.make_ready`; time_to_live is for new hosts, `extend` for those that run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from shlex import join

from benchmark.errors import SettingsError
from benchmark.host_layout import PROMETHEUS_CONFIG
from benchmark.remote.fleet import Fleet
from benchmark.settings import Settings
from benchmark.testbed.bootstrap import Report, listed

_DATASOURCES = "/etc/grafana/provisioning/datasources/testbed.yaml"
_SUDO = "sudo"
_DEADLINE_S = 30.0


def follow(fleet: Fleet, settings: Settings, reports: Mapping[str, Report], tell: Callable[[str], None]) -> None:
    """Have hosts do what the settings say by now, as far as they can; `reports` are theirs, by name.

    SettingsError where their local disks were set up for something else; HostError if one cannot be changed.
    """
    _check_disks(settings, reports)
    _set_interval(fleet, settings, reports, tell)


def _check_disks(settings: Settings, reports: Mapping[str, Report]) -> None:
    """A benchmark on another disk than was asked for would measure something else."""
    wanted = settings.working_dir if settings.nvme else ""
    others = {name: report.local_disk for name, report in reports.items() if report.local_disk not in (None, wanted)}
    if others:
        made = next(iter(others.values()))
        raise SettingsError(
            f"the settings say {_disk_settings(wanted)}, but the local disk of {listed(others)} was set up for "
            f"{_disk_settings(made)} when the host was made; go back to that, or make the hosts anew: "
            "`pulumi destroy`, `pulumi up`"
        )


def _disk_settings(folder: str | None) -> str:
    return f"working_dir: {folder} on the local disk" if folder else "nvme: false"


def _set_interval(fleet: Fleet, settings: Settings, reports: Mapping[str, Report], tell: Callable[[str], None]) -> None:
    """Change the configuration of Prometheus (stacks/monitoring.py) and of Grafana, which knows the interval too."""
    interval = round(settings.scrape_interval.total_seconds() * 1000)
    rules = (
        f"s/^( *(scrape_interval|timeInterval): ).*/\\1{interval}ms/;"
        f"s/^( *scrape_timeout: ).*/\\1{min(interval, 10_000)}ms/"  # at most the interval
    )
    edit = join([_SUDO, "-n", "sed", "-i", "-E", rules, PROMETHEUS_CONFIG, _DATASOURCES])
    take_up = f"{_SUDO} -n systemctl reload prometheus; {_SUDO} -n systemctl try-restart grafana-server || true"
    for name, report in reports.items():
        if report.scrape_interval_ms not in (None, interval):
            tell(f"{name}: Prometheus now scrapes every {interval} ms, not every {report.scrape_interval_ms} ms")
            done = fleet.run(f"set -e; {edit}; {take_up}", hosts=[name], deadline=_DEADLINE_S)
            done.raise_for_failures("Prometheus cannot be told how often to scrape:")
