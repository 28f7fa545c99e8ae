"""Rules for a Welcome that continues another group (RFC 9420 §11.2, §11.3, §12.4.3.1): its PSK says so."""

from collections.abc import Iterable, Sequence

from mls.crypto import CipherSuite
from mls.errors import InvalidError, StaleEpochError, UnopenableError
from mls.group_context import GroupContext
from mls.policy import Policy
from mls.psks import PreSharedKeyID, ResumptionPsk
from mls.registry import ResumptionPSKUsage
from mls.state import GroupState
from mls.tree.nodes import LeafNode


def check_welcome_psks(suite: CipherSuite, ids: Sequence[PreSharedKeyID]) -> PreSharedKeyID | None:
    """What may stand among the PSKs of a Welcome (V227, V186); the one that names the group it continues, if any."""
    if any(len(each.psk_nonce) != suite.hash_size for each in ids):
        raise InvalidError("V227", "a psk_nonce that is not KDF.Nh bytes long")
    if len(set(ids)) != len(ids):
        raise InvalidError("V227", "one PreSharedKeyID twice")
    continuing = [each for each in ids if each.usage in (ResumptionPSKUsage.REINIT, ResumptionPSKUsage.BRANCH)]
    if len(continuing) > 1:
        raise InvalidError("V186", "a Welcome that continues two groups")
    return continuing[0] if continuing else None


def check_continues(
    psk: PreSharedKeyID | None,
    predecessor: GroupState | None,
    context: GroupContext,
    leaves: Sequence[LeafNode],
    policy: Policy,
) -> None:
    """The group to be joined is what its predecessor allows; `leaves` are its members."""
    if psk is None:
        if predecessor is not None and predecessor.public.reinit is not None:
            raise InvalidError("V228", "a Welcome without the PSK of the group that a ReInit has ended")
        if predecessor is not None:
            raise InvalidError("V199", "a Welcome that continues no group, where a branch of one is joined")
        return
    if context.epoch != 1:
        raise InvalidError("V196", f"a group that continues another is joined at epoch 1, not {context.epoch}")
    if predecessor is None:
        raise UnopenableError("a Welcome that continues a group which is not at hand", "V185")
    assert isinstance(psk.body, ResumptionPsk)
    if psk.usage is ResumptionPSKUsage.REINIT:
        _check_reinit(psk.body, predecessor, context)
        check_all_in(predecessor.leaves_in(psk.body.psk_epoch), leaves, policy)
    else:
        _check_branch(psk.body, predecessor, context)
        check_all_known(leaves, _leaves_then(predecessor, psk.body.psk_epoch), policy)


def _check_reinit(psk: ResumptionPsk, predecessor: GroupState, context: GroupContext) -> None:
    reinit = predecessor.public.reinit
    if reinit is None:
        raise InvalidError("V197", "the successor of a group that no ReInit has ended")
    if (psk.psk_group_id, psk.psk_epoch) != (predecessor.public.group_id, predecessor.public.epoch):
        raise InvalidError("V198", "a PSK of another epoch than the one the ReInit began")
    terms = (reinit.group_id, reinit.version, reinit.cipher_suite, reinit.extensions)
    if (context.group_id, context.version, context.cipher_suite, context.extensions) != terms:
        raise InvalidError("V197", "a group on other terms than the ReInit's")


def _check_branch(psk: ResumptionPsk, predecessor: GroupState, context: GroupContext) -> None:
    if psk.psk_group_id != predecessor.public.group_id:
        raise InvalidError("V199", "a branch of another group")
    ended = predecessor.public.reinit
    if ended is not None and (context.group_id == ended.group_id or psk.psk_epoch == predecessor.public.epoch):
        raise InvalidError("V228", "a branch in the place of the group that follows a ReInit")
    former = predecessor.public.context
    if (context.version, context.cipher_suite) != (former.version, former.cipher_suite):
        raise InvalidError("V199", "a branch of another version or cipher suite than the group it is of")


def _leaves_then(predecessor: GroupState, epoch: int) -> tuple[LeafNode, ...]:
    try:
        return predecessor.leaves_in(epoch)
    except StaleEpochError as error:
        raise UnopenableError(f"a branch of epoch {epoch}, whose members are forgotten", "V207") from error


def check_all_in(former: Iterable[LeafNode], leaves: Sequence[LeafNode], policy: Policy) -> None:
    """Everybody of the old group is in the new one (V198)."""
    if not {policy.client_of(leaf) for leaf in leaves}.issuperset(policy.client_of(leaf) for leaf in former):
        raise InvalidError("V198", "a successor group without somebody of the old one")


def check_all_known(leaves: Iterable[LeafNode], former: Sequence[LeafNode], policy: Policy) -> None:
    """Everybody of the branch is in the group it is of (V199)."""
    if not {policy.client_of(leaf) for leaf in former}.issuperset(policy.client_of(leaf) for leaf in leaves):
        raise InvalidError("V199", "a branch with somebody who is not in the group")
