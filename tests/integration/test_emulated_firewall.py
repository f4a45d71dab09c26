"""The firewall of emulated cloud machines, tried with real datagrams in a network namespace."""

from __future__ import annotations

import subprocess

import pytest
from fakes.emulators.firewall import EVERYWHERE, Rule, ruleset

pytestmark = pytest.mark.integration

NAMESPACE = """\
set -e
ip link set lo up
ip link add inside type veth peer name outside
ip address add 192.0.2.1/24 dev inside
ip link set inside up
ip link set outside up
ip route add default dev inside
ip neighbour add 198.51.100.7 lladdr 02:00:00:00:00:01 dev inside
ip neighbour add 203.0.113.7 lladdr 02:00:00:00:00:01 dev inside
nft -f -
for end in 198.51.100.7/53 198.51.100.7/54 203.0.113.7/53 127.0.0.1/53; do
    if (echo >/dev/udp/$end) 2>/dev/null; then echo $end; fi
done
"""


def sent(outgoing: list[Rule]) -> list[str]:
    """The ends, of four, that a datagram leaves for behind the firewall."""
    command = ["unshare", "--net", "bash", "-c", NAMESPACE]
    rules = ruleset([("tcp", "22", "0.0.0.0/0")], outgoing)
    done = subprocess.run(command, input=rules, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("outgoing", "ends"),
    [
        ([], []),
        ([("udp", "53", "198.51.100.0/24")], ["198.51.100.7/53"]),
        ([("udp", "53-54", "198.51.100.0/24")], ["198.51.100.7/53", "198.51.100.7/54"]),
        ([("udp", "", "203.0.113.7/32"), ("icmp", "", "0.0.0.0/0")], ["203.0.113.7/53"]),
        ([("tcp", "53", "0.0.0.0/0"), ("all", "", "::/0")], []),
        (list(EVERYWHERE), ["198.51.100.7/53", "198.51.100.7/54", "203.0.113.7/53"]),
    ],
)
def test_machine_sends_only_what_its_rules_allow(outgoing: list[Rule], ends: list[str]) -> None:
    assert sent(outgoing) == [*ends, "127.0.0.1/53"]
