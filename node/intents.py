"""Intents: what somebody wants changed. They survive lost races and restarts; commits do not.

An intent is durable before its caller hears of it. It is looked at anew in every epoch: already so, no longer
possible, or still wanted; what is wanted goes into this node's next candidate. When another commit wins, the intent
stays and is built again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from msgspec import Meta

from mls import Group, LeafNode, MlsError, Proposal, add, decode_key_package, remove
from node.electorate import RuleError, peer_of, voter_of
from node.peer_id import PeerId
from node.store_rows import IntentRow
from ordering import OrderingError, Wire

KEY_PACKAGE_SIZE_MAX: Final = 64 * 1024
OPEN_INTENTS_MAX: Final = 256
"""Most intents of one group that may wait here; a caller that asks for more is told to come back."""

ADD: Final = "add"
REMOVE: Final = "remove"
UPDATE: Final = "update"
OPT_IN: Final = "opt_in"
OPT_OUT: Final = "opt_out"

OPEN: Final = "open"
DONE: Final = "done"  # our own commit carried it
ALREADY: Final = "already"  # somebody else's did, or it was so before
FAILED: Final = "failed"


class AddBody(Wire, frozen=True):
    """Whom to add, by the key package it gave us."""

    SIZE_MAX: ClassVar[int] = KEY_PACKAGE_SIZE_MAX + 256

    peer: Annotated[str, Meta(max_length=128)]
    key_package: Annotated[bytes, Meta(max_length=KEY_PACKAGE_SIZE_MAX)]


class RemoveBody(Wire, frozen=True):
    """Whom to remove."""

    SIZE_MAX: ClassVar[int] = 256

    peer: Annotated[str, Meta(max_length=128)]


@dataclass(frozen=True, slots=True)
class Settled:
    """An intent that needs no commit of ours any more."""

    intent: IntentRow
    state: str  # ALREADY or FAILED
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What our next commit of this epoch would carry, and for which intents."""

    proposals: tuple[Proposal, ...] = ()
    intents: tuple[IntentRow, ...] = ()
    opt_in: bool = False
    opt_out: bool = False
    settled: tuple[Settled, ...] = ()


def plan(group: Group, intents: Sequence[IntentRow], *, may_opt_in: bool) -> Plan:
    """Look at every open intent in the light of the present epoch, oldest first.

    Two intents that cannot share a commit (both adding one peer, say) are taken one after the other: the second is
    left for a later epoch, where it will have settled itself. `may_opt_in` is false while the group is unconfirmed.
    """
    members = {peer_of(group.public, leaf): (leaf_index, leaf) for leaf_index, leaf in group.public.leaves()}
    own = group.public.leaf(group.own_leaf)
    proposals: list[Proposal] = []
    carried: list[IntentRow] = []
    settled: list[Settled] = []
    touched: set[PeerId] = set()
    opt_in = opt_out = False
    for intent in intents:
        try:
            match intent.kind:
                case "add":
                    body = AddBody.decode(intent.body)
                    if body.peer in members and body.peer not in touched:
                        settled.append(Settled(intent, ALREADY))
                    elif body.peer not in touched:
                        package = decode_key_package(body.key_package)
                        if peer_of(group.public, package.leaf_node) != body.peer:
                            raise RuleError("the key package that this peer gave is another peer's")
                        proposals.append(add(package))
                        touched.add(body.peer)
                        carried.append(intent)
                case "remove":
                    peer = RemoveBody.decode(intent.body).peer
                    if peer not in members and peer not in touched:
                        settled.append(Settled(intent, ALREADY))
                    elif peer in members and members[peer][0] == group.own_leaf:
                        settled.append(Settled(intent, FAILED, "a member cannot commit its own removal"))
                    elif peer not in touched:
                        proposals.append(remove(members[peer][0]))
                        touched.add(peer)
                        carried.append(intent)
                case "update":
                    carried.append(intent)
                case "opt_in" if _is_willing(own):
                    settled.append(Settled(intent, ALREADY))
                case "opt_in" if may_opt_in and not opt_out:
                    opt_in = True
                    carried.append(intent)
                case "opt_out" if not _is_willing(own):
                    settled.append(Settled(intent, ALREADY))
                case "opt_out" if not opt_in:
                    opt_out = True
                    carried.append(intent)
                case "opt_in" | "opt_out":
                    pass  # waits: the group is unconfirmed, or the opposite goes first
                case kind:
                    settled.append(Settled(intent, FAILED, f"this version does not know intents of kind {kind!r}"))
        except (MlsError, OrderingError, RuleError) as error:
            settled.append(Settled(intent, FAILED, str(error)))
    return Plan(tuple(proposals), tuple(carried), opt_in, opt_out, tuple(settled))


def _is_willing(leaf: LeafNode | None) -> bool:
    return leaf is not None and voter_of(leaf) is not None
