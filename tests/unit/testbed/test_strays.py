"""The search for hosts that a stack does not know, by a testbed program of the test."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.testbed.strays import Strays, begin_search

FOUND = '[{"id": "4f0f", "text": "vultr 4f0f (bed-1, ewr)"}, {"id": "5a5a", "text": "vultr 5a5a (bed-2, ewr)"}]'


def program(folder: Path, text: str) -> Path:
    """Write a project whose search runs `text`."""
    (folder / "stacks").mkdir()
    (folder / "stacks/__init__.py").touch()
    (folder / "stacks/strays.py").write_text(f"import sys\n{text}\n")
    return folder


def test_hosts_are_shown_with_the_commands_that_adopt_and_remove_them(tmp_path: Path) -> None:
    found = begin_search(program(tmp_path, f"print('''{FOUND}''')"), None)()
    assert found.to_json() == ["vultr 4f0f (bed-1, ewr)", "vultr 5a5a (bed-2, ewr)"]
    assert found.warning.startswith("this stack does not know vultr 4f0f (bed-1, ewr), vultr 5a5a (bed-2, ewr), which ")
    for command in ("`pulumi up`", "`pulumi cancel`", "`python -m stacks.strays --remove 4f0f 5a5a`"):
        assert command in found.warning


def test_the_search_is_for_the_given_stack(tmp_path: Path) -> None:
    echo = 'import json; print(json.dumps([{"id": "a", "text": " ".join(sys.argv[1:])}]))'
    project = program(tmp_path, echo)
    assert begin_search(project, "other")().hosts == ("--json --stack other",)
    assert begin_search(project, None)().hosts == ("--json",)


def test_nothing_is_printed_where_there_is_nothing(tmp_path: Path) -> None:
    assert begin_search(tmp_path, None)() == Strays()
    found = begin_search(program(tmp_path, "print('[]')"), None)()
    assert (found.warning, found.to_json()) == ("", [])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("sys.exit('error: no token')", "no token"),
        ("sys.exit(3)", "no reason given"),
        ("print('a')", "the answer is not a list of hosts"),
        ("print('[1]')", "the answer is not a list of hosts"),
    ],
)
def test_a_failed_search_is_a_warning_and_its_result_unknown(tmp_path: Path, text: str, reason: str) -> None:
    found = begin_search(program(tmp_path, text), None)()
    assert found.warning == f"could not look for cloud hosts that the stack does not know: {reason}"
    assert found.to_json() is None
