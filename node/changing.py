"""Handing changes to a group's session, waiting for their end where the caller wants to, and saying how they ended."""

from collections.abc import Awaitable
from typing import Final, TypeVar

import msgspec
import trio

from mls import MlsError
from node import intent_views, intents
from node.api import schema
from node.api.errors import ApiError, ErrorCode
from node.context import NodeContext
from node.electorate import RuleError
from node.names import Names
from node.peer_id import PeerId
from node.policies import PolicyBody
from node.session import Session
from node.store_rows import IntentRow
from node.welcoming import WELCOME_KIND
from ordering import Model, PolicyKind

T = TypeVar("T")

CONSENT_S_MAX: Final = 2.0  # for a newcomer to say whether it is in or has to ask its user
CONSENT_POLL_S: Final = 0.02
ANSWER_S_MAX: Final = 30.0  # for a session to take a change or a message in; only one that has died takes longer
_FINAL: Final = (intents.DONE, intents.ALREADY, intents.FAILED)


async def change(session: Session, kind: str, body: bytes, request: schema.ChangeRequest) -> schema.IntentResult:
    """Ask a session for a change, and say how it ended, or that it goes on."""
    accepted = await answered(session.submit(kind, body))
    return await outcome(session.context, accepted, session, request)


async def outcome(
    context: NodeContext, intent: IntentRow, session: Session | None, request: schema.ChangeRequest
) -> schema.IntentResult:
    """The end of an intent, if it comes in time."""
    if request.wait and session is not None and intent.state not in _FINAL:
        with trio.move_on_after(request.timeout_s):
            await session.intent_ended(intent.intent_id)
    return intent_views.intent_result(context, context.store.intent(intent.intent_id) or intent, session)


async def with_consent(
    context: NodeContext, peer: PeerId, result: schema.IntentResult, request: schema.ChangeRequest
) -> schema.IntentResult:
    """Of somebody just added, whether their user still has to accept: the newcomer is given a moment to say."""
    group_id = bytes.fromhex(result.group_id)
    if result.state != "certified" or not request.wait or peer not in context.transport.peers():
        return result
    with trio.move_on_after(CONSENT_S_MAX):
        while (group_id, peer) not in context.waiting:
            if not any(row.recipient == peer and row.kind == WELCOME_KIND for row in context.store.outbox(group_id)):
                return result
            await trio.sleep(CONSENT_POLL_S)
        return msgspec.structs.replace(
            result, text=f"{result.text}; waits for {Names.of(context).shown(peer)} to accept"
        )
    return result


def already(session: Session, kind: schema.IntentKind, text: str) -> schema.IntentResult:
    """Nothing to do, so nothing was begun: there is no intent to ask after."""
    return schema.IntentResult(
        intent_id="",
        group_id=session.group_id.hex(),
        kind=kind,
        state="already",
        text=text,
        epoch=session.holding.epoch,
    )


async def answered(asked: Awaitable[T]) -> T:
    """What a group's session answers; `ApiError` when it refuses, or does not answer because it is being restarted."""
    with trio.move_on_after(ANSWER_S_MAX):
        try:
            return await asked
        except (MlsError, RuleError) as error:
            raise ApiError(ErrorCode.REFUSED, str(error)) from error
    raise ApiError(
        ErrorCode.BUSY, f"the group did not answer for {ANSWER_S_MAX:.0f} s", "see what became of it: group show"
    )


def policy_wish(
    kind: schema.PolicyKind | None,
    pins: tuple[str, ...],
    model: schema.Model | None,
    size_max: int | None,
    delta_ms: int | None = None,
) -> PolicyBody:
    """What is wanted of the policy; `ApiError` for what makes no sense."""
    models = {"crash": Model.CRASH, "byzantine": Model.BYZANTINE, None: None}
    try:
        wanted = None if kind is None else PolicyKind(kind)
        return PolicyBody(wanted, tuple(dict.fromkeys(pins)), models[model], size_max, delta_ms)
    except ValueError as error:
        raise ApiError(
            ErrorCode.BAD_REQUEST, str(error), "name the members that vote: --policy pinned --pin PEER ..."
        ) from error


def rescue_result(session: Session) -> schema.RescueResult:
    """Where the rescue of a group stands."""
    rescuing = session.rescuing
    record, recognised = rescuing.record, rescuing.record.recognised is not None
    return schema.RescueResult(
        group_id=session.group_id.hex(),
        successor_id="" if record.endorsed is None else record.endorsed.successor.hex(),
        is_recognised=recognised,
        endorsed=rescuing.endorsed_count,
        needed=rescuing.needed,
        text=rescuing.describe(),
    )
