"""Test networks: real nodes of this machine, each in a process of its own, scripted and judged."""

from node.testnet.demo import demo

__all__ = ["demo"]
