"""SSH keys of the hosts and the operator, generated once and kept in the stack's state.

Private halves are secrets of the state, and so is everything derived from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

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
    """Both halves of an SSH key, in the format of OpenSSH's files."""

    public_key: str
    private_key: str


def generate_key() -> KeyPair:
    """Generate an ed25519 key pair: the public half as `ssh-ed25519 AAAA…`, the private half as an OpenSSH PEM."""
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    return KeyPair(public.decode(), private.decode())


class SshKeyProvider(ResourceProvider):
    """Generates a key when the resource is created and never changes it."""

    serialize_as_secret_always = False

    def create(self, _props: Mapping[str, object]) -> CreateResult:
        pair = generate_key()
        return CreateResult(pair.public_key, pair._asdict())

    def diff(self, _id: str, _olds: Mapping[str, object], _news: Mapping[str, object]) -> DiffResult:
        return DiffResult(changes=False)


class SshKey(Resource, module="geobench", name="SshKey"):
    """An ed25519 key pair that lasts as long as the stack; `private_key` is a secret."""

    public_key: pulumi.Output[str]
    private_key: pulumi.Output[str]

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        secret = pulumi.ResourceOptions(additional_secret_outputs=["private_key"])
        props = {"public_key": None, "private_key": None}
        super().__init__(SshKeyProvider(), name, props, pulumi.ResourceOptions.merge(secret, opts))


class OperatorKey(NamedTuple):
    """The key that every host accepts."""

    public_key: pulumi.Output[str]
    private_key: pulumi.Output[str] | None
    """None if the settings name a key file."""
    private_key_file: str | None


def operator_key(settings: Settings) -> OperatorKey:
    """Read the key that the settings name, or declare a generated one. Raises SettingsError."""
    if settings.ssh_private_key_file is None:
        if settings.ssh_public_key_file is not None:
            raise SettingsError("ssh_public_key_file is set without ssh_private_key_file; set both or neither")
        key = SshKey("operator")
        return OperatorKey(key.public_key, pulumi.Output.secret(key.private_key), None)
    private_file = settings.ssh_private_key_file.expanduser().absolute()
    private = _read_key("ssh_private_key_file", private_file, "set it to an existing key")
    if "PRIVATE KEY" not in private:
        raise SettingsError(
            f"ssh_private_key_file: {private_file} holds no private key; generate one with "
            f"`ssh-keygen -t ed25519 -f {private_file}`"
        )
    public_file = (settings.ssh_public_key_file or private_file.with_name(f"{private_file.name}.pub")).expanduser()
    public = _read_key("ssh_public_key_file", public_file, f"write it with `ssh-keygen -y -f PRIVATE > {public_file}`")
    if not public.startswith(("ssh-", "ecdsa-", "sk-")) or len(public.split()) < 2:
        raise SettingsError(
            f"ssh_public_key_file: {public_file} holds no public key in OpenSSH's format, `ssh-ed25519 AAAA…`"
        )
    try:
        loaded = load_ssh_private_key(private.encode() + b"\n", password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        pass  # protected by a passphrase, or in an older format: the two halves cannot be compared
    else:
        expected = loaded.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        if expected.split()[1] != public.split()[1]:
            raise SettingsError(
                f"ssh_public_key_file: {public_file} is not the public half of {private_file}; name a matching pair"
            )
    return OperatorKey(pulumi.Output.from_input(public), None, str(private_file))


def _read_key(field: str, path: Path, remedy: str) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise SettingsError(
            f"{field}: cannot read {path}: {reason}; {remedy}, or remove the field to have a pair generated"
        ) from None
