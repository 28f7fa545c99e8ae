"""Machines on local networks of their own, by network namespaces: what real processes need root for."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest


@contextmanager
def routed(machines: Mapping[str, int]) -> Iterator[dict[str, tuple[str, str]]]:
    """Each machine (by name) on the local network of that number, with a router between the networks.

    Gives each one's namespace and address, 10.77.<network>.<host>. The router forwards what is sent to one address,
    and nothing that is sent to many. Skips where that is not allowed.
    """
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("network namespaces need root and iproute2")
    tag = f"cc{os.getpid() % 10**7}"
    router, made = f"{tag}router", {name: f"{tag}{name}" for name in machines}
    try:
        for namespace in (router, *made.values()):
            done = subprocess.run(["ip", "netns", "add", namespace], capture_output=True, text=True, check=False)
            if done.returncode != 0:
                pytest.skip(f"no network namespaces here: {done.stderr.strip()}")
            ip("-n", namespace, "link", "set", "lo", "up")
        for lan in sorted(set(machines.values())):
            ip("-n", router, "link", "add", f"lan{lan}", "type", "bridge", "mcast_snooping", "0")
            ip("-n", router, "addr", "add", f"10.77.{lan}.1/24", "dev", f"lan{lan}")
            ip("-n", router, "link", "set", f"lan{lan}", "up")
        subprocess.run(
            ["ip", "netns", "exec", router, "sysctl", "-qw", "net.ipv4.ip_forward=1"], check=True, capture_output=True
        )
        addresses: dict[str, tuple[str, str]] = {}
        for host, (name, lan) in enumerate(machines.items(), 2):
            namespace, address = made[name], f"10.77.{lan}.{host}"
            ip("-n", router, "link", "add", f"to{host}", "type", "veth", "peer", "name", "eth0", "netns", namespace)
            ip("-n", router, "link", "set", f"to{host}", "master", f"lan{lan}")
            ip("-n", router, "link", "set", f"to{host}", "up")
            ip("-n", namespace, "addr", "add", f"{address}/24", "dev", "eth0")
            ip("-n", namespace, "link", "set", "eth0", "up")
            ip("-n", namespace, "route", "add", "default", "via", f"10.77.{lan}.1")
            addresses[name] = namespace, address
        yield addresses
    finally:
        for namespace in (*made.values(), router):
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True, check=False)


def ip(*words: str) -> None:
    """A command of iproute2 that has to succeed."""
    subprocess.run(["ip", *words], check=True, capture_output=True)
