"""The lists of Debian packages: each package is in exactly one list, that of the component that needs it."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
import yaml
from paths import ROOT

from stacks.local import requirements

LISTS = {
    path.name.removeprefix("debian-packages").removeprefix("-").removesuffix(".txt"): [
        line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")
    ]
    for path in (ROOT / "tools/setup").glob("debian-packages*.txt")
}


def test_every_package_list_is_found() -> None:
    assert set(LISTS) == {"", "unit-tests", "tests", "image", "fresh-machine"}


@pytest.mark.parametrize(("one", "other"), list(combinations(LISTS, 2)))
def test_no_package_is_in_two_lists(one: str, other: str) -> None:
    assert set(LISTS[one]) & set(LISTS[other]) == set()


def test_set_up_installs_the_packages_that_local_hosts_require() -> None:
    assert set(requirements._PACKAGES.values()) <= set(LISTS[""])


@pytest.mark.parametrize("path", sorted((ROOT / "assets/declared").glob("*.yaml")), ids=lambda path: path.stem)
def test_tests_install_the_packages_of_the_declared_examples(path: Path) -> None:
    packages = yaml.safe_load(path.read_text(encoding="utf-8")).get("packages", [])
    assert set(packages) <= {*LISTS[""], *LISTS["tests"]}


def test_packages_that_replace_system_services_are_in_the_image_list_only() -> None:
    assert {"chrony", "cloud-init", "ufw"} <= set(LISTS["image"])
