"""The cloud firewall of an emulated machine, in the machine's network namespace."""

from __future__ import annotations

from collections.abc import Sequence

Rule = tuple[str, str, str]
"""Protocol or `all`, ports or ``, and the network at the other end."""
EVERYWHERE: tuple[Rule, ...] = (("all", "", "0.0.0.0/0"), ("all", "", "::/0"))


def ruleset(incoming: Sequence[Rule], outgoing: Sequence[Rule]) -> str:
    """Return nftables rules for inbound and outbound traffic; only answers and loopback traffic pass besides."""
    lines = ["table inet cloud", "delete table inet cloud", "table inet cloud {"]
    return "\n".join(
        [*lines, *_chain("input", "iif", "saddr", incoming), *_chain("output", "oif", "daddr", outgoing), "}"]
    )


def _chain(hook: str, device: str, other: str, rules: Sequence[Rule]) -> list[str]:
    head = [f"chain {hook} {{ type filter hook {hook} priority -10; policy drop;", f"{device} lo accept"]
    return [*head, "ct state established accept", *(_accepted(other, *rule) for rule in rules), "}"]


def _accepted(other: str, protocol: str, ports: str, network: str) -> str:
    remote = f"ip6 {other} {network}" if ":" in network else f"ip {other} {network}"
    if protocol == "icmp":
        return f"{remote} meta l4proto {{ icmp, icmpv6 }} accept"
    match = f"{protocol} dport {ports}" if ports else ("" if protocol == "all" else f"meta l4proto {protocol}")
    return f"{remote} {match} accept"
