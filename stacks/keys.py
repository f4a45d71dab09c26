"""SSH keys: every host's own and the operator's, made once and kept in the stack's state.

The private halves are secrets of the state and of everything that is derived from them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pulumi
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)
from pulumi.dynamic import CreateResult, DiffResult, Resource, ResourceProvider

from benchmark.errors import SettingsError
from benchmark.settings import Settings


class KeyPair(NamedTuple):
    """Both halves of an SSH key, as OpenSSH writes them to files."""

    public_key: str
    private_key: str


def generate_key() -> KeyPair:
    """Make an ed25519 key pair: the public half as `ssh-ed25519 AAAA…`, the private one as an OpenSSH PEM."""
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    return KeyPair(public.decode(), private.decode())


class SshKeyProvider(ResourceProvider):
    """Makes a key when the resource is created and never changes it."""

    serialize_as_secret_always = False

    def create(self, props: dict[str, Any]) -> CreateResult:
        pair = generate_key()
        return CreateResult(pair.public_key, pair._asdict())

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        return DiffResult(changes=False)


class SshKey(Resource, module="geobench", name="SshKey"):
    """An ed25519 key pair that lives as long as the stack; `private_key` is a secret."""

    public_key: pulumi.Output[str]
    private_key: pulumi.Output[str]

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        secret = pulumi.ResourceOptions(additional_secret_outputs=["private_key"])
        props = {"public_key": None, "private_key": None}
        super().__init__(SshKeyProvider(), name, props, pulumi.ResourceOptions.merge(secret, opts))


class OperatorKey(NamedTuple):
    """The key that every host lets in; `private_key` is None where the user named a file of his own."""

    public_key: pulumi.Output[str]
    private_key: pulumi.Output[str] | None
    private_key_file: str | None


def operator_key(settings: Settings) -> OperatorKey:
    """Return the key that the settings name, or declare a pair of the stack's own. Raises SettingsError."""
    if settings.ssh_private_key_file is None:
        if settings.ssh_public_key_file is not None:
            raise SettingsError("ssh_public_key_file is set without ssh_private_key_file; name both or neither")
        key = SshKey("operator")
        return OperatorKey(key.public_key, pulumi.Output.secret(key.private_key), None)
    private = settings.ssh_private_key_file.expanduser().absolute()
    secret = _read_key("ssh_private_key_file", private)
    public = settings.ssh_public_key_file or private.with_name(f"{private.name}.pub")
    text = _read_key("ssh_public_key_file", public.expanduser())
    if not text.startswith(("ssh-", "ecdsa-", "sk-")) or len(text.split()) < 2:
        raise SettingsError(
            f"ssh_public_key_file: {public} holds no public key in OpenSSH's format, `ssh-ed25519 AAAA…`"
        )
    if _public_half(secret) not in (None, text.split()[1]):
        raise SettingsError(
            f"ssh_public_key_file: {public} is not the public half of {private}; name the two of one pair"
        )
    return OperatorKey(pulumi.Output.from_input(text), None, str(private))


def _public_half(private_key: str) -> str | None:
    """The base64 of the public half; None where only a passphrase would tell, or the format is an older one."""
    try:
        key = load_ssh_private_key(private_key.encode() + b"\n", password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode().split()[1]


def _read_key(field: str, path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        hint = (
            f"`ssh-keygen -y -f PRIVATE > {path}` writes it"
            if field == "ssh_public_key_file"
            else "name a key you have"
        )
        raise SettingsError(
            f"{field}: cannot read {path}: {reason}; {hint}, or leave the field out to have a pair made"
        ) from None
    if field == "ssh_private_key_file" and "PRIVATE KEY" not in text:
        raise SettingsError(f"{field}: {path} holds no private key; `ssh-keygen -t ed25519 -f {path}` makes one")
    return text
