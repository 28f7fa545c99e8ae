"""Where this node can be reached, and where it has heard that others can.

A node that listens on every interface has addresses nobody can dial; they are replaced by those of its interfaces.
"""

import ipaddress
import socket
from collections.abc import Iterable

import psutil

WILDCARDS = {"/ip4/0.0.0.0/": socket.AF_INET, "/ip6/::/": socket.AF_INET6}


def reachable(addresses: Iterable[str]) -> tuple[str, ...]:
    """The addresses with every wildcard replaced by the interfaces' own, loopback last."""
    expanded: list[str] = []
    for address in addresses:
        wildcard = next((each for each in WILDCARDS if address.startswith(each)), None)
        if wildcard is None:
            expanded.append(address)
            continue
        family, rest = WILDCARDS[wildcard], address[len(wildcard) :]
        kind = "ip4" if family == socket.AF_INET else "ip6"
        expanded += [f"/{kind}/{host}/{rest}" for host in _hosts(family)]
    return tuple(dict.fromkeys(expanded))


def _hosts(family: int) -> list[str]:
    hosts = [
        entry.address
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family == family and "%" not in entry.address  # link-local ones need a zone nobody else shares
    ]
    return sorted(hosts, key=lambda host: (ipaddress.ip_address(host).is_loopback, host))


def is_loopback(address: str) -> bool:
    """Whether only this machine can dial it."""
    _, kind, host, *_ = (*address.split("/", 3), "", "")
    try:
        return kind in ("ip4", "ip6") and ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
