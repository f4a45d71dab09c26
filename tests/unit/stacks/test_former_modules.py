"""Names of dynamic providers in the state of stacks that earlier releases created."""

from __future__ import annotations

import subprocess
import sys

import pytest
from paths import ROOT


@pytest.mark.parametrize(
    ("module", "provider"),
    [
        ("stacks", "CreationProvider"),
        ("stacks.keys", "SshKeyProvider"),
        ("stacks.vultr_power", "VultrPowerProvider"),
        ("stacks.local.resource", "LocalHostProvider"),
        ("stacks.local.network_resource", "NetworkProvider"),
    ],
)
def test_a_provider_in_the_state_of_an_earlier_release_is_found(module: str, provider: str) -> None:
    pickled = f"c{module}\n{provider}\n."  # the opcode of a reference to a class
    code = f"import pickle; print(pickle.loads({pickled.encode()!r}).__name__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == provider
