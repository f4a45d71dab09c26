"""Packets as a TUN interface with IFF_VNET_HDR hands them over: a `struct virtio_net_hdr`, then the IPv4 packet."""

from __future__ import annotations

import fcntl

HEADER = 10
"""Bytes of `struct virtio_net_hdr` (kernel documentation: networking/tuntap)."""
SOURCE = slice(HEADER + 12, HEADER + 16)
DESTINATION = slice(HEADER + 16, HEADER + 20)
LARGEST = HEADER + 65535

_TUNSETOFFLOAD = 0x400454D0
_CHECKSUM, _SEGMENTS = 0x01, 0x02 | 0x04 | 0x08


def set_offload(fd: int, segments: bool) -> None:
    """Make a TUN deliver TCP segments of up to 64 KB, or only packets that fit its MTU."""
    fcntl.ioctl(fd, _TUNSETOFFLOAD, _CHECKSUM | (_SEGMENTS if segments else 0))


def is_benchmark(address: bytes) -> bool:
    """Whether an address belongs to some testbed: 198.18.0.0/15 (RFC 2544)."""
    return address[:1] == b"\xc6" and address[1:2] in (b"\x12", b"\x13")


def is_internet(address: bytes) -> bool:
    """Whether an address is neither a testbed's nor multicast."""
    return len(address) == 4 and address[0] < 224 and not is_benchmark(address)
