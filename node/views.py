"""Groups and peers, as the local API shows them. Reads rows and sessions only, and never waits."""

import shlex
from collections.abc import Iterable
from functools import partial
from typing import Final, cast

from msgspec.structs import asdict

from node import feed
from node.api import schema
from node.api.words import improves, survives
from node.context import NodeContext
from node.discovery.tally import Tally
from node.electorate import is_benched, peer_of, policy_of, voter_of
from node.health import Condition, Diagnosis, diagnose, silent_voters
from node.holding import Extra
from node.intent_views import pending_intent
from node.intents import DONE, LEAVE
from node.mailbox.standing import group_mailbox
from node.names import Names
from node.peer_id import PeerId
from node.policy_words import model_word
from node.session import Session
from node.store_rows import GroupRow
from node.transport_relay import Relays
from ordering import Committee, Model, Policy, survival


def group_summary(context: NodeContext, row: GroupRow, session: Session | None) -> schema.GroupSummary:
    """One group in one line."""
    public = None if session is None or row.removed else session.holding.public
    committee = None if session is None or public is None else session.agreement.instance.config.committee
    silent = () if committee is None else tuple(silent_voters(context, committee))
    own_seat = None if committee is None or session is None else committee.voter_of_leaf(session.agreement.own_leaf)
    health = diagnosis(context, row, session, silent)
    own, read = context.identity.peer_id, read_to(context, row.group_id)
    return schema.GroupSummary(
        group_id=row.group_id.hex(),
        name=row.name,
        epoch=row.epoch,
        member_count=0 if public is None else sum(1 for _ in public.leaves()),
        committee_size=0 if committee is None else committee.size,
        quorum=0 if committee is None else committee.quorum,
        voters_heard=0 if committee is None else committee.size - len(silent),
        is_member=not row.removed,
        is_voter=own_seat is not None,
        survives="" if committee is None else _survives(committee, Names.of(context)),
        unread_count=context.store.unread_count(row.group_id, feed.MESSAGE, read, own),
        health=health.state,
        health_text=health.text,
        next_step=health.next_step,
    )


def group_detail(context: NodeContext, row: GroupRow, session: Session | None) -> schema.GroupDetail:
    """Everything about one group; for one we are not in any more, what is left of it."""
    summary = asdict(group_summary(context, row, session))
    public = None if session is None else session.holding.public
    if session is None or public is None:
        return schema.GroupDetail(
            **summary,
            suite=0,
            suite_name="",
            model="byzantine",
            committee_max=0,
            faults=0,
            policy="auto",
            pins=(),
            delta_ms=0,
            delta_now_ms=0,
            survival=NO_SURVIVAL,
            view=0,
            awake=False,
            candidate_count=0,
            epoch_fingerprint="",
            decided_id=_decided_id(row),
            is_confirmed=not row.unconfirmed,
            members=(),
            pending=(),
        )
    names, instance = Names.of(context), session.agreement.instance
    committee, policy = instance.config.committee, policy_of(public.extensions)
    listed = tuple(members(context, session, names))
    return schema.GroupDetail(
        **summary,
        suite=int(public.suite.id),
        suite_name=public.suite.name,
        model=cast(schema.Model, model_word(policy.model)),
        committee_max=policy.size_max,
        faults=committee.faults,
        policy=policy.kind.value,
        pins=tuple(pin.decode(errors="replace") for pin in policy.pins),
        delta_ms=policy.delta_ms,
        delta_now_ms=round(1000 * instance.config.timing.delta_s),
        survival=_survival(committee, policy, summary["name"], listed),
        view=instance.view,
        awake=instance.awake_at_s is not None and instance.decision is None,
        candidate_count=sum(known.valid is not None for known in session.agreement.known.values()),
        epoch_fingerprint=session.fingerprint().hex(),
        decided_id=_decided_id(row),
        is_confirmed=not session.holding.unconfirmed,
        members=listed,
        pending=tuple(
            pending_intent(context, session, intent, names) for intent in context.store.open_intents(row.group_id)
        ),
        mailboxes=tuple(map(partial(group_mailbox, context, session), session.mailboxes.addresses)),
        mailbox_backlog=session.mailboxes.backlog,
    )


def finding_kind(tally: Tally) -> schema.FindingKind:
    """One way of finding peers."""
    return schema.FindingKind(
        name=tally.name,
        found=tally.found,
        reached=tally.reached,
        failures=tally.failures,
        failure=tally.failure,
        failed_at=tally.failed_ms / 1000 if tally.failures else None,
        counters=dict(tally.counters),
    )


def relaying(relays: Relays | None) -> schema.Relaying | None:
    """What this node carries for others."""
    lent = None if relays is None else relays.lent
    return None if lent is None else schema.Relaying(places=lent[0], circuits=lent[1])


NO_SURVIVAL: Final = schema.Survival(
    voters=0, quorum=0, offline_max=0, liars_max=0, forks_with=0, better_at=None, improvement=""
)


def _survives(committee: Committee, names: Names) -> str:
    is_crash, sole = committee.model is Model.CRASH, committee.seats[0].identity.decode()
    sole_voter = "this device" if sole == names.own else names.shown(sole)
    return survives(committee.size, committee.quorum, committee.faults, is_crash=is_crash, sole_voter=sole_voter)


def _survival(committee: Committee, policy: Policy, group: str, listed: tuple[schema.Member, ...]) -> schema.Survival:
    numbers = survival(committee.size, committee.model)
    willing = sum(member.is_willing and not member.is_benched for member in listed)
    return schema.Survival(
        voters=numbers.voters,
        quorum=numbers.quorum,
        offline_max=numbers.offline,
        liars_max=numbers.liars,
        forks_with=numbers.forks_with,
        better_at=numbers.better_at,
        improvement=improves(
            shlex.quote(group),
            voters=numbers.voters,
            better_at=numbers.better_at,
            willing=willing,
            size_max=policy.size_max,
            policy=policy.kind,
            could=tuple(each.name or each.peer_id for each in listed if not each.is_willing),
            is_crash=committee.model is Model.CRASH,
        ),
    )


def members(context: NodeContext, session: Session, names: Names) -> Iterable[schema.Member]:
    """The leaves of a group, in order."""
    public = session.holding.public
    if public is None:
        return
    connected, now_s = context.transport.peers(), context.now_s()
    committee = session.agreement.instance.config.committee
    proven = session.agreement.eviction.book.convicting(public)
    for leaf_index, leaf in public.leaves():
        peer = peer_of(public, leaf)
        is_self = leaf_index == session.agreement.own_leaf
        heard_s = context.heard_s.get(peer)
        yield schema.Member(
            leaf_index=leaf_index,
            peer_id=peer,
            name=names.of_peer(peer),
            is_self=is_self,
            is_willing=voter_of(leaf) is not None,
            is_benched=is_benched(public, leaf_index),
            is_proven_liar=leaf_index in proven,
            seat=committee.voter_of_leaf(leaf_index),
            is_connected=is_self or peer in connected,
            last_heard_s=0.0 if is_self else None if heard_s is None else max(0.0, now_s - heard_s),
            is_waiting=(session.group_id, peer) in context.waiting,
        )


def diagnosis(context: NodeContext, row: GroupRow, session: Session | None, silent: tuple[PeerId, ...]) -> Diagnosis:
    """The group's health."""
    if session is None and (refusal := context.refused_groups.get(row.group_id)) is not None:
        return Diagnosis(
            "other_rules",
            f"{refusal}: it takes no part; what was received can still be read",
            "run the version of conclave that the group's members run, or found the group anew with this one",
        )
    if session is None and not row.removed:
        return Diagnosis("catching_up", "the group is being opened from the store", "its log says why if this stays")
    names = Names.of(context)
    public = None if session is None else session.holding.public
    committee = None if session is None or public is None else session.agreement.instance.config.committee
    by = Extra.decode(row.extra).welcomed_by if row.unconfirmed else None
    adder = None if by is None or public is None else public.leaf(by)
    return diagnose(
        Condition(
            stored=row.health,
            epoch=row.epoch,
            is_removed=row.removed,
            has_left=row.removed and has_left(context, row.group_id),
            is_unconfirmed=row.unconfirmed,
            is_behind=session is not None and _is_behind(context, row, session),
            committee_size=0 if committee is None else committee.size,
            quorum=0 if committee is None else committee.quorum,
            silent=tuple(map(names.shown, silent)),
            own=context.identity.peer_id,
            proven=() if session is None or public is None else _proven(session, names),
            rescue="" if session is None else session.rescuing.describe(),
            is_dead=session is not None and session.rescuing.is_dead,
            gap=None if session is None else session.catching_up.gap,
            fragments=() if session is None else tuple(map(names.shown, session.agreement.standings.fragments)),
            welcomed_by="" if adder is None or public is None else names.shown(peer_of(public, adder)),
        )
    )


def _proven(session: Session, names: Names) -> tuple[str, ...]:
    """The members that signed contradicting votes, as our user knows them."""
    public = session.holding.public
    pieces = {} if public is None else session.agreement.eviction.book.convicting(public)
    return tuple(names.shown(piece.peer) for piece in pieces.values())


def has_left(context: NodeContext, group_id: bytes) -> bool:
    """Whether the last time that we were in the group ended by our own wish."""
    ended = [each for each in context.store.intents(group_id) if each.kind == LEAVE and each.state == DONE]
    row = context.store.group(group_id)
    return bool(ended) and row is not None and ended[-1].epoch == row.epoch + 1


def _is_behind(context: NodeContext, row: GroupRow, session: Session) -> bool:
    if session.mailboxes.ended_epoch == row.epoch:
        return True
    return session.catching_up.is_behind or context.store.decision(row.group_id, row.epoch) is not None


def _decided_id(row: GroupRow) -> str:
    return "" if row.epoch == 0 and not row.removed else Extra.decode(row.extra).prev.hex()


def read_to(context: NodeContext, group_id: bytes) -> int:
    """The feed number up to which a group's messages were read here."""
    return int(context.store.meta(read_mark(group_id)) or b"0")


def read_mark(group_id: bytes) -> str:
    """Where the store keeps that number."""
    return f"read/{group_id.hex()}"


def peer_info(context: NodeContext, peer: PeerId, sessions: Iterable[Session], names: Names) -> schema.PeerInfo:
    """One peer, and the groups we share with it."""
    known = context.store.peer(peer)
    return schema.PeerInfo(
        peer_id=peer,
        name=names.of_peer(peer),
        addresses=known.addresses if known else (),
        groups=tuple(
            session.group_id.hex()
            for session in sessions
            if session.holding.group is not None and peer in session.agreement.roster
        ),
    )
