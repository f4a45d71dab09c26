"""What the import contracts in pyproject.toml cannot check: documents name existing files, modules have a subject."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path, PurePath

import pytest
from paths import ROOT

FILES = [
    PurePath(name) for name in subprocess.check_output(["git", "-C", str(ROOT), "ls-files"], text=True).splitlines()
]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_and_scripts_named_in_documents_exist(path: Path) -> None:
    named = set(re.findall(r"`(?:python )?([\w/]+\.(?:py|sh))\b", path.read_text(encoding="utf-8")))
    assert {name for name in named if not any(file.match(name) for file in FILES)} == set()


def test_architecture_lists_every_script_for_hosts() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    scripts = [file.name for file in FILES if file.suffix == ".sh" and file.parts[0] in ("benchmark", "stacks")]
    assert [name for name in scripts if f"`{name}`" not in text] == []


def test_no_module_is_a_drawer_for_everything() -> None:
    assert [file for file in FILES if file.stem in ("utils", "helpers", "common", "misc")] == []
