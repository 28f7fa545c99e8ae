"""All that a member holds of a group, as one frozen value; the verbs (`commit`, `stage`, `application`) work on it."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Self

from mls.config import GroupConfig
from mls.crypto import CipherSuite, HpkePrivateKey, SignaturePrivateKey
from mls.errors import MisuseError
from mls.framing import AuthenticatedContent
from mls.key_schedule import EpochSecrets, EpochStart, zero_secret
from mls.past_epochs import Past, PastEpoch, changes_between, leaves_then, rank_of, retained
from mls.psks import PreSharedKeyID, PskName, Psks, resumption_psk, secret_of
from mls.public_group import PublicGroup
from mls.secret_tree import SecretTree
from mls.tree.nodes import LeafNode
from mls.tree.private import TreeKeys


@dataclass(frozen=True, slots=True)
class OwnProposal:
    """A proposal we sent in this epoch, and the keys it brings if it is our Update.

    Our own PrivateMessage cannot be opened by us; `digest` (SHA-256 of the message) finds its content again.
    """

    digest: bytes
    authenticated: AuthenticatedContent
    encryption_key: HpkePrivateKey | None = field(default=None, repr=False)
    signer: SignaturePrivateKey | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class GroupState:
    """One member's view of one epoch; secret where `PublicGroup` is not."""

    public: PublicGroup
    signer: SignaturePrivateKey
    keys: TreeKeys
    secrets: EpochSecrets
    secret_tree: SecretTree
    confirmation_tag: bytes  # of the Commit that began this epoch
    own_proposals: tuple[OwnProposal, ...] = ()
    past: Past = ()
    resumption: tuple[tuple[int, bytes], ...] = field(default=(), repr=False)  # (epoch, PSK), newest first; V206
    first_epoch: int = 0  # the one we came in by; of earlier ones we never had a secret
    config: GroupConfig = field(default_factory=GroupConfig, repr=False)

    @classmethod
    def begun(
        cls,
        public: PublicGroup,
        signer: SignaturePrivateKey,
        keys: TreeKeys,
        start: EpochStart,
        confirmation_tag: bytes,
        config: GroupConfig,
    ) -> Self:
        """The first epoch we are in."""
        return cls(
            public=public,
            signer=signer,
            keys=keys,
            secrets=start.secrets,
            secret_tree=SecretTree.start(public.suite, start.encryption_secret, public.tree.leaf_count),
            confirmation_tag=confirmation_tag,
            first_epoch=public.epoch,
            config=config,
        )

    @property
    def suite(self) -> CipherSuite:
        return self.public.suite

    @property
    def own_leaf(self) -> int:
        return self.keys.leaf_index

    @property
    def own_leaf_node(self) -> LeafNode:
        leaf = self.public.tree.leaf(self.own_leaf)
        assert leaf is not None, "a member's own leaf is not blank"
        return leaf

    @property
    def resumption_psks(self) -> Psks:
        """The resumption keys of this epoch and of those before it that are still remembered (§8.6)."""
        kept = ((self.public.epoch, self.secrets.resumption_psk), *self.resumption)
        psks: dict[PskName, bytes] = {resumption_psk(self.public.group_id, epoch): psk for epoch, psk in kept}
        return MappingProxyType(psks)

    def psk_secret(self, ids: Sequence[PreSharedKeyID], psks: Psks) -> bytes:
        """What a Commit of this epoch takes in (V160): keys of ours first. Raises UnopenableError (V149, V207)."""
        if not ids:
            return zero_secret(self.suite)
        return secret_of(self.suite, ids, (self.resumption_psks, psks), "V149")

    def check_open(self) -> None:
        """Raises MisuseError once a ReInit has ended the group (V168)."""
        if self.public.reinit is not None:
            raise MisuseError("a group that a ReInit has ended says nothing more (V168)")

    def leaves_in(self, epoch: int) -> tuple[LeafNode, ...]:
        """The members of this epoch or of a past one. Raises StaleEpochError where it is forgotten."""
        if epoch == self.public.epoch:
            return tuple(leaf for _, leaf in self.public.tree.members())
        return leaves_then(self.past, rank_of(self.past, epoch), self.public.tree)

    def entered(
        self,
        public: PublicGroup,
        signer: SignaturePrivateKey,
        keys: TreeKeys,
        start: EpochStart,
        confirmation_tag: bytes,
        now: int,
    ) -> Self:
        """The next epoch; this one joins those that are past, without the secrets that made its successor (V050)."""
        check_moment(now)
        ended = PastEpoch(
            self.public.context,
            changes_between(self.public.tree, public.tree),
            self.secrets.sender_data_secret,
            self.secret_tree,
            now,
        )
        return replace(
            self,
            public=public,
            signer=signer,
            keys=keys.matching(public.tree),
            secrets=start.secrets,
            secret_tree=SecretTree.start(public.suite, start.encryption_secret, public.tree.leaf_count),
            confirmation_tag=confirmation_tag,
            own_proposals=(),
            past=retained((ended, *self.past), now, self.config),
            resumption=((self.public.epoch, self.secrets.resumption_psk), *self.resumption)[
                : self.config.resumption_psk_count
            ],
        )

    def resuming(self, former: Self, now: int) -> Self:
        """This state, begun by a Commit of ours from outside, with what the state we had before can still open.

        The epochs in between, of which we never had a secret, are missing from its past.
        """
        if former.public.group_id != self.public.group_id or former.public.epoch >= self.public.epoch:
            raise MisuseError("not an earlier state of this group")
        ended = PastEpoch(
            former.public.context,
            changes_between(former.public.tree, self.public.tree),
            former.secrets.sender_data_secret,
            former.secret_tree,
            now,
        )
        return replace(
            self,
            past=retained((ended, *former.past), now, self.config),
            resumption=((former.public.epoch, former.secrets.resumption_psk), *former.resumption)[
                : self.config.resumption_psk_count
            ],
            first_epoch=former.first_epoch,
        )

    def pruned(self, now: int) -> Self:
        """Without what has left the windows by now (V022, V048, V050); this very value where nothing has."""
        before = now - self.config.out_of_order_age_s
        past = tuple(each.without_old_keys(before) for each in retained(self.past, now, self.config))
        secret_tree = self.secret_tree.without_old_keys(before)
        if secret_tree is self.secret_tree and all(map(operator.is_, past, self.past)) and len(past) == len(self.past):
            return self
        return replace(self, past=past, secret_tree=secret_tree)

    def following(self, present: Self) -> Self:
        """This successor of `present`, its record of past epochs brought up to where `present` stands now (V044)."""
        if not self.past or self.past[0].context != present.public.context:
            raise MisuseError("not the successor of that epoch")
        ended = replace(self.past[0], secret_tree=present.secret_tree)
        return replace(self, past=retained((ended, *present.past), ended.ended_at, self.config))


def check_moment(now: int) -> None:
    """Raises MisuseError for what is no integer: it would be kept, and no snapshot could be made of it."""
    if not isinstance(now, int):
        raise MisuseError(f"time is an integer of unix seconds, not {now!r}")
