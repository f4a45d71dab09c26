"""TUN interfaces, which connect hosts and the machine itself to the emulator.

Kernel documentation: networking/tuntap. A packet read from or written to the file descriptor is preceded by a
`struct virtio_net_hdr`, so that checksums stay open and TCP segments of up to 64 KB pass whole.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import subprocess
from pathlib import Path

from benchmark.errors import InfrastructureError

MTU = 1500
QUEUE_LENGTH = 4096
"""Packets that may wait for the emulator's next read; bursts of small packets exceed the default of 500."""
HOST_INTERFACE = "wan0"

DEVICE = Path("/dev/net/tun")
_TUNSETIFF, _TUNSETOFFLOAD = 0x400454CA, 0x400454D0
_IFF_TUN, _IFF_NO_PI, _IFF_VNET_HDR = 0x0001, 0x1000, 0x4000
_OFFLOADS = 0x01 | 0x02 | 0x04 | 0x08
"""Checksum, TCP over IPv4, TCP over IPv6, TCP with ECN (linux/if_tun.h)."""


def open_tun(pattern: str) -> tuple[int, str]:
    """Create a TUN interface in the machine's namespace; `%d` in `pattern` becomes the lowest free number.

    Returns its file descriptor, with which the interface ends, and its name. FileExistsError if the name is taken.
    """
    fd = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        request = struct.pack("16sH22x", pattern.encode(), _IFF_TUN | _IFF_NO_PI | _IFF_VNET_HDR)
        answer = fcntl.ioctl(fd, _TUNSETIFF, request)
        fcntl.ioctl(fd, _TUNSETOFFLOAD, _OFFLOADS)
    except OSError as error:
        os.close(fd)
        if error.errno == errno.EBUSY:
            raise FileExistsError(f"interface {pattern} exists") from None
        raise InfrastructureError(f"cannot create interface {pattern}: {error.strerror}") from None
    return fd, answer[:16].rstrip(b"\0").decode()


def configure_operator(name: str, address: str, prefix: int) -> None:
    """Set the machine's address (dotted) in the testbed's subnet of `prefix` bits."""
    _run(["ip", "-batch", "-"], _without_ipv6(name) + f"address add {address}/{prefix} dev {name}\n{_up(name)}")


def move_to_host(name: str, pid: int, address: str, prefix: int, gateway: str) -> None:
    """Move interface `name` into the network namespace of process `pid` as wan0; set its address and routes."""
    _run(["ip", "link", "set", "dev", name, "netns", str(pid), "name", HOST_INTERFACE])
    batch = f"link set lo up\naddress add {address}/{prefix} dev {HOST_INTERFACE}\n{_up(HOST_INTERFACE)}"
    batch = _without_ipv6(HOST_INTERFACE) + batch + f"route add default via {gateway} dev {HOST_INTERFACE}\n"
    _run(["nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-batch", "-"], batch)


def _up(name: str) -> str:
    return f"link set {name} mtu {MTU} txqueuelen {QUEUE_LENGTH} up\n"


def _without_ipv6(name: str) -> str:
    """Keep the kernel from assigning an IPv6 address: the emulated network is IPv4 only."""
    return f"link set {name} addrgenmode none\n"


def _run(command: list[str], text: str = "") -> None:
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=30, check=False)
    except FileNotFoundError:
        raise InfrastructureError(f"`{command[0]}` not found; install iproute2 and util-linux") from None
    except subprocess.TimeoutExpired:
        raise InfrastructureError(f"`{' '.join(command)}` did not finish within 30 s") from None
    if done.returncode:
        raise InfrastructureError(f"`{' '.join(command)}` failed: {done.stderr.strip()}")
