"""Benchmarks: what each operation costs, beside what the primitives under it cost in the same run."""
