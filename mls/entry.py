"""Ways into a group that others have made: by a Welcome, or by a commit of one's own."""

from collections.abc import Collection, Sequence

from mls.config import GroupConfig
from mls.crypto import Random, SignaturePrivateKey
from mls.extensions import Extensions
from mls.external_commit import ExternalRequest, Newcomer, join_by_commit
from mls.group import Group
from mls.join import join_by_welcome
from mls.key_packages import KeyPackageBundle
from mls.psks import NO_PSKS, PskName, Psks
from mls.results import ExternalJoin, Joined
from mls.tree.nodes import Capabilities, Credential

_DEFAULTS = GroupConfig()


def join(
    welcome: bytes,
    bundles: Sequence[KeyPackageBundle],
    *,
    tree: bytes | None,
    now: int,
    config: GroupConfig = _DEFAULTS,
    known_group_ids: Collection[bytes] = (),
    psks: Psks = NO_PSKS,
    predecessor: Group | None = None,
) -> Group:
    """The group a Welcome leads into (§12.4.3.1); `tree` is needed where it is not inside.

    `predecessor` is the group that this one continues, when it is the successor after a ReInit or a branch.
    """
    return open_welcome(
        welcome,
        bundles,
        tree=tree,
        now=now,
        config=config,
        known_group_ids=known_group_ids,
        psks=psks,
        predecessor=predecessor,
    ).group


def open_welcome(
    welcome: bytes,
    bundles: Sequence[KeyPackageBundle],
    *,
    tree: bytes | None,
    now: int,
    config: GroupConfig = _DEFAULTS,
    known_group_ids: Collection[bytes] = (),
    psks: Psks = NO_PSKS,
    predecessor: Group | None = None,
) -> Joined:
    """`join`, with who signed the GroupInfo and which bundle was used up."""
    former = None if predecessor is None else predecessor.state
    joined = join_by_welcome(welcome, bundles, tree, now, config, known_group_ids, psks, former)
    return Joined(Group(joined.state), joined.signer_leaf, joined.bundle)


def external_join(
    group_info: bytes,
    signer: SignaturePrivateKey,
    credential: Credential,
    capabilities: Capabilities,
    random: Random,
    now: int,
    *,
    tree: bytes | None = None,
    leaf_extensions: Extensions = (),
    replaces: int | None = None,
    inject: Sequence[PskName] = (),
    psks: Psks = NO_PSKS,
    references: Sequence[bytes] = (),
    authenticated_data: bytes = b"",
    known_group_ids: Collection[bytes] = (),
    config: GroupConfig = _DEFAULTS,
) -> ExternalJoin:
    """An external Commit into the group of a GroupInfo that carries `external_pub` (§12.4.3.2).

    `replaces` is the leaf that was ours, to be removed: the way back for who has lost its state. `inject` names PSKs of
    `psks` to mix in. `references` are the SelfRemove messages of the epoch. A group of `known_group_ids` is
    not joined a second time (V189), but with `replaces`. Raises MalformedError and InvalidError for a GroupInfo that
    does not let us in (V146).
    """
    newcomer = Newcomer(signer, credential, capabilities, leaf_extensions)
    request = ExternalRequest(replaces, inject, psks, references, authenticated_data, known_group_ids)
    made = join_by_commit(group_info, tree, newcomer, request, random, now, config)
    return ExternalJoin(made.message, Group(made.state), made.summary)
