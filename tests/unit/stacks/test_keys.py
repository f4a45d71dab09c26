"""Generated keys, and the user's own key files."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pulumi
import pytest
from fakes.pulumi_mocks import declare

from benchmark.errors import SettingsError
from benchmark.settings import Settings
from stacks.keys import SshKeyProvider, generate_key, operator_key


def settings(**fields: object) -> Settings:
    return Settings.model_validate({"regions": ["us-east-1"], **fields})


def key_files(folder: Path) -> tuple[Path, str]:
    pair = generate_key()
    private = folder / "id_ed25519"
    private.write_text(pair.private_key, encoding="utf-8")
    private.chmod(0o600)
    private.with_name("id_ed25519.pub").write_text(f"{pair.public_key} someone@somewhere\n", encoding="utf-8")
    return private, pair.public_key


def test_openssh_reads_a_generated_key_and_finds_its_public_half(tmp_path: Path) -> None:
    private, public = key_files(tmp_path)
    derived = subprocess.run(
        ["ssh-keygen", "-y", "-f", str(private)], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    )
    assert derived.stdout.strip() == public
    assert public.startswith("ssh-ed25519 AAAA")
    assert len(public.split()) == 2


def test_no_two_generated_keys_are_the_same() -> None:
    assert len({generate_key().public_key for _ in range(20)}) == 20


def test_the_provider_returns_both_halves_and_never_requests_a_change() -> None:
    provider = SshKeyProvider()
    made = provider.create({})
    assert made.outs is not None
    assert set(made.outs) == {"public_key", "private_key"}
    assert made.id == made.outs["public_key"]  # an id is not a secret of the state
    assert provider.diff(made.id, made.outs, {}).changes is False


def test_a_pair_is_generated_if_no_file_is_named() -> None:
    declared = declare(lambda: operator_key(settings()))
    assert [resource.name for resource in declared.of_type("SshKey")] == ["operator"]


def test_the_private_half_of_a_generated_pair_is_a_secret() -> None:
    def secrecy() -> pulumi.Output[bool]:
        key = operator_key(settings()).private_key
        assert key is not None
        return pulumi.Output.from_input(key.is_secret())

    assert declare(secrecy).value is True


def test_a_named_file_is_used_and_no_pair_is_generated(tmp_path: Path) -> None:
    private, public = key_files(tmp_path)
    declared = declare(lambda: operator_key(settings(ssh_private_key_file=str(private))).public_key)
    assert declared.value.split()[:2] == public.split()
    assert declared.of_type("SshKey") == []


def test_a_named_private_key_stays_out_of_the_state(tmp_path: Path) -> None:
    private, _ = key_files(tmp_path)
    key = operator_key(settings(ssh_private_key_file=str(private)))
    assert key.private_key is None
    assert key.private_key_file == str(private)


def test_the_public_half_may_be_in_another_folder(tmp_path: Path) -> None:
    private, public = key_files(tmp_path)
    elsewhere = private.with_name("id_ed25519.pub").rename(tmp_path / "other.pub")
    fields = {"ssh_private_key_file": str(private), "ssh_public_key_file": str(elsewhere)}
    assert declare(lambda: operator_key(settings(**fields)).public_key).value.startswith(public)


def test_a_missing_private_key_is_reported_with_its_field(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"ssh_private_key_file: cannot read .*absent: No such file"):
        operator_key(settings(ssh_private_key_file=str(tmp_path / "absent")))


def test_a_missing_public_half_is_reported_with_the_command_that_writes_it(tmp_path: Path) -> None:
    private, _ = key_files(tmp_path)
    private.with_name("id_ed25519.pub").unlink()
    with pytest.raises(SettingsError, match=r"ssh_public_key_file: cannot read .*ssh-keygen -y"):
        operator_key(settings(ssh_private_key_file=str(private)))


def test_a_public_key_as_private_key_is_rejected(tmp_path: Path) -> None:
    private, _ = key_files(tmp_path)
    with pytest.raises(SettingsError, match="holds no private key"):
        operator_key(settings(ssh_private_key_file=str(private) + ".pub"))


def test_an_invalid_public_key_is_rejected(tmp_path: Path) -> None:
    private, _ = key_files(tmp_path)
    private.with_name("id_ed25519.pub").write_text("hello\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="holds no public key"):
        operator_key(settings(ssh_private_key_file=str(private)))


def test_halves_of_two_pairs_are_rejected(tmp_path: Path) -> None:
    private, _ = key_files(tmp_path)
    private.with_name("id_ed25519.pub").write_text(generate_key().public_key, encoding="utf-8")
    with pytest.raises(SettingsError, match="not the public half"):
        operator_key(settings(ssh_private_key_file=str(private)))


def test_a_public_key_without_a_private_key_is_rejected() -> None:
    with pytest.raises(SettingsError, match="without ssh_private_key_file"):
        operator_key(settings(ssh_public_key_file="/tmp/x.pub"))
