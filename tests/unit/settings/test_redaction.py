"""Redaction: secrets are hidden wherever they occur, everything else is left alone."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from benchmark.errors import SettingsError
from benchmark.settings import expand, has_literal_secret, load_settings, redact, redact_document, redact_words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see https://x.org/a@b and ssh://git@x.org", "see https://x.org/a@b and ssh://git@x.org"),
        ("--repository=https://u:s3cret@x.org/a", "--repository=https://x.org/a"),
        ("HTTPS://s3cret@x.org/a", "HTTPS://x.org/a"),
        ("https://u:s3@cret@x.org/a", "https://x.org/a"),
        ("https://x.org?mail=a@b", "https://x.org?mail=a@b"),
        ("ssh://git:s3cret@x.org", "ssh://git@x.org"),
        ("'https://x.org','a@b'", "'https://x.org','a@b'"),
        ("run --vultr-token=s3cret --loads 5", "run --vultr-token=REDACTED --loads 5"),
        ("run --api-key s3cret --loads 5", "run --api-key REDACTED --loads 5"),
        ("client_parameters.password=s3cret", "client_parameters.password=REDACTED"),
        ("run --token-file ~/.vultr --set token_file=x", "run --token-file ~/.vultr --set token_file=x"),
    ],
)
def test_redacts_logins_and_secret_options(text: str, expected: str) -> None:
    assert redact(text) == expected


def test_redacts_value_in_separate_word() -> None:
    assert redact_words(["run", "--token", "s3cret", "--no-token", "--loads", "5"]) == [
        "run", "--token", "REDACTED", "--no-token", "--loads", "5",
    ]  # fmt: skip


def test_redacts_documents_by_field_name_and_content() -> None:
    given = {
        "url": "https://me:s3cret@example.org/x",
        "token": "s3cret",
        "nested": [{"API_KEY": "s3cret"}, "run --vultr-token=s3cret --loads 5"],
        "command": ["run", "--secret", "s3cret"],
        "token_file": "~/.vultr",
        "keys": 100,
        "tokens": 3,
        "host_key": "ssh-ed25519 AAAA",
    }
    assert redact_document(given) == {
        "url": "https://example.org/x",
        "token": "REDACTED",
        "nested": [{"API_KEY": "REDACTED"}, "run --vultr-token=REDACTED --loads 5"],
        "command": ["run", "--secret", "REDACTED"],
        "token_file": "~/.vultr",
        "keys": 100,
        "tokens": 3,
        "host_key": "ssh-ed25519 AAAA",
    }


def test_invalid_settings_file_does_not_reveal_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "s3cret")
    path = tmp_path / "settings.yaml"
    path.write_text("regions: [us-east-1]\nrepository: https://${TOKEN}@git.example.org/a\n", encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    assert "s3cret" not in str(caught.value)
    path.write_text("regions: [us-east-1]\nrepository: {url: 'https://${TOKEN}@git.example.org/a'}\n", encoding="utf-8")
    loaded = load_settings(path).repository
    assert loaded
    assert loaded.url == "https://s3cret@git.example.org/a"


def test_values_from_the_environment_are_written_as_their_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEOBENCH_TEST_PIN", "correct horse")
    monkeypatch.setenv("GEOBENCH_TEST_SHORT", "abc")
    assert expand("pin=${GEOBENCH_TEST_PIN} ${GEOBENCH_TEST_SHORT}", "f") == "pin=correct horse abc"
    assert redact("the pin is 'correct horse'") == "the pin is '${GEOBENCH_TEST_PIN}'"
    assert redact_document({"a": ["say correct horse"]}) == {"a": ["say ${GEOBENCH_TEST_PIN}"]}
    assert redact("abc") == "abc"


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        ("https://s3cret@x.org/a", True),
        ("https://${TOKEN}@x.org/a", False),
        ("https://me:${TOKEN}@x.org/a", True),  # a token can be the user name
        ("ssh://git@x.org/a", False),
        ("node_parameters.password=s3cret", True),
        ("node_parameters.password=${PASSWORD}", False),
        ("committee=3", False),
    ],
)
def test_literal_secrets_are_told_from_variables(text: str, literal: bool) -> None:
    assert has_literal_secret(text) is literal


@pytest.mark.parametrize("word", ["token", "a-", "://", "://a@", "https://a:b@c/", "secret=", "--token "])
def test_hostile_texts_take_no_time(word: str) -> None:
    before = time.thread_time()
    redact(word * 20_000 + "token")
    assert time.thread_time() - before < 2, "linear, not quadratic, which would take minutes"
