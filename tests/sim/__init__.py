"""A seeded discrete-event simulator of the real ordering core.

Values are opaque, signatures are a toy, time is virtual; the instance machine, its codecs and its records are the
product's own. One seed draws a `Plan` (committee, faults, liars, commits), `Simulation` plays it, and `Watch` checks
the promises of the ordering page after every step.
"""
