"""The ordering rules as a model small enough to try everything that can happen.

`simplex.pml` is the model for SPIN, `relation.py` the same rules in Python. `agreement.py` shows that the two are one,
`replay.py` that the real core, in the simulator, takes no step that they do not allow. `runs.py` lists what is tried:
the rules, which keep every promise, and mutants of them, each of which breaks the one named. `python -m tests.model`.
"""
