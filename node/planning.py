"""Planning a commit: every open intent in the light of the present epoch, and what one commit would carry of them.

What each kind of intent comes to is its rule's to say (`node.intent_rules`).

What other members want is carried along where their kind allows and our own rights do. A wish of theirs that cannot
be had is left out; it never fails, and it never stands in the way of the rest.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

from mls import Group, MlsError, Proposal, group_context_extensions
from node.draft import Draft, Fate, Take
from node.electorate import POLICY_EXTENSION, RuleError, peer_of, policy_extension
from node.folding import Wanted
from node.intent_rules import KINDS, judge
from node.intents import ALREADY, FAILED
from node.policies import pruned
from node.store_rows import IntentRow
from ordering import OrderingError, Policy

WISHES_JUDGED_MAX: Final = 512  # of others, the fairest first, in one plan


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
    references: tuple[bytes, ...] = ()  # other members' proposal messages
    intents: tuple[IntentRow, ...] = ()
    folded: tuple[Wanted, ...] = ()  # what it carries for other members
    opt_in: bool = False
    opt_out: bool = False
    settled: tuple[Settled, ...] = ()
    is_urgent: bool = False  # it carries removals and leaves the rest for later

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to commit."""
        return not (self.intents or self.folded)


def plan(
    group: Group,
    intents: Sequence[IntentRow],
    *,
    may_opt_in: bool,
    others: Sequence[Wanted] = (),
    may_hurry: bool = True,
) -> Plan:
    """Look at every open intent of ours, oldest first, and at what `others` want, fairest first.

    In each round our own comes first and then one wish of each other member, until the commit is full. `may_opt_in` is
    false while the group is unconfirmed. With `may_hurry`, removals that we want go alone, ahead of everything else
    (class 0). What somebody else wants removed hurries in its own commit: or who offered a removal and never made it
    would keep everything else waiting here.

    Two intents that cannot share a commit (both adding one peer, say) are taken one after the other: the second is
    left for a later epoch, where it will have settled itself.
    """
    members = {peer_of(group.public, leaf): (leaf_index, leaf) for leaf_index, leaf in group.public.leaves()}
    draft = Draft(group, may_opt_in, members)
    draft.is_urgent = may_hurry and _has_removal(draft, intents)
    carried: list[IntentRow] = []
    folded: list[Wanted] = []
    settled: list[Settled] = []
    for intent, wanted in _interleaved(intents, others[:WISHES_JUDGED_MAX]):
        if intent is not None:
            try:
                found = judge(draft, intent.kind, intent.body, group.own_leaf)
            except (MlsError, OrderingError, RuleError) as error:
                settled.append(Settled(intent, FAILED, str(error)))
                continue
            if isinstance(found, Take):
                draft.take(found, len(intent.body))
                carried.append(intent)
            elif found is Fate.ALREADY:
                settled.append(Settled(intent, ALREADY))
        elif wanted is not None:
            found = _wish(draft, wanted)
            if isinstance(found, Take):
                draft.take(found, len(wanted.body))
                folded.append(wanted)
    if draft.policy is not None:
        draft.proposals.append(_context_with(draft.group, draft.policy))
    return Plan(
        tuple(draft.proposals),
        tuple(draft.references),
        tuple(carried),
        tuple(folded),
        draft.opt_in,
        draft.opt_out,
        tuple(settled),
        draft.is_urgent,
    )


def _interleaved(
    intents: Sequence[IntentRow], others: Sequence[Wanted]
) -> Iterator[tuple[IntentRow | None, Wanted | None]]:
    """Our first, everybody's first, our second, everybody's second, and so on."""
    rounds: list[list[Wanted]] = []
    seen: dict[int, int] = {}
    for wanted in others:
        place = seen[wanted.author] = seen.get(wanted.author, -1) + 1
        if place == len(rounds):
            rounds.append([])
        rounds[place].append(wanted)
    for intent, each in zip_longest(intents, rounds):
        yield intent, None
        for wanted in each or ():
            yield None, wanted


def _has_removal(draft: Draft, intents: Sequence[IntentRow]) -> bool:
    own = draft.group.own_leaf
    urgent = [each for each in intents if each.kind in KINDS and KINDS[each.kind].is_urgent]
    wishes = (Wanted(own, each.intent_id, each.kind, each.body, 0) for each in urgent)
    return any(isinstance(_wish(draft, each), Take) for each in wishes)


def _wish(draft: Draft, wanted: Wanted) -> Take | Fate:
    """The same of a wish that may be impossible: then there is nothing to carry."""
    try:
        return judge(draft, wanted.kind, wanted.body, wanted.author)
    except (MlsError, OrderingError, RuleError):
        return Fate.WAITS


def _context_with(group: Group, policy: Policy) -> Proposal:
    """The group's context with another policy, and the bench tidied."""
    rest = (each for each in group.extensions if each.extension_type != POLICY_EXTENSION)
    return group_context_extensions((*rest, policy_extension(pruned(policy, group.public))))
