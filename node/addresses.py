"""Where this node can be reached, and where it has heard that others can.

A node that listens on every interface has addresses nobody can dial; they are replaced by those of its interfaces.
"""

import ipaddress
import re
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


def by_lan(addresses: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Our addresses by the local network that they are on, which is named by our IPv4 address there.

    Networks without multicast and tunnels are no local networks, nor is the loopback; without addresses of ours
    there is none.
    """
    addresses, statistics = tuple(addresses), psutil.net_if_stats()
    lans: dict[str, tuple[str, ...]] = {}
    for interface, entries in psutil.net_if_addrs().items():
        flags = statistics[interface].flags.split(",") if interface in statistics else []
        if "up" not in flags or "multicast" not in flags or {"pointopoint", "loopback"}.intersection(flags):
            continue
        hosts = {entry.address for entry in entries if entry.family in WILDCARDS.values()}
        there = tuple(address for address in addresses if _host(address) in hosts)
        named = sorted(entry.address for entry in entries if entry.family == socket.AF_INET)
        if there and named:
            lans[named[0]] = there
    return lans


def is_loopback(address: str) -> bool:
    """Whether only this machine can dial it."""
    ip = _ip(address)
    return ip is not None and ip.is_loopback


def is_far(address: str) -> bool:
    """Whether it may lead to another machine, and to one only; a name may lead anywhere.

    It has to name one place: of `/ip4/192.0.2.7/ip4/127.0.0.1/tcp/22`, or with the port in front, others read the rest.
    """
    if not _ONE_PLACE.fullmatch(address):
        return False
    if not address.startswith(("/ip4/", "/ip6/")):
        return True
    ip = _ip(address)
    return ip is not None and not (ip.is_loopback or ip.is_unspecified or ip.is_multicast or ip == _EVERYBODY)


_ONE_PLACE = re.compile(
    r"/((ip4|ip6|dns|dns4|dns6)/[^/]+/tcp/[0-9]{1,5}|(dnsaddr|memory)/[^/]+)(/p2p/[^/]+(/p2p-circuit(/p2p/[^/]+)?)?)?"
)
_EVERYBODY = ipaddress.IPv4Address("255.255.255.255")


def _ip(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    kind, host = (*address.split("/", 3), "", "")[1:3]
    try:
        ip = ipaddress.ip_address(host) if kind in ("ip4", "ip6") else None
    except ValueError:
        return None
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return mapped or ip


def _host(address: str) -> str:
    return (*address.split("/", 3), "", "")[2]
