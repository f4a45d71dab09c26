"""Debian packages: versions are compared, missing ones are found."""

from __future__ import annotations

import subprocess

import pytest

from benchmark.errors import UsageError
from benchmark.testbed.packages import install_command, missing_command, missing_packages, package_commit


def test_different_versions_of_packages_are_an_error() -> None:
    with pytest.raises(UsageError, match="different versions of etcd: 1 on a; 2 on b"):
        package_commit(["etcd"], {"a": {"etcd": "1"}, "b": {"etcd": "2"}})
    assert package_commit(["etcd"], {"a": {"etcd": "1"}, "b": {"etcd": "1"}}) == "1"
    assert package_commit([], {"a": {}, "b": {}}) == "unknown"
    assert missing_packages({"a": {"x": "", "y": "1"}, "b": {"x": "2"}}) == {"a": ["x"]}


def test_missing_packages_are_listed_by_dpkg() -> None:
    done = subprocess.run(missing_command(["bash", "no-such-package"]), shell=True, capture_output=True, text=True)
    assert done.stdout.split() == ["no-such-package"]
    assert "apt-get install" in install_command(["x"])
