"""Hostile bytes, found by coverage: `make fuzz` runs each target with atheris; the tests run them on their seeds."""
