"""Run what needs root, with sudo if this process belongs to another user.

Each process of Pulumi starts one helper with sudo, whose standard input and output carry requests and results. It
ends with its input. sudo must not ask for a password: Pulumi's processes are in the background of the terminal. The
helper is code of the checkout and its Python environment, so it is not started if another user could have changed it.
"""

from __future__ import annotations

import contextlib
import functools
import grp
import inspect
import os
import pwd
import shutil
import stat
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import import_module
from itertools import count
from multiprocessing.connection import Connection
from operator import attrgetter
from pathlib import Path
from typing import ParamSpec, TypeVar

from benchmark.errors import InfrastructureError, TestbedError

P = ParamSpec("P")
T = TypeVar("T")
CHECKOUT = Path(__file__).resolve().parents[2]
_MOST_REQUESTS = 128
_lock = threading.Lock()


def as_root(function: Callable[P, T]) -> Callable[P, T]:
    """Let `function`, of a module or a class, run as root whoever calls it; arguments and result are pickled.

    InfrastructureError if sudo is missing or asks for a password, and for any error in the helper.
    """

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        if os.geteuid() == 0:
            return function(*args, **kwargs)
        with _lock:
            helper = _start()
        result: T = helper.call((function.__module__, function.__qualname__, args, kwargs)).result()  # type: ignore[assignment]
        return result

    return wrapped


@functools.cache
def _start() -> _Helper:
    if shutil.which("sudo") is None:
        raise InfrastructureError(
            "local hosts need root, and sudo is not installed; as root (`su`), run `. ./env.sh` and this command "
            "again, or choose another cloud_provider"
        )
    tried = subprocess.run(["sudo", "-n", "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        reason = tried.stderr.strip().removeprefix("sudo: ")
        raise InfrastructureError(
            f"local hosts need root, and sudo reports: {reason}; run `sudo -v`, then this command again"
        )
    own = [path for name in ("stacks", "benchmark") for path in (CHECKOUT / name).rglob("*")]
    imported = [entry for path in map(Path, sys.path) if path.is_dir() for entry in path.iterdir()]
    require_own_code([*own, *imported, CHECKOUT, Path(sys.executable), Path(sys.executable).resolve()])
    return _Helper()


def require_own_code(paths: Iterable[Path]) -> None:
    """Check that only this user and root can change files and folders, or replace them in the folders above.

    Raises InfrastructureError. The user's private group, as Debian gives one to each user, counts as the user.
    """
    user, group = os.getuid(), _private_group()
    for path in sorted({above for given in paths for above in (given, *given.parents)}):
        try:
            found = path.stat()
        except FileNotFoundError:  # a link to nothing
            continue
        shared = found.st_mode & stat.S_IWOTH or (found.st_mode & stat.S_IWGRP and found.st_gid not in (0, group))
        if found.st_uid not in (0, user) or (shared and not found.st_mode & stat.S_ISVTX):
            raise InfrastructureError(
                f"local hosts need root, and other users can change {path}, which would run as root; make it yours "
                f"alone (`chmod go-w {path}`), or use a checkout in your home folder"
            )


def _private_group() -> int | None:
    try:
        user = pwd.getpwuid(os.getuid())
        group = grp.getgrgid(user.pw_gid)
    except KeyError:
        return None
    return group.gr_gid if group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name} else None


class _Helper:
    """A process of root that serves the calls of this one."""

    def __init__(self) -> None:
        variables = [f"PYTHONPATH={CHECKOUT}", "PYTHONDONTWRITEBYTECODE=1"]  # no files of root in the checkout
        if folder := os.environ.get("GEOBENCH_STATE_DIR"):
            variables.append(f"GEOBENCH_STATE_DIR={folder}")
        command = ["sudo", "-n", "--", "/usr/bin/env", *variables, sys.executable, "-P", "-m", "stacks.local.root"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin
        assert self._process.stdout
        self._requests = Connection(os.dup(self._process.stdin.fileno()), readable=False)
        self._results = Connection(os.dup(self._process.stdout.fileno()), writable=False)
        self._process.stdin.close()
        self._process.stdout.close()
        self._numbers = count()
        self._waiting: dict[int, Future[object]] = {}
        self._ended = False
        self._lock = threading.Lock()
        threading.Thread(target=self._receive, daemon=True).start()

    def call(self, request: tuple[str, str, tuple[object, ...], dict[str, object]]) -> Future[object]:
        """Send a request: module, name in it, and arguments."""
        future: Future[object] = Future()
        with self._lock:
            number = next(self._numbers)
            self._waiting[number] = future
            try:
                self._requests.send((number, *request))
            except OSError:
                self._ended = True
            if self._ended:
                self._fail()
        return future

    def end(self) -> None:
        """End the helper: it has no more input."""
        with contextlib.suppress(OSError):
            self._requests.close()
        self._process.wait()

    def _receive(self) -> None:
        while True:
            try:
                number, failed, result = self._results.recv()
            except (EOFError, OSError):
                with self._lock:
                    self._ended = True
                    self._fail()
                return
            with self._lock:
                future = self._waiting.pop(number)
            if failed:
                future.set_exception(InfrastructureError(result))
            else:
                future.set_result(result)

    def _fail(self) -> None:
        for future in self._waiting.values():
            future.set_exception(
                InfrastructureError("the helper that runs as root has ended; see above for its errors")
            )
        self._waiting.clear()


def serve() -> None:
    """Serve requests from standard input until it ends."""
    requests, results = Connection(os.dup(0), writable=False), Connection(os.dup(1), readable=False)
    sys.stdout = sys.stderr  # what is printed here is no result
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    lock = threading.Lock()

    def run(number: int, module: str, name: str, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        try:
            function = inspect.unwrap(attrgetter(name)(import_module(module)))
            failed, result = False, function(*args, **kwargs)
        except (TestbedError, OSError) as error:
            failed, result = True, str(error)
        except Exception:
            failed, result = True, traceback.format_exc()
        with lock:
            results.send((number, failed, result))

    with ThreadPoolExecutor(_MOST_REQUESTS) as pool:
        while True:
            try:
                request = requests.recv()
            except EOFError:
                return
            pool.submit(run, *request)


if __name__ == "__main__":
    serve()
