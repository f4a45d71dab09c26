"""Real SSH servers on loopback ports, with separate keys, that clean up after themselves."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmark.inventory import Host

USER = getpass.getuser()

# SHLVL keeps bash from reading the user's start-up files, which may take longer than everything else here.
_CONFIG = """\
Port {port}
ListenAddress {address}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 1000
MaxSessions 10
PrintMotd no
SetEnv SHLVL=5
LogLevel ERROR
"""


def make_key(path: Path, kind: str = "ed25519") -> str:
    """Write a key pair to `path` and `path`.pub; return the public half as `type base64`."""
    size = ["-b", "2048"] if kind == "rsa" else []  # larger ones take seconds
    subprocess.run(["ssh-keygen", "-q", "-t", kind, *size, "-N", "", "-C", "", "-f", str(path)], check=True)
    return path.with_name(path.name + ".pub").read_text(encoding="utf-8").strip()


def free_port() -> int:
    """Return a loopback port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Sshd:
    """One `sshd -D` and a client key that may log in to it; a context manager."""

    def __init__(
        self, kind: str = "ed25519", address: str = "127.0.0.1", namespace: str | None = None, config: str = ""
    ) -> None:
        """`config` is more configuration; `{folder}` in it is the server's folder."""
        self.address = address
        self._config = config
        self._prefix = ["ip", "netns", "exec", namespace] if namespace else []
        self.folder = Path(tempfile.mkdtemp(prefix="sshd-"))
        self.host_key = make_key(self.folder / "host_key", kind)
        self.user_key = self.folder / "user_key"
        make_key(self.user_key)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and wait until it answers; RuntimeError with its log if it does not."""
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        config = self.folder / "sshd_config"
        text = self._config + _CONFIG  # of equal settings the first counts
        config.write_text(text.format(port=self.port, folder=self.folder, address=self.address), encoding="utf-8")
        # A separate session, so that stopping ends this server with every connection that it forked.
        with (self.folder / "log").open("wb") as log:
            command = [*self._prefix, str(shutil.which("sshd") or "/usr/sbin/sshd"), "-D", "-e", "-f", str(config)]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log)
        deadline = time.monotonic() + 10
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                with socket.create_connection((self.address, self.port), timeout=1) as probe:
                    probe.recv(4)
                return
            except ConnectionRefusedError:
                self._process.poll()
        raise RuntimeError(f"sshd did not start: {(self.folder / 'log').read_text(encoding='utf-8')}")

    def freeze(self, number: signal.Signals = signal.SIGSTOP) -> None:
        """Suspend the server's processes, which resembles a vanished host."""
        for pid in self._pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def thaw(self) -> None:
        """Let suspended processes go on."""
        self.freeze(signal.SIGCONT)

    def stop(self) -> None:
        """End the server and every connection it serves."""
        if self._process is None:
            return
        for pid in reversed(self._pids()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def host(self, name: str = "host-0", host_key: str | None = None) -> Host:
        """Describe this server as a host of an inventory."""
        return Host(
            name=name,
            provider="machines",
            region="loopback",
            specs="sshd",
            address=self.address,
            ssh_port=self.port,
            host_key=host_key or self.host_key,
        )

    def _pids(self) -> list[int]:
        """The server and its sshd descendants, parents first."""
        found = [self._process.pid] if self._process else []
        parents: dict[int, list[int]] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                number, rest = stat.read_text(encoding="utf-8").split(" (sshd) ", 1)
                parents.setdefault(int(rest.split()[1]), []).append(int(number))
            except (OSError, ValueError):
                continue
        for pid in found:
            found.extend(parents.get(pid, []))
        return found

    @contextlib.contextmanager
    def cleaned(self) -> Iterator[Sshd]:
        """Stop the server, if it runs, and remove its files when the block is left."""
        try:
            yield self
        finally:
            try:
                self.stop()
            finally:
                shutil.rmtree(self.folder)

    def __enter__(self) -> Sshd:
        try:
            self.start()
        except BaseException:
            shutil.rmtree(self.folder)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with self.cleaned():
            pass
