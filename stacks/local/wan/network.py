"""The emulated wide area network of one local testbed: its subnet, its emulator, and the hosts attached to it.

    WideAreaNetwork(id).start(links) -> claim_address(host) -> attach(host, region, address, pid) -> … -> stop()

Everything it keeps lies in <state folder>/<testbed_id>/network/, so any process can go on where another left off.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmark.errors import InfrastructureError
from stacks.local.wan import addresses, gateway, interfaces
from stacks.local.wan.round_trips import Links

EMULATOR = Path(__file__).with_name("emulator") / "__main__.py"
ANSWER_S = 20.0
"""Longest wait for the emulator's answer; it takes milliseconds."""


class WideAreaNetwork:
    """The network of the local testbed `testbed_id`; objects hold no state, so several may be used at once."""

    def __init__(self, testbed_id: str) -> None:
        self.testbed_id = testbed_id
        self._state = addresses.state_folder()

    @property
    def directory(self) -> Path:
        """Folder of the network's files; `metrics/wan.prom` in it is for node exporter's textfile collector."""
        return self._state / self.testbed_id / "network"

    @property
    def subnet(self) -> str:
        """The testbed's subnet such as `198.18.16.0/20`; InfrastructureError before `start`."""
        return str(addresses.SUBNETS[self._index()])

    @property
    def operator_address(self) -> str:
        """The machine's own address in the subnet, which is the hosts' default gateway too."""
        return str(addresses.SUBNETS[self._index()][1])

    def start(self, links: Links) -> None:
        """Start the network with `links`, or give the running one these links; hosts stay attached.

        InfrastructureError where the machine has no subnet left.
        """
        with addresses.machine_lock():
            known = self.directory.exists()
            try:
                self._start(links)
            except BaseException:
                if not known:
                    self._remove()
                raise

    def stop(self) -> None:
        """Remove process, interfaces, rules and files; nothing happens if there is nothing."""
        with addresses.machine_lock():
            self._remove()

    def running(self) -> bool:
        """Whether the emulator lives."""
        return self.identity() is not None

    def identity(self) -> str | None:
        """Name the running emulator: process id and start time, never the same twice until reboot; None if it died."""
        try:
            text = (self.directory / "emulator.pid").read_text(encoding="ascii").strip()
            state, *fields = Path(f"/proc/{int(text.split()[0])}/stat").read_text().rpartition(")")[2].split()
        except (OSError, ValueError, IndexError):
            return None
        alive = state != "Z" and text.split()[1:] == [fields[18]]
        return text if alive else None

    def claim_address(self, host: str) -> str:
        """Return the host's address, the lowest free one if it has none; kept until `release_address` or `stop`."""
        with self._addresses() as claims:
            if host not in claims:
                claims[host] = addresses.lowest_free(self._index(), set(claims.values()))
            return claims[host]

    def release_address(self, host: str) -> None:
        """Give the host's address back; nothing happens if it has none."""
        if self.directory.exists():
            with self._addresses() as claims:
                claims.pop(host, None)

    def attach(self, host: str, region: str, address: str, pid: int) -> None:
        """Join the network namespace of process `pid` as wan0 with `address`; one of that name is replaced.

        InfrastructureError if the network does not run or has no links for `region`.
        """
        subnet = addresses.SUBNETS[self._index()]
        self._request("detach", host=host)
        fd, name = interfaces.open_tun("gbwan%d")
        try:
            interfaces.move_to_host(name, pid, address, subnet.prefixlen, self.operator_address)
            self._request("attach", fd, host=host, region=region, address=address)
        finally:
            os.close(fd)  # the emulator has its own; without that the interface goes

    def detach(self, host: str) -> None:
        """Take the host off the network, and what is on its way to it; nothing happens if it is not attached."""
        if self.running():
            self._request("detach", host=host)

    def hosts(self) -> dict[str, str]:
        """Return the attached hosts and their addresses; a host whose namespace has ended is not among them."""
        hosts: dict[str, str] = self._request("status")["hosts"]
        return hosts

    def _start(self, links: Links) -> None:
        (self.directory / "metrics").mkdir(parents=True, exist_ok=True)
        addresses.write_whole(self.directory / "links.json", links.to_json())
        if not self.running():
            self._start_emulator()
        if not self._request("configure")["operator"]:
            self._attach_operator()
        if links.internet:
            gateway.open_gateway(self._index(), self.subnet, addresses.RUNTIME)
        else:
            gateway.close_gateway(self._index())

    def _remove(self) -> None:
        self._kill()
        with contextlib.suppress(InfrastructureError):
            gateway.close_gateway(self._index())
        shutil.rmtree(self.directory, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.directory.parent.rmdir()  # hosts' files may still be there
        gateway.restore_forwarding(addresses.RUNTIME)

    def _index(self) -> int:
        try:
            return int((self.directory / "subnet").read_text(encoding="ascii"))
        except (OSError, ValueError):
            raise InfrastructureError(
                f"testbed {self.testbed_id} has no network on this machine (looked in {self.directory}); "
                "`pulumi up` creates it"
            ) from None

    @contextlib.contextmanager
    def _addresses(self) -> Iterator[dict[str, str]]:
        """Read the claims, and write them back if the block ends well; hosts are started in parallel."""
        file = self.directory / "addresses.json"
        try:
            lock = (self.directory / "addresses.lock").open("w", encoding="ascii")
        except OSError as error:
            raise InfrastructureError(f"testbed {self.testbed_id} has no network: {error.strerror}") from None
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            claims = addresses.read_addresses(file)
            yield claims
            addresses.write_whole(file, json.dumps(claims, sort_keys=True))

    def _start_emulator(self) -> None:
        command = [sys.executable, "-I", "-S", str(EMULATOR), "--directory", str(self.directory)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_S, check=False)
        if done.returncode:
            raise InfrastructureError(f"the network emulator did not start: {done.stderr.strip()}")
        self._request("status")  # answered once it serves, and its process id is written by then

    def _attach_operator(self) -> None:
        """Claim a subnet and give the machine its first address; the interface's name decides who was first."""
        for index in addresses.free_subnets(self._state, self.testbed_id):
            try:
                fd, name = interfaces.open_tun(gateway.interface_name(index))
            except FileExistsError:  # a testbed with another state folder
                continue
            try:
                self._claim(index)
                interfaces.configure_operator(name, self.operator_address, addresses.SUBNETS[index].prefixlen)
                self._request("attach", fd, host="", region=None, address=self.operator_address)
            finally:
                os.close(fd)
            return
        raise InfrastructureError("all interfaces geobench0 to geobench31 are taken; destroy a testbed first")

    def _claim(self, index: int) -> None:
        file = self.directory / "subnet"
        if not file.exists() or file.read_text(encoding="ascii") != f"{index}":
            (self.directory / "addresses.json").unlink(missing_ok=True)
            addresses.write_whole(file, f"{index}")

    def _kill(self) -> None:
        """End the emulator and wait until it has ended; its interfaces end with it."""
        identity = self.identity()
        if identity is None:
            return
        pid = int(identity.split()[0])
        with contextlib.suppress(ProcessLookupError):
            ended = os.pidfd_open(pid)
            try:
                signal.pidfd_send_signal(ended, signal.SIGKILL)
                select.select([ended], [], [], ANSWER_S)
            finally:
                os.close(ended)

    def _request(self, command: str, fd: int | None = None, **fields: str | None) -> dict[str, Any]:
        """Ask the emulator; InfrastructureError with its reason if it refuses or does not answer."""
        try:
            folder = os.open(self.directory, os.O_PATH | os.O_DIRECTORY)
            with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)) as connection:
                try:
                    connection.settimeout(ANSWER_S)
                    connection.connect(f"/proc/self/fd/{folder}/control")  # the path itself may exceed 108 bytes
                finally:
                    os.close(folder)
                message = json.dumps({"command": command, **fields}).encode()
                socket.send_fds(connection, [message], [] if fd is None else [fd])
                answer: dict[str, Any] = json.loads(
                    connection.recv(1 << 20) or b'{"error": "it closed the connection"}'
                )
        except OSError as error:
            raise InfrastructureError(
                f"the network emulator of testbed {self.testbed_id} does not answer ({error}); "
                f"see {self.directory / 'emulator.log'}; `pulumi up --refresh` starts a new one"
            ) from None
        if "error" in answer:
            raise InfrastructureError(f"the network emulator refused to {command}: {answer['error']}")
        return answer
