"""Chart of CPU use and network traffic of the hosts over time."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from benchmark.measure.histogram import Array
from benchmark.measure.host_usage import CPU, IDLE_MODES, SENT, counts_once, increase_where
from benchmark.measure.scrapes import ScrapedTarget
from benchmark.measure.validity import THRESHOLDS
from benchmark.report import formatting
from benchmark.report.chart import Chart
from benchmark.report.palette import light, series_style
from benchmark.report.run_data import Record
from benchmark.report.time_charts import SINCE, limits, mark_time

_EACH = 6
"""Up to this many hosts have a line each; of more, the median and range are drawn."""
_FEWEST_SAMPLES = 3


def host_chart(record: Record) -> Chart | None:
    """Return CPU use and network traffic, with a line per host or the range of many; None if nothing was sampled."""
    used = [host for host in record.hosts if len(host.times) >= _FEWEST_SAMPLES and host.has(CPU)]
    if not used:
        return None
    # Hosts are scraped at different moments: all are interpolated at the same ones.
    axis = np.linspace(
        max(host.times[0] for host in used), min(host.times[-1] for host in used), min(len(used[0].times), 300)
    )
    times = (axis[1:] + axis[:-1]) / 2 - record.start
    busy, sent = {}, {}
    for host in used:
        spent = _increase(host, axis, CPU, lambda labels: True)
        idle = _increase(host, axis, CPU, lambda labels: labels.get("mode") in IDLE_MODES)
        busy[host.name] = 1 - np.divide(idle, spent, out=np.ones_like(spent), where=spent > 0)
        if host.has(SENT):
            count = _increase(host, axis, SENT, counts_once)
            sent[host.name] = count / np.diff(axis)
    peaks = sorted(record.usage.items(), key=lambda item: item[1].cpu_busy or 0.0, reverse=True)
    busiest = (
        f"busiest is {peaks[0][0]} with {formatting.share(peaks[0][1].cpu_busy)} over the window"
        if peaks
        else "no data"
    )
    lines = (
        "One line per host." if len(used) <= _EACH else f"Median and range of {len(used)} hosts, and the highest one."
    )
    caption = f"{lines} Above the dashed line, {formatting.share(THRESHOLDS.cpu_busy)}, a host may limit throughput."
    if any(host.provider == "local" for host in record.manifest.inventory.hosts):
        caption += " Local hosts share the processors of one machine, so their lines coincide."
    nothing = np.full(len(times), np.nan)

    def draw(figure: Figure) -> None:
        upper, lower = figure.subplots(2, 1, sharex=True)
        upper.set_xlim(*limits(record))
        _lines(upper, times, busy)
        upper.set(ylim=(0, 1.02), ylabel="CPU busy")
        upper.set_yticks([0, 0.5, 1])
        upper.yaxis.set_major_formatter(PercentFormatter(1.0, 0, "\N{NO-BREAK SPACE}%"))
        upper.axhline(THRESHOLDS.cpu_busy, color=light("bad"), linewidth=0.7, linestyle=(0, (2, 2)))
        _lines(lower, times, {name: rates / 1e6 for name, rates in sent.items()})
        lower.set(ylabel="sent (MB/s)", xlabel=SINCE)
        lower.set_ylim(bottom=0)
        mark_time(upper, record)
        mark_time(lower, record, named=False)
        # Each panel names the hosts that it draws: of many hosts, the highest one is another in each.
        for axes in (upper, lower) if len(busy) > _EACH else (upper,):
            axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), title="host" if len(busy) <= _EACH else None)

    return Chart(
        name="hosts",
        title="Use of the hosts over time",
        caption=caption,
        alt=f"CPU use and bytes sent of {len(used)} hosts over time; {busiest}.",
        columns=("host", "time_s", "cpu_busy", "sent_bytes_per_s"),
        rows=[
            (name, round(float(time), 3), round(float(share), 4), "" if np.isnan(rate) else round(float(rate), 1))
            for name, shares in busy.items()
            for time, share, rate in zip(times, shares, sent.get(name, nothing), strict=True)
        ],
        draw=draw,
        height=3.4,
        hover="x",
        origin=record.start,
    )


def _lines(axes: Axes, times: Array, by_host: Mapping[str, Array]) -> None:
    if len(by_host) <= _EACH:
        for index, (name, values) in enumerate(by_host.items()):
            axes.plot(times, values, label=name, **series_style(index))
        return
    stacked = np.stack(list(by_host.values()))
    highest = list(by_host)[int(np.argmax(stacked.mean(axis=1)))]
    outline = np.append(times, times[::-1]), np.append(stacked.min(axis=0), stacked.max(axis=0)[::-1])
    axes.fill(*outline, color=light("blue"), alpha=0.2, linewidth=0, label="range")
    axes.plot(times, np.median(stacked, axis=0), label="median", **series_style(0))
    axes.plot(times, by_host[highest], label=highest, **series_style(1))


def _increase(host: ScrapedTarget, axis: Array, metric: str, counts: Callable[[Mapping[str, str]], bool]) -> Array:
    """Return the increase of a counter in each interval of `axis`, over the series whose labels count."""
    return np.asarray(np.diff(np.interp(axis, host.times, increase_where(host, metric, counts))), dtype=np.float64)
