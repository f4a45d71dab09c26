"""Compare the measured latency of an etcd run with the prediction from network round trips.

Prints what the report shows. Exits with 1 if the measured mean is more than 10 % off.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

from benchmark.results.manifest import read_manifest
from benchmark.results.predicted_latency import over_all, predict_by_region
from benchmark.results.run_folder import read_summary
from tools.accuracy.stored_run import with_run

TOLERANCE = 0.10


def main(folder: Path) -> int:
    """Print predicted and measured means; return the exit code."""
    summary = read_summary(folder)
    found = predict_by_region(read_manifest(folder), summary) if summary else {}
    if summary is None or not found:
        print(f"{folder}: leader or round trips unknown, or no majority commits; nothing to predict", file=sys.stderr)
        return 2
    total = over_all(found, summary)
    print(f"leader {summary.leader}, {summary.nodes} nodes, {summary.requested_tps:g} tx/s")
    print(f"{'clients in':<20}{'to leader ms':>14}{'quorum ms':>12}{'predicted ms':>14}{'measured ms':>14}{'ratio':>8}")
    for region, each in {**found, "all": total}.items():
        measured = math.nan if each.measured_s is None else each.measured_s
        times = f"{each.propagation_s * 1000:>14.1f}{each.quorum_s * 1000:>12.1f}{each.predicted_s * 1000:>14.1f}"
        ratio = measured / each.predicted_s if each.predicted_s else math.nan
        print(f"{region:<20}{times}{measured * 1000:>14.1f}{ratio:>8.3f}")
    if total.measured_s is None:
        print(f"{folder}: nothing was measured to compare with", file=sys.stderr)
        return 2
    return 0 if abs(total.measured_s - total.predicted_s) <= TOLERANCE * total.predicted_s else 1


if __name__ == "__main__":
    sys.exit(with_run(main, __doc__))
