"""Start the emulator of one local testbed as a daemon; see the package's docstring.

It detaches once it can be reached at DIR/control, reads DIR/links.json at every `configure`, and writes
DIR/metrics/wan.prom once a second. A worker that dies is replaced at once and hosts stay attached. When the keeper
dies, whose process id is in DIR/emulator.pid, the interfaces vanish from all hosts.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import socket
import sys
from pathlib import Path
from typing import NoReturn

if not __package__:  # run by path: relative imports need a package, and importing `stacks` would need pulumi
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    __spec__ = None
    __package__ = Path(__file__).resolve().parent.name

from .control import Control, read_links
from .keeper import Journal, Keeper
from .links import Port
from .loop import Emulator
from .metrics import writer
from .packets import set_offload


def run_first() -> str:
    """Ask the scheduler to run this process before all others; return what was granted."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
        return "real-time priority 10"
    except OSError:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, -20)
        return f"no real-time priority, nice {os.getpriority(os.PRIO_PROCESS, 0)}"


def daemonize(log: Path) -> None:
    """Become a daemon whose standard output and error go to `log`; only the daemon returns."""
    if os.fork():
        os._exit(0)
    os.setsid()
    for target, flags, fds in ((os.devnull, os.O_RDONLY, (0,)), (log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, (1, 2))):
        opened = os.open(target, flags, 0o600)
        for fd in fds:
            os.dup2(opened, fd)
        os.close(opened)


def record_process(file: Path) -> None:
    """Write the id of this process and its start time, as an id alone may be reused."""
    started = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    file.write_text(f"{os.getpid()} {started}\n", encoding="utf-8")


def spare_from_oom(score: int) -> None:
    """Set how readily the kernel kills this process when memory runs out: -1000 is never, 0 the default."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(f"{score}\n", encoding="ascii")


def main() -> NoReturn:
    """Serve the testbed whose network files are in --directory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, required=True, help="folder of the testbed's network files")
    parser.add_argument("--workers", type=int, default=1, help="processes that share the hosts (default 1)")
    options = parser.parse_args()
    directory: Path = options.directory.resolve()
    workers: int = options.workers
    os.chdir(directory)  # relative names keep the socket's path within its 108 bytes
    Path("metrics").mkdir(exist_ok=True)
    Path("control").unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind("control")
    Path("control").chmod(0o600)
    listener.listen(64)
    listener.setblocking(False)
    daemonize(directory / "emulator.log")

    report = writer(directory / "metrics" / "wan.prom")

    def serve(index: int, ports: list[Port], journal: Journal) -> NoReturn:
        spare_from_oom(0)
        record_process(Path(f"worker{index or ''}.pid"))
        emulator = Emulator(set_offload, report, index, workers)
        if ports:
            emulator.configure(*read_links(directory))
        for port in ports:
            emulator.attach(port)
        emulator.journal = journal
        Control(emulator, directory, journal, None if index else listener)
        gc.disable()
        print(f"worker {index} serving {directory}: {run_first()}", file=sys.stderr, flush=True)
        emulator.run()

    spare_from_oom(-1000)
    record_process(Path("emulator.pid"))
    Keeper(serve, workers).run()
    sys.exit(f"giving up on {directory}: the emulator dies again and again")


if __name__ == "__main__":
    main()
