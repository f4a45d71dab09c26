"""The emulated wide area network of one local testbed: its subnet, its emulator, and the hosts attached to it.

    WideAreaNetwork(id).start(links) -> claim_address(host) -> attach(host, region, address, pid) -> … -> stop()

All of its state is in files below <state folder>/<testbed_id>/network/, so any process can continue another's work.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.errors import InfrastructureError
from stacks.local.owner import Owner, claim
from stacks.local.process import find_process, kill_process
from stacks.local.wan import addresses, gateway, interfaces
from stacks.local.wan.emulator.links import FORMAT
from stacks.local.wan.links import Links
from stacks.local.wan.trace import write_trace

if TYPE_CHECKING:
    from stacks.local.wan.emulator.control import Reply

EMULATOR = Path(__file__).with_name("emulator") / "__main__.py"
"""Run by path: the emulator needs no package beside its own."""
WORKERS = max(1, min(8, (os.cpu_count() or 1) // 2))
"""Processes of an emulator, each with a share of the hosts; the other half of the processors is left to the hosts."""
ANSWER_S = 20.0
"""Longest wait for the emulator's answer, which takes milliseconds."""


class WideAreaNetwork:
    """The network of the local testbed `testbed_id`; objects hold no state, so several may be used at once.

    InfrastructureError for an id that could lead out of the folder of testbeds.
    """

    def __init__(self, testbed_id: str) -> None:
        addresses.check_testbed_id(testbed_id)
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
        """The machine's own address in the subnet, which is also the hosts' default gateway."""
        return str(addresses.SUBNETS[self._index()][1])

    def start(self, links: Links, owner: Owner | None = None) -> None:
        """Start the network with `links`, or apply these links to the running one; hosts stay attached.

        InfrastructureError if all subnets are in use, or if the testbed belongs to somebody else than `owner`.
        """
        with addresses.machine_lock():
            existing = self.directory.exists()
            try:
                if owner is not None:
                    claim(self.testbed_id, owner)
                if running := self.running():
                    self._check_format()
                (self.directory / "metrics").mkdir(parents=True, exist_ok=True)
                if links.trace:
                    write_trace(links.trace, links.regions, self.directory / "trace")
                addresses.write_atomically(self.directory / "links.json", links.to_json())
                if not running:
                    self._kill()
                    # A helper of root writes no bytecode into a user's checkout, and -I hides that from Python.
                    flags = ["-I", "-S", *(["-B"] if sys.dont_write_bytecode else [])]
                    options = ["--directory", str(self.directory), "--workers", str(WORKERS)]
                    command = [sys.executable, *flags, str(EMULATOR), *options]
                    done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_S, check=False)
                    if done.returncode:
                        raise InfrastructureError(f"the network emulator did not start: {done.stderr.strip()}")
                    self._request("status")  # answered once it serves, when its process id is written
                if not self._request("configure")["operator"]:
                    self._attach_operator()
                if links.internet:
                    gateway.open_gateway(self._index(), self.subnet, addresses.RUNTIME)
                else:
                    gateway.close_gateway(self._index())
            except BaseException:
                if not existing:
                    self._remove()
                raise

    def stop(self) -> None:
        """Remove process, interfaces, rules and files of the network, if any."""
        with addresses.machine_lock():
            self._remove()

    def running(self) -> bool:
        """Whether the emulator runs."""
        return self.identity() is not None

    def identity(self) -> str | None:
        """Return the emulator's process id and start time, unique until the machine reboots; None if it has ended."""
        process = find_process(self.directory / "emulator.pid")
        return f"{process.pid} {process.started}" if process else None

    def claim_subnet(self, index: int) -> None:
        """Record subnet number `index` as the testbed's; addresses claimed in another one are released."""
        file = self.directory / "subnet"
        if not file.exists() or file.read_text(encoding="ascii") != f"{index}":
            (self.directory / "addresses.json").unlink(missing_ok=True)
            addresses.write_atomically(file, f"{index}")

    def claim_address(self, host: str) -> str:
        """Return the host's address, the lowest free one if it has none; kept until `release_address` or `stop`."""
        with self._addresses() as claims:
            if host not in claims:
                claims[host] = addresses.lowest_free(self._index(), set(claims.values()))
            return claims[host]

    def release_address(self, host: str) -> None:
        """Release the host's address, if it has one."""
        if self.directory.exists():
            with self._addresses() as claims:
                claims.pop(host, None)

    def attach(self, host: str, region: str, address: str, pid: int) -> None:
        """Connect the network namespace of process `pid` as wan0 with `address`, replacing a host of that name.

        InfrastructureError if the network does not run or has no links for `region`.
        """
        subnet = addresses.SUBNETS[self._index()]
        self._request("detach", host=host)
        fd, name = interfaces.open_tun("gbwan%d")
        try:
            interfaces.move_to_host(name, pid, address, subnet.prefixlen, self.operator_address)
            self._request("attach", fd, host=host, region=region, address=address)
        finally:
            os.close(fd)  # the emulator has its own; if it has not, the interface ends

    def detach(self, host: str) -> None:
        """Take the host off the network, if attached, and discard the packets on their way to it."""
        if self.running():
            self._request("detach", host=host)

    def hosts(self) -> dict[str, str]:
        """Return the attached hosts and their addresses, without hosts whose namespace has ended."""
        return self._request("status")["hosts"]

    def _check_format(self) -> None:
        """Raise InfrastructureError if the running emulator cannot apply today's links."""
        if self._request("status").get("format") != FORMAT:
            raise InfrastructureError(
                f"the network emulator of testbed {self.testbed_id} is that of another release; run `pulumi destroy` "
                "and `pulumi up`"
            )

    def _kill(self) -> None:
        """Kill the keeper and its workers, with which all interfaces end."""
        for file in (self.directory / "emulator.pid", *self.directory.glob("worker*.pid")):
            kill_process(file, ANSWER_S)

    def _remove(self) -> None:
        self._kill()
        with contextlib.suppress(InfrastructureError):
            gateway.close_gateway(self._index())
        shutil.rmtree(self.directory, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.directory.parent.rmdir()  # files of hosts may still be there
        gateway.restore_forwarding(addresses.RUNTIME)

    def _index(self) -> int:
        try:
            return int((self.directory / "subnet").read_text(encoding="ascii"))
        except (OSError, ValueError):
            raise InfrastructureError(
                f"testbed {self.testbed_id} has no network on this machine ({self.directory} is missing); "
                "`pulumi up` creates it"
            ) from None

    @contextlib.contextmanager
    def _addresses(self) -> Iterator[dict[str, str]]:
        """Read the claims, and write them back unless the block fails; hosts are started in parallel."""
        file = self.directory / "addresses.json"
        try:
            lock = (self.directory / "addresses.lock").open("w", encoding="ascii")
        except OSError as error:
            raise InfrastructureError(
                f"testbed {self.testbed_id} has no network: {error.strerror}; `pulumi up` creates it"
            ) from None
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            claims = addresses.read_addresses(file)
            yield claims
            addresses.write_atomically(file, json.dumps(claims, sort_keys=True))

    def _attach_operator(self) -> None:
        """Claim a subnet and attach the machine at its first address; the interface's name decides a race."""
        for index in addresses.free_subnets(self._state, self.testbed_id):
            try:
                fd, name = interfaces.open_tun(gateway.interface_name(index))
            except FileExistsError:  # a testbed with another state folder
                continue
            try:
                self.claim_subnet(index)
                interfaces.configure_operator(name, self.operator_address, addresses.SUBNETS[index].prefixlen)
                self._request("attach", fd, host="", region=None, address=self.operator_address)
            finally:
                os.close(fd)
            return
        raise InfrastructureError("all interfaces geobench0 to geobench31 are in use; destroy a testbed first")

    def _request(self, command: str, fd: int | None = None, **fields: str | None) -> Reply:
        """Send a request to the emulator; InfrastructureError if it is rejected or not answered."""
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
                answer: Reply = json.loads(connection.recv(1 << 20) or b'{"error": "it closed the connection"}')
        except OSError as error:
            raise InfrastructureError(
                f"the network emulator of testbed {self.testbed_id} does not answer ({error}); "
                f"see {self.directory / 'emulator.log'}; `pulumi up --refresh` starts a new one"
            ) from None
        if "error" in answer:
            raise InfrastructureError(f"the network emulator rejected {command}: {answer['error']}")
        return answer
