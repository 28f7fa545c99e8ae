"""Staging a received Commit (RFC 9420 §12.4.2): every check first, the successor last, the present untouched (V162)."""

from collections.abc import Sequence
from dataclasses import replace

from mls.capabilities import check_suite_listed
from mls.checked_commit import CheckedCommit, PublicStaged
from mls.credentials import as_accepted
from mls.errors import InvalidError, OwnCommitError, UnopenableError
from mls.framing import AuthenticatedContent
from mls.handshake import given_proposals, unprotected
from mls.key_schedule import after_commit, receive_external_init, zero_secret
from mls.psks import NO_PSKS, Psks
from mls.state import GroupState
from mls.tree.kem import open_path
from mls.tree.private import TreeKeys
from mls.validation.leaves import check_lifetime


def stage_commit(
    state: GroupState,
    message: bytes,
    proposals: Sequence[bytes],
    now: int,
    *,
    psks: Psks = NO_PSKS,
    accepted: bool = False,
    known: PublicStaged | None = None,
) -> tuple[GroupState | None, CheckedCommit]:
    """(successor, what was checked); no successor where the Commit removes us (V169).

    `known`: what `PublicGroup.check_commit` said of it. If that was in this very epoch, by the same policy, and of this
    very content, it is not asked again.

    `accepted`: the group has long accepted it, and newcomers whose time was right then are not asked again (V071).

    First what everyone can judge and what only members can (tags, lifetimes), then what only we can: the PSKs, our path
    secret, and with them the confirmation tag. A failure of the last kind is UnopenableError, whatever its cause.
    """
    after, given = given_proposals(state, proposals)
    after, authenticated = unprotected(after, message)
    checked = None if known is None else known.checked
    if checked is None or not _is_of(checked, state, authenticated):
        config = state.config
        if accepted:
            config = replace(config, validate_credential=as_accepted(config.validate_credential))
        checked = state.public.check_content(authenticated, state.public.referred(authenticated, given), config)
    if checked.committer == state.own_leaf and not checked.is_external:
        raise OwnCommitError("our own commit")
    if not accepted:
        check_newcomers(state, checked, now)
    if state.own_leaf in checked.applied.removes:
        return None, checked
    return _opened(after, checked, now, psks), checked


def _is_of(checked: CheckedCommit, state: GroupState, authenticated: AuthenticatedContent) -> bool:
    """Whether this was said of this content, by whom we would ask ourselves."""
    judge, config = checked.judge, state.config
    if judge is None or not judge.is_same(state.public, config.validate_credential, config.policy):
        return False
    return checked.authenticated == authenticated


def check_newcomers(state: GroupState, checked: CheckedCommit, now: int) -> None:
    """What a member asks of added leaves by its own clock and settings (V069, V071, V072)."""
    for each in checked.applied.adds:
        if state.config.check_lifetimes:
            check_lifetime(each.leaf, now, state.config.lifetime_max_s)
        if state.config.check_suite_listed:
            check_suite_listed(each.leaf, state.suite.id)
    if checked.is_external and checked.commit.path is not None and state.config.check_suite_listed:
        check_suite_listed(checked.commit.path.leaf_node, state.suite.id)


def _opened(state: GroupState, checked: CheckedCommit, now: int, psks: Psks) -> GroupState:
    suite, successor = state.suite, checked.successor
    psk = state.psk_secret(checked.applied.psks, psks)
    init_secret = _init_secret(state, checked.applied.kem_output)
    state, keys = _own_update_applied(state, checked)
    commit_secret = zero_secret(suite)  # V159
    if checked.commit.path is not None:
        opened = open_path(
            checked.applied.tree,
            keys,
            checked.committer,
            checked.commit.path,
            checked.path_context.encode(),
            checked.applied.added_leaves,
        )
        keys, commit_secret = opened.keys, opened.commit_secret
    _, start = after_commit(suite, init_secret, commit_secret, psk, successor.context.encode())
    confirmed = successor.context.confirmed_transcript_hash
    tag = checked.authenticated.auth.confirmation_tag or b""
    if not suite.mac_verify(start.secrets.confirmation_key, confirmed, tag):  # V031, the last check of all
        raise UnopenableError("a confirmation tag that our secrets of the new epoch do not make", "V031")
    return state.entered(successor, state.signer, keys, start, tag, now)


def _init_secret(state: GroupState, kem_output: bytes | None) -> bytes:
    """This epoch's, or what a newcomer puts in its place (V143). It is every member's to judge (V105)."""
    if kem_output is None:
        return state.secrets.init_secret
    try:
        return receive_external_init(state.suite, kem_output, state.secrets.external_key(state.suite))
    except InvalidError as error:
        raise InvalidError("V105", f"an ExternalInit that does not decapsulate: {error.detail}") from error


def _own_update_applied(state: GroupState, checked: CheckedCommit) -> tuple[GroupState, TreeKeys]:
    """Our keys, with those of an Update of ours where the Commit carries it out."""
    if state.own_leaf not in checked.applied.updates:
        return state, state.keys
    leaf = checked.applied.tree.leaf(state.own_leaf)
    assert leaf is not None
    for own in state.own_proposals:
        if own.encryption_key is not None and own.encryption_key.public == leaf.encryption_key:
            renewed = replace(state, signer=own.signer or state.signer)
            return renewed, state.keys.with_leaf_key(own.encryption_key)
    raise UnopenableError("an Update of ours whose keys we do not remember")
