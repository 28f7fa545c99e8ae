"""From a Decision to the next epoch: everything that becomes true at once, in one transaction.

`prepare` computes it without changing anything; `write` puts it on the disk: the decision, the group's next value,
what became of our intents, the Welcomes to deliver, and the news for the feed.
"""

from dataclasses import dataclass

from mls import Group, InvalidError, PublicGroup, UnopenableError, self_remove
from node import cut_off, feed
from node.building import Built
from node.candidacy import Candidacy
from node.commit_effects import NO_EFFECTS, effects_of, is_done_by
from node.context import NodeContext
from node.electorate import is_benched, peer_of, policy_of, voter_of
from node.feed import ChangeBody, DecisionBody, IntentBody, NoticeBody
from node.holding import CUT_OFF, OK, REMOVED, UNCONFIRMED, Holding, after_decision, with_key, without_secrets
from node.intents import ADD, ALREADY, DONE, FAILED, LEAVE, READD, AddBody
from node.judgement import HardValid, Known, stage
from node.key_packages.wanting import give_back
from node.logs import logger, short
from node.mailbox.shelf import note_decision, note_keys
from node.names import Names
from node.ordering_records import HURRIED
from node.peer_id import PeerId
from node.planning import Plan, Settled, plan
from node.policy_words import amendment
from node.sealing import gossip_key
from node.store_rows import DecisionRow, FeedRow, IntentRow
from node.store_writes import Transaction
from node.welcoming import welcome_rows
from ordering import Committee, Decision, ProposalClass

LEFT_TEXT = "this node left the group; what was received can still be read"
REMOVED_TEXT = "this node was removed from the group; what was received can still be read"

log = logger("adoption")


@dataclass(frozen=True, slots=True)
class Adoption:
    """What a Decision leads to."""

    decision: Decision
    known: Known
    before: Holding
    after: Holding
    own: Built | None
    plan: Plan | None  # our open intents in the light of the new epoch; None once removed or cut off
    is_hurried: bool = False  # a commit of class 0 went first: in the next epoch none does

    @property
    def valid(self) -> HardValid:
        """The decided bundle; only hard-valid ones are handed over (R9)."""
        assert self.known.valid is not None
        return self.known.valid


def prepare(context: NodeContext, holding: Holding, candidacy: Candidacy, decision: Decision) -> Adoption:
    """The group after a decided bundle. Pure: nothing of ours changes.

    `holding` is the present one: its group has used up message keys since the candidates were staged.
    """
    known = candidacy.known[decision.id]
    own = candidacy.own.get(decision.id)
    assert known.valid is not None
    assert holding.public is not None
    successor = _successor(context, holding, known, own)
    staged, present = known.valid.staged, holding.public
    gone = (
        ()
        if known.valid.is_resync
        else tuple(peer_of(present, leaf) for index, leaf in present.leaves() if index in staged.removes)
    )
    extra = after_decision(
        holding.extra,
        decided=decision.id,
        committer=staged.committer,
        epoch=decision.epoch,
        gone=gone,
        changed=staged.removes,
        added=tuple(each.leaf_index for each in staged.adds),
    )
    is_hurried = candidacy.facts(known).proposal_class is ProposalClass.URGENT
    if successor is None:
        after = holding.with_changes(
            group=None, followed=None, extra=without_secrets(extra), health=REMOVED, removed=True
        )
        return Adoption(decision, known, holding, after, own, None)
    if isinstance(successor, PublicGroup):
        after = holding.with_changes(followed=successor, epoch=successor.epoch, extra=extra, health=CUT_OFF)
        return Adoption(decision, known, holding, after, own, None, is_hurried)
    extra = with_key(extra, successor.epoch, gossip_key(successor))
    health = UNCONFIRMED if holding.unconfirmed else OK
    after = holding.with_changes(group=successor, followed=None, epoch=successor.epoch, extra=extra, health=health)
    done = () if own is None else own.intent_ids
    left = [intent for intent in context.store.open_intents(holding.group_id) if intent.intent_id not in done]
    wanted = plan(successor, left, may_opt_in=not holding.unconfirmed)
    return Adoption(decision, known, holding, after, own, wanted, is_hurried)


def write(
    transaction: Transaction,
    context: NodeContext,
    adoption: Adoption,
    committee: Committee,
    rivals: int,
    rank: int | None,
) -> None:
    """The whole of it, in the transaction of the step that decided.

    `committee` is that of the epoch that ended; `rank` is our turn to deliver its Welcome, None for never.
    """
    before, after, decision = adoption.before, adoption.after, adoption.decision
    now_ms = context.now_ms()
    after.put(transaction)
    epoch = decision.epoch + 1
    candidate = adoption.known.candidate
    transaction.put_decision(
        DecisionRow(after.group_id, decision.epoch, decision.id, decision.encode(), candidate.encode(), now_ms)
    )
    if after.group is not None and not after.is_cut_off:
        note_keys(transaction, after.group)
    if after.group_id in context.with_mailboxes:
        note_decision(transaction, after.group_id, decision.epoch, decision.id, is_own=adoption.known.own)
    transaction.drop_candidates(after.group_id, epoch)
    transaction.drop_ordering_records(after.group_id, epoch)
    if adoption.is_hurried:
        transaction.put_ordering_record(after.group_id, epoch, HURRIED, b"")
    transaction.append_feed(_decision_row(adoption, committee, rivals, now_ms))
    if adoption.plan is not None and adoption.valid.policy.is_amended:
        transaction.append_feed(notice_row(after, feed.GROUP, _policy_text(context, adoption), now_ms))
    for intent_id in () if adoption.own is None else adoption.own.intent_ids:
        intent = transaction.intent(intent_id)
        if intent is not None:
            write_end(transaction, after, intent, DONE, epoch, now_ms, candidate_id=decision.id)
    by = _member_peer(adoption)
    if after.is_cut_off and not before.is_cut_off and by != context.identity.peer_id:
        cut_off.blame(transaction, after.group_id, by)
    if (news := cut_off.news(before, after)) is not None:
        transaction.append_feed(notice_row(after, feed.HEALTH, news, now_ms))
    if after.removed:
        _write_departure(transaction, adoption, epoch, now_ms)
        return
    wished = set() if adoption.plan is None else _write_settled_here(transaction, adoption, epoch, now_ms)

    def turn(peer: PeerId) -> int | None:
        """Who wanted the newcomer in has a link to it, and delivers before whoever carried the wish along."""
        if peer in wished:
            return 0
        return None if rank is None else max(rank, 1)

    for row in welcome_rows(before, decision, candidate, adoption.valid.staged, turn, now_ms):
        transaction.put_outbox(row)


def _write_departure(transaction: Transaction, adoption: Adoption, epoch: int, now_ms: int) -> None:
    """We are no member any more, by our own wish or not."""
    after, intents = adoption.after, transaction.open_intents(adoption.after.group_id)
    transaction.forget_mailboxes(after.group_id)
    transaction.forget_marks(after.group_id)
    has_left = is_own_leave(adoption.valid, adoption.before) and any(each.kind == LEAVE for each in intents)
    transaction.append_feed(notice_row(after, feed.GROUP, LEFT_TEXT if has_left else REMOVED_TEXT, now_ms))
    for intent in intents:
        if intent.kind == LEAVE:
            state = DONE if has_left else ALREADY
            write_end(transaction, after, intent, state, epoch, now_ms, candidate_id=adoption.decision.id)
        else:
            why = "this node left the group" if has_left else "we were removed from the group"
            write_end(transaction, after, intent, FAILED, epoch, now_ms, error=why)


def _write_settled_here(transaction: Transaction, adoption: Adoption, epoch: int, now_ms: int) -> set[PeerId]:
    """Our intents that this decision settled, with who did it; the newcomers among them that we had asked for."""
    before, public, known = adoption.before.group, adoption.before.public, adoption.known
    assert before is not None
    assert public is not None
    assert adoption.plan is not None
    done = () if adoption.own is None else tuple(transaction.intent(each) for each in adoption.own.intent_ids)
    wished = {AddBody.decode(each.body).peer for each in done if each is not None and each.kind in (ADD, READD)}
    effects = effects_of(public, adoption.valid) if adoption.plan.settled else NO_EFFECTS
    committer = public.leaf(known.member)
    for settled in adoption.plan.settled:
        intent, by, candidate_id = settled.intent, "", b""
        if settled.state == ALREADY and is_done_by(effects, intent.kind, intent.body, before.own_leaf):
            by, candidate_id = "" if committer is None else peer_of(public, committer), known.id
            if intent.kind in (ADD, READD):
                wished.add(AddBody.decode(intent.body).peer)
        write_settled(transaction, adoption.after, settled, epoch, now_ms, candidate_id=candidate_id, by=by)
    return wished


def is_own_leave(valid: HardValid, holding: Holding) -> bool:
    """Whether we are removed by our own proposal to leave."""
    group = holding.group
    return group is not None and any(
        each.proposal == self_remove() and each.sender.leaf_index == group.own_leaf for each in valid.staged.proposals
    )


def write_settled(
    transaction: Transaction,
    holding: Holding,
    settled: Settled,
    epoch: int,
    now_ms: int,
    *,
    candidate_id: bytes = b"",
    by: str = "",
) -> None:
    """An intent that ended without a commit of ours; `by` whose and which did it, when it was carried along.

    An add of a batch whose key package turned out to be of no use has not ended: another one is claimed for it.
    """
    if settled.state == FAILED and give_back(transaction, settled.intent, settled.error or "", now_ms):
        return
    write_end(
        transaction,
        holding,
        settled.intent,
        settled.state,
        epoch,
        now_ms,
        candidate_id=candidate_id,
        by=by,
        error=settled.error,
    )


def write_end(
    transaction: Transaction,
    holding: Holding,
    intent: IntentRow,
    state: str,
    epoch: int,
    now_ms: int,
    *,
    candidate_id: bytes = b"",
    by: str = "",
    error: str | None = None,
) -> None:
    """An intent's end, in its own row and in the feed; `epoch` is the one in which it holds."""
    held = epoch if state in (DONE, ALREADY) else None
    transaction.update_intent(intent.intent_id, state, held, error)
    body = IntentBody(
        intent_id=intent.intent_id,
        kind=intent.kind,
        state=state,
        peer=by,
        epoch=held,
        candidate_id=candidate_id,
        error=error or "",
        latency_ms=now_ms - intent.created_ms,
    )
    transaction.append_feed(FeedRow(holding.group_id, feed.INTENT, epoch, None, None, body.encode(), now_ms))


def notice_row(holding: Holding, kind: str, text: str, now_ms: int) -> FeedRow:
    """Something to tell the user."""
    return FeedRow(holding.group_id, kind, holding.epoch, None, None, NoticeBody(text).encode(), now_ms)


def _successor(context: NodeContext, holding: Holding, known: Known, own: Built | None) -> Group | PublicGroup | None:
    """What a decided commit leads us to: the next epoch, its public half when we are cut off, None when removed.

    Our own successor was computed when the commit was made; another's by staging it. A false tag is as good as a
    secret that does not open: whoever decided could do without.
    """
    assert known.valid is not None
    assert holding.group is not None
    now, peer = context.now_ms() // 1000, context.identity.peer_id
    if own is not None and holding.is_cut_off:
        return own.successor.resuming(holding.group, now)
    if own is not None:
        return own.successor.following(holding.group)
    if holding.is_cut_off:
        return cut_off.followed(known.valid.staged, peer)
    try:
        staged = known.staged or stage(known.valid, holding.group, now, decided=True)
    except (UnopenableError, InvalidError) as error:
        log.error("cut off", group=short(holding.group_id), epoch=holding.epoch, reason=str(error))
        return cut_off.followed(known.valid.staged, peer)
    if staged.successor is None:
        return cut_off.followed(known.valid.staged, peer)
    return staged.successor.following(holding.group)


def _member_peer(adoption: Adoption) -> PeerId:
    """Whose commit it was."""
    present = adoption.before.public
    assert present is not None
    leaf = present.leaf(adoption.known.member)
    assert leaf is not None, "hard validity found the member"
    return peer_of(present, leaf)


def _decision_row(adoption: Adoption, committee: Committee, rivals: int, now_ms: int) -> FeedRow:
    decision, known, present = adoption.decision, adoption.known, adoption.before.public
    assert present is not None
    peers = {leaf_index: peer_of(present, leaf) for leaf_index, leaf in present.leaves()}
    committer = peers[known.member]
    body = DecisionBody(
        candidate_id=decision.id,
        committer_leaf=known.candidate.author,
        committer=committer,
        is_own=known.own,
        changes=_changes(adoption.valid, present, peers),
        view=decision.view,
        voters=tuple(peers[committee.seats[voter].leaf] for voter, _ in decision.certificate.signatures),
        quorum=committee.quorum,
        committee_size=committee.size,
        latency_ms=now_ms - known.first_heard_ms,
        rivals=rivals,
    )
    return FeedRow(present.group_id, feed.DECISION, decision.epoch + 1, committer, None, body.encode(), now_ms)


def _policy_text(context: NodeContext, adoption: Adoption) -> str:
    """Who changed how the group decides, and to what."""
    public, names = adoption.before.public, Names.of(context)
    assert public is not None
    author = public.leaf(adoption.known.member)
    assert author is not None
    old, new = policy_of(public.extensions), adoption.valid.voting.policy
    who = names.shown(peer_of(public, author))
    return f"{who} changed how the group decides: {amendment(old, new, names)}"


def _changes(valid: HardValid, present: PublicGroup, peers: dict[int, PeerId]) -> tuple[ChangeBody, ...]:
    """What the commit did, in the feed's words."""
    staged, after = valid.staged, valid.staged.successor
    if valid.replaced is not None:
        return (ChangeBody("resync", staged.committer, peers[valid.replaced]),)
    changes = [ChangeBody("add", each.leaf_index, peer_of(after, each.leaf)) for each in staged.adds]
    leaving = {each.sender.leaf_index for each in staged.proposals if each.proposal == self_remove()}
    changes += [
        ChangeBody("leave" if leaf_index in leaving else "remove", leaf_index, peers[leaf_index])
        for leaf_index in staged.removes
    ]
    committer = staged.committer
    before, now = present.leaf(committer), after.leaf(committer)
    if before is not None and now is not None:
        was_willing, is_willing = voter_of(before) is not None, voter_of(now) is not None
        if was_willing != is_willing:
            changes.append(ChangeBody("opt_in" if is_willing else "opt_out", committer, peers[committer]))
        if is_benched(present, committer) and not is_benched(after, committer):
            changes.append(ChangeBody("return", committer, peers[committer]))
    changes += [ChangeBody("bench", entry.leaf, peers[entry.leaf]) for entry in valid.policy.benched]
    if valid.policy.is_amended:
        changes.append(ChangeBody("policy", committer, peers[committer]))
    if not changes:
        changes.append(ChangeBody("update", committer, peers[committer]))
    return tuple(changes)
