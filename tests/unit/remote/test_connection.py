"""Opening connections: pinned host keys, the operator's key, and which errors are temporary."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from factories.hosts import of_provider
from fakes.sshd import USER, Sshd, free_port, make_key
from hypothesis import given, settings
from hypothesis import strategies as st
from paramiko import AUTH_FAILED, PKey, ServerInterface, SSHException, Transport
from waiting import wait_for

from benchmark.errors import UsageError
from benchmark.inventory import Host
from benchmark.remote import connection as connection_module
from benchmark.remote.connection import ConnectError, connect, disconnect, load_key


def refusal(host: Host, key: Path, user: str = USER, timeout: float = 5.0) -> ConnectError:
    """Connect and return the error."""
    with pytest.raises(ConnectError) as caught:
        connect(host, user, load_key(key), timeout)
    return caught.value


@contextmanager
def silent_port(greeting: bytes | None) -> Iterator[int]:
    """A port that accepts connections, sends `greeting` and closes them, or sends nothing at all."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        if greeting is None:
            yield listener.getsockname()[1]
            return

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.sendall(greeting)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_pins_every_kind_of_host_key(kind: str) -> None:
    with Sshd(kind) as server:
        connection = connect(server.host(), USER, load_key(server.user_key), 10)
        assert connection.is_connected
        disconnect(connection)
        assert not connection.is_connected


@pytest.mark.parametrize(
    ("provider", "advice"),
    [
        ("aws", "run `pulumi refresh` and `pulumi up` to read its new key"),
        ("machines", "the machine was reinstalled"),
    ],
)
def test_rejects_another_host_key_before_logging_in(server: Sshd, tmp_path: Path, provider: str, advice: str) -> None:
    pinned = make_key(tmp_path / "other")
    error = refusal(of_provider(server.host(host_key=pinned), provider), server.user_key)
    assert not error.temporary
    assert f"found the host key {server.host_key}" in str(error)
    assert f"the inventory pins {pinned}" in str(error)
    assert advice in str(error)


def test_rejects_a_host_without_a_key_of_the_pinned_kind(server: Sshd, tmp_path: Path) -> None:
    pinned = make_key(tmp_path / "other", "ecdsa")
    error = refusal(server.host(host_key=pinned), server.user_key)
    assert not error.temporary
    assert f"the inventory pins {pinned}" in str(error)


@pytest.mark.parametrize("found", ["", "ssh-dss AAAA", "ssh-ed25519", "garbage"])
def test_rejects_an_unusable_host_key_in_the_inventory(server: Sshd, found: str) -> None:
    host = server.host().model_copy(update={"host_key": found})
    error = refusal(host, server.user_key)
    assert not error.temporary
    assert "expected `TYPE BASE64`" in str(error)


def test_a_rejected_key_is_permanent_and_named(server: Sshd, tmp_path: Path) -> None:
    make_key(tmp_path / "stranger")
    shown = subprocess.run(
        ["ssh-keygen", "-lf", str(tmp_path / "stranger")], check=True, capture_output=True, text=True
    ).stdout.split()[1]
    error = refusal(server.host(), tmp_path / "stranger")
    assert not error.temporary
    assert shown in str(error)
    assert f"was rejected for user {USER!r}" in str(error)


@pytest.mark.parametrize(
    ("provider", "advice"),
    [
        ("machines", "add the public key there"),
        ("local", "run `pulumi up` to install this one"),
        (
            "aws",
            "restore that key in ssh_private_key_file and run `pulumi up`, or recreate the hosts with `pulumi destroy`",
        ),
        (
            "vultr",
            "restore that key in ssh_private_key_file and run `pulumi up`, or recreate the hosts with `pulumi destroy`",
        ),
    ],
)
def test_advises_to_install_the_key_only_where_that_is_possible(
    server: Sshd, tmp_path: Path, provider: str, advice: str
) -> None:
    make_key(tmp_path / "stranger")
    error = refusal(of_provider(server.host(), provider), tmp_path / "stranger")
    assert advice in str(error)
    assert ("install this one" in str(error)) == (provider == "local")


def test_a_closed_port_is_temporary(server: Sshd) -> None:
    host = server.host().model_copy(update={"ssh_port": free_port()})
    error = refusal(host, server.user_key)
    assert error.temporary
    assert str(error) == f"127.0.0.1:{host.ssh_port}: connection refused"


def test_gives_up_on_a_silent_port_at_the_timeout(server: Sshd) -> None:
    with silent_port(None) as port:
        began = time.monotonic()
        error = refusal(server.host().model_copy(update={"ssh_port": port}), server.user_key, timeout=0.3)
        assert time.monotonic() - began < 3
    assert error.temporary
    assert str(error) == f"127.0.0.1:{port}: no answer within 0.3 s"


def test_a_server_that_closes_the_connection_is_temporary(server: Sshd) -> None:
    with silent_port(b"SSH-2.0-x\r\n") as port:
        error = refusal(server.host().model_copy(update={"ssh_port": port}), server.user_key)
    assert error.temporary


def test_an_unknown_host_name_is_permanent(server: Sshd) -> None:
    error = refusal(server.host().model_copy(update={"address": "no-such-host.invalid"}), server.user_key)
    assert not error.temporary
    assert "no-such-host.invalid" in str(error)


def test_a_stopped_host_is_reported_as_stopped(server: Sshd) -> None:
    host = server.host().model_copy(update={"address": "", "state": "stopped"})
    error = refusal(host, server.user_key)
    assert str(error) == "has no address, it is stopped; start it with `pulumi up -c state=running`"
    assert not error.temporary


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_loads_a_key_from_a_file_and_from_text(tmp_path: Path, kind: str) -> None:
    public = make_key(tmp_path / "key", kind)
    for key in (load_key(tmp_path / "key"), load_key((tmp_path / "key").read_text(encoding="utf-8"))):
        assert f"{key.get_name()} {key.get_base64()}" == public


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read the private key .*/none.*ssh_private_key_file"):
        load_key(tmp_path / "none")


def test_rejects_the_public_half_of_a_key(tmp_path: Path) -> None:
    make_key(tmp_path / "key")
    with pytest.raises(UsageError, match=r"key\.pub is not an ed25519, ECDSA or RSA private key"):
        load_key(tmp_path / "key.pub")


def test_does_not_print_the_text_of_a_bad_key() -> None:
    with pytest.raises(UsageError) as caught:
        load_key("-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n-----END OPENSSH PRIVATE KEY-----\n")
    assert "c2VjcmV0" not in str(caught.value)


def test_a_key_with_a_passphrase_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "locked"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "pass phrase", "-f", str(path)], check=True)
    with pytest.raises(UsageError, match="has a passphrase; use a key without one"):
        load_key(path)


def test_reads_no_file_of_the_operator(server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / ".ssh"
    folder.mkdir()
    (folder / "config").write_text("Host *\n  Port 1\n  ProxyCommand false\n  User nobody\n", encoding="utf-8")
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{server.port} ssh-ed25519 AAAA\n", encoding="utf-8")
    (tmp_path / ".fabric.yaml").write_text("connect_kwargs: {password: x}\nport: 1\n", encoding="utf-8")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    connection = connect(server.host(), USER, load_key(server.user_key), 10)
    assert connection.is_connected
    disconnect(connection)
    assert sorted(path.name for path in folder.iterdir()) == ["config", "known_hosts"]


class TooEarly(ServerInterface):  # type: ignore[misc]
    """An SSH server that behaves like sshd with pam_nologin(8): it sends a banner and closes the connection."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def get_banner(self) -> tuple[str, str]:
        return '"System is booting up. Unprivileged users are\nnot permitted to log in yet."\r\n', "en"

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: PKey) -> int:
        self._transport.close()
        return int(AUTH_FAILED)


def test_a_booting_host_is_temporary_and_its_banner_is_shown(server: Sshd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        port = listener.getsockname()[1]

        def serve() -> None:
            transport = Transport(listener.accept()[0])
            transport.add_server_key(load_key(server.folder / "host_key"))
            transport.start_server(server=TooEarly(transport))
            transport.join(10)

        thread = threading.Thread(target=serve)
        thread.start()
        error = refusal(server.host().model_copy(update={"ssh_port": port}), server.user_key)
        thread.join()
    assert error.temporary
    assert "System is booting up. Unprivileged users are not permitted to log in yet." in str(error)


def certify(folder: Path, key: Path, *options: str) -> None:
    """Sign a public key with the authority in `folder`."""
    if not (folder / "authority").exists():
        make_key(folder / "authority")
    command = ["ssh-keygen", "-q", "-s", str(folder / "authority"), "-I", "test", *options, f"{key}.pub"]
    subprocess.run(command, check=True)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_uses_the_certificate_beside_a_key(tmp_path: Path, kind: str) -> None:
    make_key(tmp_path / "key", kind)
    certify(tmp_path, tmp_path / "key", "-n", USER)
    with Sshd(config=f"TrustedUserCAKeys {tmp_path}/authority.pub\n") as server:
        connection = connect(server.host(), USER, load_key(tmp_path / "key"), 10)
        assert connection.is_connected
        disconnect(connection)


def test_uses_the_key_where_its_certificate_is_rejected(tmp_path: Path) -> None:
    with Sshd() as server:  # which trusts no authority
        certify(tmp_path, server.user_key, "-n", USER)
        connection = connect(server.host(), USER, load_key(server.user_key), 10)
        assert connection.is_connected
        disconnect(connection)


def test_a_rejected_certificate_is_explained(server: Sshd, tmp_path: Path) -> None:
    make_key(tmp_path / "key")
    certify(tmp_path, tmp_path / "key", "-n", "somebody-else")
    error = refusal(server.host(), tmp_path / "key")
    assert not error.temporary
    assert "its certificate were rejected" in str(error)
    assert "`ssh-keygen -L -f`" in str(error)


@pytest.mark.parametrize("content", ["garbage", "other key"])
def test_a_certificate_that_does_not_fit_the_key_is_named(tmp_path: Path, content: str) -> None:
    make_key(tmp_path / "key")
    if content == "other key":
        make_key(tmp_path / "other")
        certify(tmp_path, tmp_path / "other")
        content = (tmp_path / "other-cert.pub").read_text(encoding="utf-8")
    (tmp_path / "key-cert.pub").write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=r"key-cert\.pub is not a certificate of the private key"):
        load_key(tmp_path / "key")


@pytest.mark.parametrize(
    ("setting", "offered", "kind"),
    [
        ("Ciphers", "chacha20-poly1305@openssh.com", "cipher"),
        ("MACs", "umac-128@openssh.com", "message authentication code"),
        ("KexAlgorithms", "sntrup761x25519-sha512@openssh.com", "key exchange method"),
    ],
)
def test_algorithms_that_do_not_match_are_named(setting: str, offered: str, kind: str) -> None:
    config = f"{setting} {offered}\n" + ("Ciphers aes128-ctr\n" if setting == "MACs" else "")
    with Sshd(config=config) as server:
        error = refusal(server.host(), server.user_key)
    assert not error.temporary
    assert f"no common {kind}: its sshd offers only {offered}" in str(error)
    assert f"to {setting} in /etc/ssh/sshd_config" in str(error)
    assert "do not continue" not in str(error)


def test_a_server_is_asked_when_sending_is_possible_and_lost_only_if_it_does_not_answer() -> None:
    ticks: list[Callable[[], None]] = []
    sent: list[object] = []
    transport = SimpleNamespace(
        clear_to_send=threading.Event(),
        packetizer=SimpleNamespace(set_keepalive=lambda interval, tick: ticks.append(tick)),
        _send_message=sent.append,
    )
    connection_module._detect_silence(transport)  # type: ignore[arg-type]
    (tick,) = ticks
    for _ in range(30):  # keys are exchanged
        tick()
    assert sent == []
    transport.clear_to_send.set()
    for _ in range(10):
        tick()
    assert len(sent) == 1
    transport.completion_event.set()  # type: ignore[attr-defined]
    for _ in range(12):
        tick()
    assert len(sent) == 2
    with pytest.raises(SSHException, match="its SSH server has not answered for 12 s"):
        tick()


def test_a_server_that_stops_answering_is_noticed(server: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "_REQUEST_AFTER", 1)
    monkeypatch.setattr(connection_module, "_LOST_AFTER", 2)
    with Sshd() as frozen:
        lost, kept = (connect(each.host(), USER, load_key(each.user_key), 10) for each in (frozen, server))
        frozen.freeze()
        wait_for(lambda: not lost.is_connected, "the connection counts as lost", 10)
        assert "has not answered" in str(lost.transport.saved_exception)
        assert kept.is_connected
        disconnect(lost)
        disconnect(kept)


@pytest.mark.parametrize(
    "greeting",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"SSH-2.0-x\r\n" + bytes(64),
        b"SSH-2.0-x\r\n\xff\xff\xff\xff" + bytes(64),
        b"SSH-2.0-x\r\n\x00\x00\x00\x0c\x04\x14" + b"\xff" * 64,
        b"SSH-2.0-x\r\n\x00\x00\x00\x2c\x04\x14" + bytes(16) + b"\x00\x00\x00\x04\xff\xfe\xfd\xfc" + bytes(64),
        b"SSH-1.5-x\r\n",
        b"\xff\xfe\n" * 3,
    ],
    ids=["http", "zeros", "huge packet", "strange packet", "names not in UTF-8", "old version", "bytes"],
)
def test_whatever_a_server_answers_is_a_reason_by_host(server: Sshd, greeting: bytes) -> None:
    with silent_port(greeting) as port:
        error = refusal(server.host().model_copy(update={"ssh_port": port}), server.user_key, timeout=3.0)
    assert str(error).startswith(f"127.0.0.1:{port}: ")


@settings(max_examples=12, derandomize=True, deadline=None)
@given(data=st.binary(min_size=1, max_size=200))
def test_no_answer_of_a_server_is_another_error(server: Sshd, data: bytes) -> None:
    with silent_port(b"SSH-2.0-x\r\n" + data) as port:
        refusal(server.host().model_copy(update={"ssh_port": port}), server.user_key, timeout=3.0)
