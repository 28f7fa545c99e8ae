"""The command `conclave`. Importing it is cheap: every command loads what it needs when it runs."""

from node.cli.root import main

__all__ = ["main"]
