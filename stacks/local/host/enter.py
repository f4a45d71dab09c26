"""Enter the root file system of a local host for good: `python3 -I -S enter.py DISK`, in the folder with its mounts.

From here on every program comes from the host's own files, which whoever logged in before may have changed. So all that
needs a capability that the host must not have is done by this process, which was loaded from the machine's files.
https://man7.org/linux/man-pages/man7/capabilities.7.html
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from typing import NoReturn

KEPT = {
    "chown": 0, "dac_override": 1, "fowner": 3, "fsetid": 4, "kill": 5, "setgid": 6, "setuid": 7, "setpcap": 8,
    "net_bind_service": 10, "net_broadcast": 11, "net_admin": 12, "net_raw": 13, "ipc_lock": 14, "ipc_owner": 15,
    "sys_chroot": 18, "sys_ptrace": 19, "sys_nice": 23, "sys_resource": 24, "audit_write": 29, "setfcap": 31,
    "perfmon": 38,
}  # fmt: skip
"""Capabilities of a host's root. Without sys_admin its mounts are locked: /proc/sys stays read-only."""
START = """
ulimit -n "$(ulimit -H -n)"
ip link set lo up
nft --file /etc/nftables.conf
. /etc/geobench/services
exec /usr/sbin/sshd -D -e -f /etc/ssh/sshd_config
"""
"""Processes that services leave behind become children of sshd, which reaps every child."""

_MNT_DETACH, _MS_BIND, _PR_CAPBSET_DROP, _LAST = 2, 4096, 24, 63


def main() -> NoReturn:
    """Make the folder `root` the root, drop all capabilities but those KEPT, and start the host's services.

    What is mounted at `disk` is mounted at the path DISK of the new root, unless that is empty.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    mounted = os.open("disk", os.O_PATH)
    os.chdir("root")
    if os.spawnlp(os.P_WAIT, "pivot_root", "pivot_root", ".", "."):
        sys.exit("pivot_root failed")
    if folder := sys.argv[1]:
        os.makedirs(folder, exist_ok=True)  # noqa: PTH103  # importing pathlib takes a third of this process' time
        if libc.mount(b"/proc/self/fd/%d" % mounted, os.fsencode(folder), None, _MS_BIND, None):
            sys.exit(f"the disk could not be mounted at {folder}: {os.strerror(ctypes.get_errno())}")
        with contextlib.suppress(OSError):  # only a new disk has it
            os.rmdir(f"{folder}/lost+found")  # noqa: PTH106
    os.close(mounted)
    if libc.umount2(b".", _MNT_DETACH):
        sys.exit(f"the machine's files could not be unmounted: {os.strerror(ctypes.get_errno())}")
    os.chdir("/")
    for capability in set(range(_LAST + 1)) - set(KEPT.values()):
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)  # fails for those that this kernel does not know
    os.execv("/bin/sh", ["sh", "-euc", START])


if __name__ == "__main__":
    main()
