"""The ordering policy in words, for the feed and for listings."""

from collections.abc import Iterator

from node.names import Names
from ordering import Model, Policy, PolicyKind


def amendment(old: Policy, new: Policy, names: Names) -> str:
    """What a change of the policy changed, the bench aside; it has entries of its own."""
    return "; ".join(_differences(old, new, names))


def pinned(policy: Policy, names: Names) -> str:
    """Who is pinned, by name."""
    return ", ".join(names.shown(pin.decode(errors="replace")) for pin in policy.pins)


def model_word(model: Model) -> str:
    """The fault model as people write it."""
    return "crash" if model is Model.CRASH else "byzantine"


def _differences(old: Policy, new: Policy, names: Names) -> Iterator[str]:
    if (old.kind, old.pins) != (new.kind, new.pins):
        who = f" to {pinned(new, names)}" if new.kind is PolicyKind.PINNED else ""
        yield f"voters: {old.kind} → {new.kind}{who}"
    if old.model is not new.model:
        yield f"model: {model_word(old.model)} → {model_word(new.model)}"
    if old.size_max != new.size_max:
        yield f"most voters: {old.size_max} → {new.size_max}"
    if old.delta_ms != new.delta_ms:
        yield f"expected delay: {old.delta_ms} → {new.delta_ms} ms"
