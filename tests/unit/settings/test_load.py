"""Files of faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.errors import SettingsError
from benchmark.settings import load_faults, parse_fault, parse_phase


def test_a_file_has_faults_as_the_settings_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TARGET", "node-1717")  # values of variables are redacted in later errors
    file = tmp_path / "faults.yaml"
    file.write_text(
        "phases: [healthy 60s, {name: attack, duration: 60s}]\n"
        "faults:\n"
        "  - crash:${TARGET}@attack\n"
        "  - {kind: loss, target: one, start: 10s, end: 40s, parameters: {share: 30%}}\n"
    )
    found = load_faults(file)
    assert found.phases == (parse_phase("healthy 60s"), parse_phase("attack 60s"))
    assert found.faults == (parse_fault("crash:node-1717@attack"), parse_fault("loss:one,share=30%@10s-40s"))
    file.write_text("faults: !Permanent {faults: 2}\n")
    assert load_faults(file).faults == (parse_fault("crash:2@0s"),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("faults:\n  - crash:one\n", "faults.yaml, line 2, column 5: faults.0: found 'crash:one', expected KIND"),
        (
            "faults:\n  - {kind: crash, target: one, start: 1, ends: 3}\n",
            "line 2, column 48: unknown field 'faults.0.ends'",
        ),
        ("fault: [crash:one@1s]\n", "line 1, column 8: unknown field 'fault'; did you mean 'faults'?"),
        ("phases: [a 9s]\n", "faults.yaml, line 1, column 1: faults is missing"),
        ("- crash:one@1s\n", "faults.yaml: found list, expected fields as `name: value`"),
        ("faults: [crash:one@1s\n", "faults.yaml, line 2, column 1: not YAML"),
    ],
)
def test_errors_have_line_and_column(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "faults.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError) as error:
        load_faults(file)
    assert message in str(error.value)


def test_a_file_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot read .*none\.yaml: No such file or directory"):
        load_faults(tmp_path / "none.yaml")
