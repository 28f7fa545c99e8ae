"""Each check of a JoinProof taken out in turn: a forgery that only this check refuses is then let in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from msgspec.structs import replace

from ordering import Anchor, InvalidError, check_join_proof, verify_entry
from ordering import join_proof as module
from ordering.log import verify_chain
from tests.ordering.chains import AUTHOR, AUTHOR_LEAF, GROUP, candidate_of, committee_of, decide, genesis
from tests.ordering.keys import Key, verify
from tests.ordering.test_join_proof import ENTRIES, LAST, PROOF, fake, losing
from tests.without import without


@dataclass(frozen=True)
class Forgery:
    """What is shown to a joiner of epoch 7, and the words of the check that refuses it."""

    name: str
    mark: str
    proof: Any = PROOF
    arguments: dict[str, Any] = field(default_factory=dict)


def arguments(**changes: Any) -> dict[str, Any]:
    """Those of a true proof, but for what is changed."""
    true = {
        "group_id": GROUP,
        "joined_epoch": 7,
        "welcome": b"welcome 6",
        "authenticated_data": LAST.decision.instance,
        "verify": verify,
        "verify_author": lambda leaf, message, sign: leaf == AUTHOR_LEAF and verify(AUTHOR.public, message, sign),
    }
    return true | changes


def false_votes() -> Any:
    """A Decision that nobody signed."""
    certificate = LAST.decision.certificate
    signatures = tuple((voter, b"f" * 64) for voter, _ in certificate.signatures)
    return replace(PROOF, decision=replace(LAST.decision, certificate=replace(certificate, signatures=signatures)))


def by_a_relay() -> Any:
    """The decided bundle, wrapped anew by somebody who carried it."""
    return replace(
        PROOF, candidate=replace(PROOF.candidate, signature=Key.of("relay").sign(PROOF.candidate.signed_bytes))
    )


FORGERIES = (
    Forgery("another epoch's Decision", "does not end epoch", arguments={"joined_epoch": 8}),
    Forgery("another instance's commit", "Join (2)", arguments={"authenticated_data": ENTRIES[0].decision.instance}),
    Forgery("a candidate that lost", "is not the one decided", losing(), {"welcome": b"rival welcome"}),
    Forgery("another Welcome", "holds another Welcome", arguments={"welcome": b"another welcome"}),
    Forgery("not its author's bundle", "not signed by its author", by_a_relay()),
    Forgery("votes nobody cast", "decision.check", false_votes()),
)


@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda forgery: forgery.name)
def test_only_this_check_refuses(forgery: Forgery) -> None:
    """With the check: refused. Without it, and with all the others: let in."""
    given = arguments(**forgery.arguments)
    with pytest.raises(InvalidError):
        check_join_proof(forgery.proof, **given)

    without(check_join_proof, forgery.mark)(forgery.proof, **given)


def test_every_check_is_taken_out() -> None:
    """Whoever adds a check adds its forgery."""
    with open(module.__file__) as file:
        body = file.read().partition("def check_join_proof")[2].partition("\ndef ")[0]
    assert body.count("raise InvalidError") + body.count("decision.check(") == len(FORGERIES)


def gap() -> Any:
    """A chain that leaves out what the joiner knows first."""
    return replace(PROOF, chain=tuple(ENTRIES[1:-1]))


def of_another_committee() -> tuple[Any, dict[str, Any]]:
    """The adder decides alone."""
    proof = fake()
    return proof, {"authenticated_data": proof.decision.instance}


def after_another_bundle() -> tuple[Any, dict[str, Any]]:
    """The true committee, but after a bundle that was never decided: a fork of it."""
    anchor = Anchor(GROUP, 6, b"p" * 32, committee_of(6).descriptor)
    decision = decide(anchor, committee_of(6), PROOF.candidate.bundle)
    candidate = candidate_of(LAST.of(decision, PROOF.candidate.bundle))
    return replace(PROOF, decision=decision, candidate=candidate), {"authenticated_data": decision.instance}


@pytest.mark.parametrize(
    ("mark", "forge"),
    [
        ("belongs", lambda: (gap(), {})),
        ("by another committee", of_another_committee),
        ("does not follow the bundle", after_another_bundle),
    ],
    ids=["a gap in the chain", "another committee", "another predecessor"],
)
def test_the_anchor_refuses_what_nothing_else_can(mark: str, forge: Callable[[], tuple[Any, dict[str, Any]]]) -> None:
    """Without an anchor the forgery is let in here; with one, the chain's own check refuses it."""
    proof, changes = forge()
    check_join_proof(proof, **arguments(**changes))
    with pytest.raises(InvalidError, match=mark):
        check_join_proof(proof, **arguments(**changes), anchor=genesis())


def test_the_chain_itself_is_checked() -> None:
    """`verify_chain` is what the anchor leads to; each entry is checked by `verify_entry`."""
    assert verify_chain(genesis(), ENTRIES, verify).epoch == 7
    bent = [*ENTRIES[:3], replace(ENTRIES[3], body_hash=bytes(32)), *ENTRIES[4:]]
    with pytest.raises(InvalidError, match="another bundle"):
        verify_chain(genesis(), bent, verify)
    anchor = verify_chain(genesis(), ENTRIES[:3], verify)
    without(verify_entry, "another bundle than the entry")(anchor, bent[3], verify)
