"""Tests of Conclave."""
