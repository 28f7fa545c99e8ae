"""`python -m node.cli` is `conclave`."""

from node.cli.root import main

main()
