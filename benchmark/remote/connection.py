"""One SSH connection: opened by Fabric, with the host key of the inventory and nobody else's settings."""

from __future__ import annotations

import contextlib
import io
import logging
import socket
import time
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from fabric import Config, Connection
from paramiko import (
    AuthenticationException,
    ECDSAKey,
    Ed25519Key,
    MissingHostKeyPolicy,
    PKey,
    RSAKey,
    SSHClient,
    SSHException,
    Transport,
)
from paramiko.ssh_exception import IncompatiblePeer, NoValidConnectionsError

from benchmark.errors import UsageError
from benchmark.inventory import Host

# Without a handler of its own, paramiko prints trace backs of failed connections through logging's last resort.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

# A vanished host is noticed after about 15 s: by probes if nothing is sent, by missing acknowledgements otherwise.
_KEEPALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 2, "TCP_USER_TIMEOUT": 15_000}

_ALGORITHMS = {
    "ssh-ed25519": ("ssh-ed25519",),
    "ecdsa-sha2-nistp256": ("ecdsa-sha2-nistp256",),
    "ecdsa-sha2-nistp384": ("ecdsa-sha2-nistp384",),
    "ecdsa-sha2-nistp521": ("ecdsa-sha2-nistp521",),
    "ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256"),
}


class ConnectError(Exception):
    """A connection could not be opened; `temporary` tells whether trying again may help."""

    def __init__(self, reason: str, *, temporary: bool) -> None:
        self.temporary = temporary
        super().__init__(reason)


def load_key(key: Path | str) -> PKey:
    """Read a private key from a file, or from its text; UsageError if it is none or is locked."""
    source = f"the private key {key}" if isinstance(key, Path) else "the private key of the stack"
    try:
        text = key.expanduser().read_text(encoding="utf-8") if isinstance(key, Path) else key
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {source}: {error}; ssh_private_key_file names it") from None
    try:
        return _read_key(text.encode())
    except TypeError:
        raise UsageError(
            f"{source} is locked with a passphrase; give a key without one, or leave ssh_private_key_file out "
            "and the testbed makes a key of its own"
        ) from None
    except (ValueError, UnsupportedAlgorithm, SSHException):
        raise UsageError(
            f"{source} is not an ed25519, ECDSA or RSA private key; `ssh-keygen -t ed25519` makes one"
        ) from None


def _read_key(data: bytes) -> PKey:
    """Read a key in OpenSSH's format or PEM.

    Not with paramiko's own reader: it misreads some keys that have no comment, such as programs write.
    """
    try:
        key = serialization.load_ssh_private_key(data, None)
    except ValueError:
        key = serialization.load_pem_private_key(data, None)  # type: ignore[assignment]
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return ECDSAKey(vals=(key, key.public_key()))
    if isinstance(key, rsa.RSAPrivateKey):
        return RSAKey(key=key)
    plain = serialization.NoEncryption()
    text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, plain).decode()
    return Ed25519Key.from_private_key(io.StringIO(text))


def connect(host: Host, user: str, key: PKey, timeout: float) -> Connection:
    """Open a connection to `host`; each step may take `timeout` (s); ConnectError with the reason otherwise."""
    where = f"{host.address}:{host.ssh_port}"
    if not host.address:
        # `pulumi up -c` is remembered: after `-c state=stopped` another `pulumi up` alone starts nothing.
        remedy = "`pulumi up -c state=running` starts it" if host.state == "stopped" else "`pulumi up` looks after it"
        raise ConnectError(f"has no address, it is {host.state}; {remedy}", temporary=False)
    pinned = _PinnedHostKey(host)
    connection = _prepare(host, user, key, timeout, pinned)
    began = time.monotonic()
    try:
        connection.open()
    except ConnectError as error:
        raise ConnectError(f"{where}: {error}", temporary=error.temporary) from None
    except IncompatiblePeer as error:
        raise ConnectError(f"{where}: {error}; {pinned.advice}", temporary=False) from None
    except AuthenticationException as error:
        if _still_there(connection) and time.monotonic() - began < timeout:
            raise ConnectError(f"{where}: {_refused(host, user, key)}", temporary=False) from None
        raise ConnectError(f"{where}: {_banner(connection) or error}", temporary=True) from None
    except (OSError, EOFError, SSHException) as error:
        late = time.monotonic() - began >= timeout
        reason = f"no answer within {timeout:g} s" if late else _reason(error)
        raise ConnectError(f"{where}: {reason}", temporary=not isinstance(error, socket.gaierror)) from None
    finally:
        if not connection.is_connected:
            connection.client.close()
    return connection


def _prepare(host: Host, user: str, key: PKey, timeout: float, pinned: _PinnedHostKey) -> Connection:
    connection = Connection(
        host.address,
        user=user,
        port=host.ssh_port,
        # One of its own: a Config fills itself when it is read, so threads must not share it. Lazy, it reads no
        # ~/.fabric.yaml and no ~/.ssh/config.
        config=Config(lazy=True),
        connect_timeout=timeout,
        connect_kwargs={
            "pkey": key,
            "allow_agent": False,
            "look_for_keys": False,
            "banner_timeout": timeout,
            "auth_timeout": timeout,
            "channel_timeout": timeout,
            "transport_factory": pinned.transport,
        },
    )
    connection.client.set_missing_host_key_policy(pinned)
    return connection


def disconnect(connection: Connection) -> None:
    """Close a connection at once."""
    with contextlib.suppress(OSError):
        connection.transport.sock.shutdown(socket.SHUT_RDWR)  # wakes paramiko's thread, which waits on it
    connection.client.close()


def _still_there(connection: Connection) -> bool:
    """Tell a refused login, which stays refused, from a connection that broke meanwhile."""
    transport = connection.client.get_transport()
    return transport is not None and bool(transport.is_active())


def _banner(connection: Connection) -> str:
    """What the host says to a login before it closes the connection, such as that it is still booting."""
    transport = connection.client.get_transport()
    # Not get_banner(), which forgets it when the connection ends.
    banner = transport.auth_handler.banner if transport and transport.auth_handler else None
    return " ".join((banner or b"").decode(errors="replace").strip(' "\r\n').split())


def _refused(host: Host, user: str, key: PKey) -> str:
    give = "Give the matching key as ssh_private_key_file"
    anew = (
        "A host of a cloud keeps the key that it was made with: put that back as ssh_private_key_file and `pulumi up`, "
        "or make the hosts anew with `pulumi destroy` and `pulumi up`"
    )
    remedy = {
        "machines": f"{give}, or add its public half there, or correct the machine's `user` and `pulumi up`",
        "local": f"{give}, or `pulumi up` to install this one",
    }.get(host.provider, anew)
    found = f"the key {key.fingerprint} was refused for user {user!r}"
    return f"{found}: it is not in the authorized_keys of that user. {remedy}"


def _reason(error: Exception) -> str:
    if isinstance(error, NoValidConnectionsError):
        return ", ".join({str(cause.strerror).lower() for cause in error.errors.values()})
    if isinstance(error, OSError):
        return str(error.strerror or error).lower()
    return str(error) or "the connection was closed"


class _PinnedHostKey(MissingHostKeyPolicy):  # type: ignore[misc]
    """Accept the inventory's host key and no other.

    Fabric's client is given no known_hosts, so every key is a missing one and is judged here.
    """

    def __init__(self, host: Host) -> None:
        kind, _, rest = host.host_key.strip().partition(" ")
        if kind not in _ALGORITHMS or not rest:
            raise ConnectError(
                f"the inventory's host_key starts with {kind!r}, expected `TYPE BASE64` with one of "
                f"{', '.join(_ALGORITHMS)}; `ssh-keyscan -t ed25519 {host.address}` shows it",
                temporary=False,
            )
        self._algorithms = _ALGORITHMS[kind]
        self._pinned = f"{kind} {rest.split()[0]}"
        renewed = (
            "the machine was set up anew, write its new key into the settings (`host_key`) and `pulumi up`"
            if host.provider == "machines"
            else "the host was rebuilt, `pulumi refresh` and `pulumi up` read its new key"
        )
        self.advice = (
            f"the inventory pins {self._pinned}. If {renewed}; "
            "otherwise something between here and there answers in its place: do not go on"
        )

    def transport(self, sock: socket.socket, **options: object) -> Transport:
        """Make the transport of a connection: the pinned key's algorithm, the fastest cipher, no waiting to send."""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            if hasattr(socket, name):  # macOS lacks some
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        transport = Transport(sock, **options)
        security = transport.get_security_options()
        security.key_types = self._algorithms
        security.ciphers = tuple(sorted(security.ciphers, key=lambda name: "gcm" not in name))
        sock.settimeout(1.0)  # paramiko's 0.1 s would wake 50 threads 500 times a second while nothing happens
        return transport

    def missing_host_key(self, client: SSHClient, hostname: str, key: PKey) -> None:
        found = f"{key.get_name()} {key.get_base64()}"
        if found != self._pinned:
            raise ConnectError(f"found the host key {found}, {self.advice}", temporary=False)
