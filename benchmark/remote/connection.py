"""Open one SSH connection with Fabric: pinned host key, the operator's key, no configuration of the operator."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import socket
import threading
import time
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from fabric import Config, Connection
from paramiko import (
    AuthenticationException,
    Channel,
    ChannelException,
    ECDSAKey,
    Ed25519Key,
    Message,
    MissingHostKeyPolicy,
    PKey,
    RSAKey,
    SSHClient,
    SSHException,
    Transport,
)
from paramiko.common import cMSG_GLOBAL_REQUEST
from paramiko.ssh_exception import IncompatiblePeer, NoValidConnectionsError

from benchmark.errors import UsageError
from benchmark.inventory import Host

# Without a handler, logging's last resort prints paramiko's tracebacks of failed connections.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

# Detect a vanished host within about 15 s: by probes while idle, by missing acknowledgements otherwise.
_KEEPALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 2, "TCP_USER_TIMEOUT": 15_000}

# An SSH server can stop answering while its kernel still acknowledges: every silent second counts, a request is sent
# after the first three, and the connection counts as lost when it is unanswered after twelve. A cut of 5 s is survived.
_REQUEST_AFTER, _LOST_AFTER = 3, 12

_PROHIBITED = 1
"""SSH_OPEN_ADMINISTRATIVELY_PROHIBITED (RFC 4254, 5.1)."""

_ALGORITHMS = {
    "ssh-ed25519": ("ssh-ed25519",),
    "ecdsa-sha2-nistp256": ("ecdsa-sha2-nistp256",),
    "ecdsa-sha2-nistp384": ("ecdsa-sha2-nistp384",),
    "ecdsa-sha2-nistp521": ("ecdsa-sha2-nistp521",),
    "ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256"),
}


class ConnectError(Exception):
    """A connection could not be opened.

    `temporary` is whether another attempt may succeed, `timed_out` whether the host did not answer within the timeout.
    """

    def __init__(self, reason: str, *, temporary: bool, timed_out: bool = False) -> None:
        self.temporary = temporary
        self.timed_out = timed_out
        super().__init__(reason)


class ServerSilentError(SSHException):  # type: ignore[misc]
    """An SSH server stopped answering; the reason with which its connection ended."""


def load_key(key: Path | str) -> PKey:
    """Load a private key from a file, or from its text; UsageError if it is unusable or has a passphrase.

    A certificate beside a key's file, `KEY-cert.pub`, is used, too, as OpenSSH does.
    """
    source = f"the private key {key}" if isinstance(key, Path) else "the private key of the stack"
    try:
        text = key.expanduser().read_text(encoding="utf-8") if isinstance(key, Path) else key
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {source}: {error}; check ssh_private_key_file in the settings") from None
    try:
        loaded = _parse_key(text.encode())
    except TypeError:
        raise UsageError(
            f"{source} has a passphrase; use a key without one, or remove ssh_private_key_file and the testbed "
            "generates a key"
        ) from None
    except (ValueError, UnsupportedAlgorithm, SSHException):
        raise UsageError(
            f"{source} is not an ed25519, ECDSA or RSA private key; create one with `ssh-keygen -t ed25519`"
        ) from None
    if isinstance(key, Path):
        certificate = key.expanduser().with_name(f"{key.name}-cert.pub")
        try:
            if certificate.exists():
                loaded.load_certificate(str(certificate))
                # Both contain the fields of the public key, after its type; paramiko compares only the types.
                if loaded.asbytes()[4 + len(loaded.get_name()) :] not in loaded.public_blob.key_blob:
                    raise ValueError("a certificate of another key")
        except (OSError, ValueError, SSHException):
            raise UsageError(
                f"{certificate} is not a certificate of {source}; `ssh-keygen -L -f {certificate}` shows it, remove it "
                "if it is outdated"
            ) from None
    return loaded


def _parse_key(data: bytes) -> PKey:
    """Parse a key in OpenSSH or PEM format.

    Not with paramiko's parser, which misreads some keys without a comment, as programs write them.
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


def connect(host: Host, user: str, key: PKey, timeout: float, gateway: Connection | None = None) -> Connection:
    """Open a connection to `host`, at most `timeout` (s) for each step; raises ConnectError with the reason.

    `gateway` is the connection to the host's `jump`, if it has one.
    """
    if not host.address:
        # Pulumi remembers `-c`: after `pulumi up -c state=stopped` a plain `pulumi up` starts nothing.
        remedy = "start it with `pulumi up -c state=running`" if host.state == "stopped" else "run `pulumi up`"
        raise ConnectError(f"has no address, it is {host.state}; {remedy}", temporary=False)
    where = host.login_endpoint + (f" through {host.jump.address}" if host.jump else "")
    pinned = _PinnedHostKey(host)
    connection = Connection(
        host.login_address,
        user=user,
        port=host.ssh_port,
        # A new one each time, since reading a Config changes it and threads must not share it. Lazy, so that it
        # reads neither ~/.fabric.yaml nor ~/.ssh/config.
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
    began = time.monotonic()
    try:
        if gateway is not None:
            target = (host.login_address, host.ssh_port)
            try:
                sock = gateway.transport.open_channel("direct-tcpip", target, ("", 0), timeout=timeout)
            except ChannelException as error:
                prohibited = error.code == _PROHIBITED
                remedy = "set `AllowTcpForwarding yes` in its sshd_config" if prohibited else "is the address right?"
                reason = f"its gateway did not connect to it ({error.text}); {remedy}"
                raise ConnectError(reason, temporary=not prohibited) from None
            connection.connect_kwargs["sock"] = sock
        try:
            connection.open()
        except AuthenticationException:
            transport = connection.client.get_transport()
            if key.public_blob is None or transport is None or not transport.is_active():
                raise
            plain = copy.copy(key)  # the certificate was rejected; OpenSSH tries the key next
            plain.public_blob = None
            transport.auth_publickey(user, plain)
            connection.transport = transport
        _detect_silence(connection.transport)
        return connection
    except ConnectError as error:
        raise ConnectError(f"{where}: {error}", temporary=error.temporary) from None
    except IncompatiblePeer as error:
        raise ConnectError(f"{where}: {_explain_mismatch(connection, pinned, error)}", temporary=False) from None
    except AuthenticationException as error:
        transport = connection.client.get_transport()
        # A rejected key stays rejected; a connection that broke meanwhile does not.
        if transport is not None and transport.is_active() and time.monotonic() - began < timeout:
            raise ConnectError(f"{where}: {_explain_rejected_key(host, user, key)}", temporary=False) from None
        # Not get_banner(), which loses the banner when the connection ends.
        banner = transport.auth_handler.banner if transport and transport.auth_handler else None
        shown = " ".join((banner or b"").decode(errors="replace").strip(' "\r\n').split())
        raise ConnectError(f"{where}: {shown or error}", temporary=True) from None
    except Exception as error:  # paramiko raises whatever a strange server made its thread fail with
        late = time.monotonic() - began >= timeout
        reason = f"no answer within {timeout:g} s" if late else _describe(error)
        temporary = not isinstance(error, socket.gaierror)
        raise ConnectError(f"{where}: {reason}", temporary=temporary, timed_out=late) from None
    finally:
        if not connection.is_connected:
            _close(connection)


def disconnect(connection: Connection) -> None:
    """Close a connection at once."""
    with contextlib.suppress(OSError, EOFError, SSHException):
        connection.transport.sock.shutdown(socket.SHUT_RDWR)  # wakes paramiko's thread, which waits on it
    _close(connection)


def _close(connection: Connection) -> None:
    # If it leads through a gateway whose connection has ended, paramiko cannot send that it closes.
    with contextlib.suppress(OSError, EOFError, SSHException):
        connection.client.close()


def _detect_silence(transport: Transport) -> None:
    """End the connection when the SSH server does not answer for about twelve seconds."""
    transport.completion_event = answered = threading.Event()
    silent_s, asked = 0, False

    def count() -> None:
        nonlocal silent_s, asked
        if answered.is_set():
            answered.clear()
            silent_s, asked = 0, False
        silent_s += 1
        if asked and silent_s > _LOST_AFTER:
            raise ServerSilentError(f"its SSH server has not answered for {_LOST_AFTER} s")
        # The thread that reads must not wait until sending is possible, which it is not while keys are exchanged.
        if not asked and silent_s >= _REQUEST_AFTER and transport.clear_to_send.is_set():
            request = Message()
            request.add_byte(cMSG_GLOBAL_REQUEST)
            request.add_string("keepalive@openssh.com")
            request.add_boolean(True)
            transport._send_message(request)
            silent_s, asked = _REQUEST_AFTER, True

    # Called by the thread that reads, after every second in which nothing arrived.
    transport.packetizer.set_keepalive(0.001, count)


def _explain_mismatch(connection: Connection, pinned: _PinnedHostKey, error: IncompatiblePeer) -> str:
    """Explain that client and server support no common algorithm of a kind."""
    kinds = {
        "kex": ("key exchange method", "kex_algo_list", "KexAlgorithms", "kex"),
        "ciphers": ("cipher", "server_encrypt_algo_list", "Ciphers", "ciphers"),
        "macs": ("message authentication code", "server_mac_algo_list", "MACs", "digests"),
    }
    transport = connection.client.get_transport()
    for word, (kind, offers, setting, option) in kinds.items():
        if f"acceptable {word}" in str(error) and transport is not None:
            offered = ", ".join(pinned.offered.get(offers, ["nothing"]))
            wanted = ", ".join(getattr(transport.get_security_options(), option)[:4])
            return (
                f"no common {kind}: its sshd offers only {offered}; add one of {wanted} to {setting} in "
                "/etc/ssh/sshd_config there"
            )
    return f"{error}; {pinned.advice}" if "host key" in str(error) else str(error)


def _explain_rejected_key(host: Host, user: str, key: PKey) -> str:
    if key.public_blob is not None:
        return (
            f"key {key.fingerprint} and its certificate were rejected for user {user!r}; `ssh-keygen -L -f` of the "
            "certificate shows until when and for which principals it is valid, and which authority "
            "(TrustedUserCAKeys of sshd) signed it"
        )
    rejected = f"key {key.fingerprint} was rejected for user {user!r}: it is not in that user's authorized_keys"
    return f"{rejected}. {host.capabilities.help.login_rejected}"


def _describe(error: Exception) -> str:
    if isinstance(error, NoValidConnectionsError):
        return ", ".join({str(cause.strerror).lower() for cause in error.errors.values()})
    if isinstance(error, OSError):
        return str(error.strerror or error).lower()
    return str(error) or "the connection was closed"


class _PinnedHostKey(MissingHostKeyPolicy):  # type: ignore[misc]
    """Accept the inventory's host key and no other.

    Fabric's client gets no known_hosts file, so every key counts as missing and is checked here.
    """

    def __init__(self, host: Host) -> None:
        kind, _, rest = host.host_key.strip().partition(" ")
        if kind not in _ALGORITHMS or not rest:
            raise ConnectError(
                f"the inventory's host_key starts with {kind!r}, expected `TYPE BASE64` with one of "
                f"{', '.join(_ALGORITHMS)}; `ssh-keyscan -t ed25519 {host.address}` shows it",
                temporary=False,
            )
        self.offered: dict[str, list[str]] = {}
        """The algorithms that the server offers, by paramiko's name of the kind."""
        self._algorithms = _ALGORITHMS[kind]
        self._pinned = f"{kind} {rest.split()[0]}"
        self.advice = (
            f"the inventory pins {self._pinned}. If {host.capabilities.help.host_key_changed}; "
            "otherwise another machine may be answering in its place: do not continue"
        )

    def transport(self, sock: socket.socket | Channel, **options: object) -> Transport:
        """Return the transport of a connection: the pinned key's algorithm, the fastest cipher, no send delay."""
        if not isinstance(sock, Channel):  # a channel of a gateway
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in _KEEPALIVE.items():
                if hasattr(socket, name):  # macOS has only some of them
                    sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        transport = Transport(sock, **options)
        parse = transport._really_parse_kex_init

        def parse_offer(message: Message, **fields: bool) -> dict[str, list[str]]:
            self.offered = parse(message, **fields)
            return self.offered

        transport._really_parse_kex_init = parse_offer  # paramiko keeps the offer only if there is an agreement
        security = transport.get_security_options()
        security.key_types = self._algorithms
        security.ciphers = tuple(sorted(security.ciphers, key=lambda name: "gcm" not in name))
        sock.settimeout(1.0)  # paramiko's default of 0.1 s wakes 50 idle connections 500 times a second
        return transport

    def missing_host_key(self, client: SSHClient, hostname: str, key: PKey) -> None:
        found = f"{key.get_name()} {key.get_base64()}"
        if found != self._pinned:
            raise ConnectError(f"found the host key {found}, {self.advice}", temporary=False)
