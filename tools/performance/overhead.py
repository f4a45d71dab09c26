"""Measure the overhead of a run: its time beyond system start-up, warm-up and measurement.

    python -m tools.performance.overhead [--stack S] [--committee N] [--repeat K]

Runs etcd K times on an existing testbed and prints the median overhead with the share of each phase. For comparison,
OpenSSH takes the same steps (check, upload files, start, stop, download logs), with a process for each host and step
and all hosts in parallel; it neither waits for readiness nor measures anything.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmark.cli.target import results_dir
from benchmark.inventory import Host, Inventory
from benchmark.remote.openssh import known_hosts_line, openssh_command
from benchmark.results.manifest import read_manifest
from benchmark.testbed import facts as probe
from benchmark.testbed.stack import begin_reading, project_directory

OUTSIDE = ("warm_up", "measure", "system_start", "overhead")
STEPS = (
    (probe.command("peer"), probe.script().encode()),
    ("mkdir -p peer/run && tar -xf - -C peer/run", None),
    ("cd peer/run && (setsid sleep 60 >log 2>&1 </dev/null & echo $! >pid)", b""),
    ("cd peer/run && kill -KILL -- -$(cat pid)", b""),
    ("cd peer/run && tar -cz log && cd && rm -rf peer", b""),
)


def one_run(stack: str | None, committee: int) -> dict[str, float]:
    """Run the benchmark once; return the seconds of each phase. Invalid runs count, too."""
    short = ("--loads", str(10 * committee), "--duration", "3s", "--warm-up", "3s")
    named = ("--stack", stack) if stack else ()
    command = [sys.executable, "-m", "benchmark", "run", *named, "--committee", str(committee), *short, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not done.stdout:
        sys.exit(done.stderr)
    (summary,) = json.loads(done.stdout)
    (folder,) = results_dir(stack).glob(f"*/{summary['run_id']}")
    return read_manifest(folder).timings_s


def openssh(hosts: Sequence[Host], user: str, key: Path, folder: Path) -> float:
    """Take the same steps with OpenSSH; return the seconds that takes."""
    known = folder / "known_hosts"
    known.write_text("".join(known_hosts_line(host) for host in hosts), encoding="utf-8")
    (folder / "config").write_bytes(bytes(8192))
    archive = subprocess.run(["tar", "-cf", "-", "-C", str(folder), "config"], capture_output=True, check=True).stdout
    begin = time.monotonic()
    for command, data in STEPS:
        processes = [
            subprocess.Popen(
                openssh_command(host, user, key, known, [command]), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
            )
            for host in hosts
        ]
        for process in processes:
            process.communicate(archive if data is None else data)
            if process.returncode:
                sys.exit(f"OpenSSH failed: {command}")
    return time.monotonic() - begin


def peer(inventory: Inventory, private_key: str | None, committee: int) -> float:
    """Run OpenSSH on as many hosts as the run uses, including the monitoring host."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        key = Path(inventory.ssh.private_key_file or folder / "key")
        if private_key:
            key.touch(mode=0o600)
            key.write_text(private_key, encoding="utf-8")
        return openssh(inventory.instances[:committee], inventory.ssh.user, key, folder)


def main() -> None:
    """Run both and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--stack")
    parser.add_argument("--committee", type=int, default=5)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    found = begin_reading(project_directory(), options.stack)()
    one_run(options.stack, options.committee)  # installs missing packages
    runs = [one_run(options.stack, options.committee) for _ in range(options.repeat)]
    ssh = statistics.median(peer(found.inventory, found.private_key, options.committee) for _ in range(options.repeat))
    overhead = statistics.median(run["overhead"] for run in runs)
    print(
        f"{options.committee} nodes on a testbed of {len(found.inventory.hosts)} hosts, {options.repeat} runs, medians"
    )
    for phase in runs[0]:
        if phase not in OUTSIDE:
            seconds = statistics.median(run[phase] for run in runs)
            own = statistics.median(run["system_start"] for run in runs) if phase == "start_nodes" else 0.0
            print(f"  {phase:<16}{seconds - own:8.2f} s{(seconds - own) / overhead:8.0%}")
    print(f"  {'overhead':<16}{overhead:8.2f} s")
    print(f"  {'plain OpenSSH':<16}{ssh:8.2f} s; ratio {overhead / ssh:.2f}")
    start_up = statistics.median(run["system_start"] for run in runs)
    print(f"  {'system start-up':<16}{start_up:8.2f} s, not in the overhead")


if __name__ == "__main__":
    main()
