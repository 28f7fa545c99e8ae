"""What the targets are aimed at: a live group, a Welcome for Carol, and a liar who signs and seals what it is told."""

from dataclasses import replace
from functools import cached_property

from mls import OwnCommit
from mls.authentication import sign
from mls.framing import (
    AuthenticatedContent,
    FramedContent,
    FramedContentAuthData,
    MLSMessage,
    PrivateContentAAD,
    PrivateMessage,
    PublicMessage,
    SenderData,
    SenderDataAAD,
    frame,
)
from mls.group_info import GroupInfo, sign_group_info
from mls.key_packages import KeyPackageBundle
from mls.key_schedule import sender_data_key, welcome_key, welcome_secret, zero_secret
from mls.private_protection import guarded_nonce
from mls.proposals import PreSharedKey, add, group_context_extensions, reinit, remove, self_remove
from mls.psks import external_psk, psk_id
from mls.public_protection import to_be_tagged
from mls.registry import ContentType, ExtensionType, SenderType, WireFormat
from mls.tree.nodes import Extension
from mls.tree.ratchet import RatchetTree
from mls.welcome import WELCOME_LABEL, EncryptedGroupSecrets, GroupSecrets, Welcome
from tests.mls.stranger import Stranger
from tests.mls.world import NOW, POLICY, Members

NAME = external_psk(b"a key")


class Scene:
    """Alice is the liar, Bob judges, Carol is invited; Dave and Erin give the tree some height."""

    def __init__(self) -> None:
        self.world = Members("alice", "bob", "dave", "erin", extensions=(Extension(ExtensionType(POLICY), b"rules"),))
        for name in ("erin", "alice", "dave"):
            self.world.commit(name)
        self.alice, self.bob = self.world["alice"], self.world["bob"]
        self.suite = self.alice.suite
        self.zoe = Stranger.named(self.world, "zoe")
        self.bundle: KeyPackageBundle = self.world.client("carol").package()

    @cached_property
    def invitation(self) -> OwnCommit:
        return self.alice.commit(self.world.random, NOW, proposals=[add(self.bundle.key_package)])

    @cached_property
    def welcome(self) -> Welcome:
        assert self.invitation.welcome is not None
        body = MLSMessage.decode(self.invitation.welcome).body
        assert isinstance(body, Welcome)
        return body

    @cached_property
    def group_secrets(self) -> GroupSecrets:
        sealed = self.welcome.secrets[0].encrypted_group_secrets
        context = self.welcome.encrypted_group_info
        return GroupSecrets.decode(self.suite.decrypt_with_label(self.bundle.init_key, WELCOME_LABEL, context, sealed))

    @cached_property
    def group_info(self) -> GroupInfo:
        return GroupInfo.decode(self.suite.aead_open(*self._welcome_key, self.welcome.encrypted_group_info))

    @property
    def _welcome_key(self) -> tuple[bytes, bytes]:
        secret = welcome_secret(self.suite, self.group_secrets.joiner_secret, zero_secret(self.suite))
        return welcome_key(self.suite, secret)

    # --- real messages, to start from ---

    @cached_property
    def commits(self) -> list[bytes]:
        random = self.world.random
        psk = self.alice.pre_shared_key(NAME, random)
        changed = group_context_extensions((Extension(ExtensionType(POLICY), b"other rules"),))
        return [
            self.alice.commit(random, NOW).message,
            self.invitation.message,
            self.alice.commit(random, NOW, proposals=[remove(2), changed]).message,
            self.alice.commit(random, NOW, proposals=[psk], psks={NAME: bytes(32)}).message,
            self.alice.commit(random, NOW, proposals=[reinit(b"next", self.suite.id)]).message,
            self.zoe.commit(PreSharedKey(psk_id(NAME, bytes(32)))),
            self.alice.commit(random, NOW, wire_format=WireFormat.MLS_PRIVATE_MESSAGE).message,
        ]

    @cached_property
    def proposals(self) -> list[bytes]:
        proposal = add(self.bundle.key_package)
        return [
            self.alice.propose_update(self.world.random)[1],
            self.alice.propose(proposal, self.world.random, NOW)[1],
            self.alice.propose(self_remove(), self.world.random, NOW)[1],
            self.alice.propose(remove(3), self.world.random, NOW, wire_format=WireFormat.MLS_PRIVATE_MESSAGE)[1],
        ]

    @cached_property
    def words(self) -> bytes:
        return self.alice.seal(b"words", self.world.random, b"beside")[1]

    # --- the liar's work ---

    def said_by_alice(self, content: FramedContent) -> bytes:
        """A PublicMessage with this content, its signature and membership tag right (a confirmation tag never is).

        A newcomer's is signed with Zoe's key, which its path leaf had when it was a seed.
        """
        context, state = self.alice.context.encode(), self.alice.state
        by_joiner = content.sender.sender_type is SenderType.NEW_MEMBER_COMMIT
        signer = self.zoe.signer if by_joiner else state.signer
        signature = sign(self.suite, signer, WireFormat.MLS_PUBLIC_MESSAGE, content, context)
        tag = bytes(self.suite.hash_size) if content.content_type is ContentType.COMMIT else None
        auth = FramedContentAuthData(signature, tag)
        signed = AuthenticatedContent(WireFormat.MLS_PUBLIC_MESSAGE, content, auth)
        if content.sender.sender_type is not SenderType.MEMBER:
            return frame(PublicMessage(content, auth))
        return frame(
            PublicMessage(content, auth, self.suite.mac(state.secrets.membership_key, to_be_tagged(signed, context)))
        )

    def sealed_by_alice(self, content_type: ContentType, plaintext: bytes, sender_data: bytes | None = None) -> bytes:
        """A PrivateMessage with these bytes inside, or with these for sender data."""
        state, group = self.alice.state, self.alice
        key, _ = state.secret_tree.next_key(group.own_leaf, content_type)
        aad = PrivateContentAAD(group.group_id, group.epoch, content_type, b"").encode()
        ciphertext = self.suite.aead_seal(key.key, guarded_nonce(key, bytes(4)), plaintext, aad)
        if sender_data is None:
            sender_data = SenderData(group.own_leaf, key.generation, bytes(4)).encode()
        aad = SenderDataAAD(group.group_id, group.epoch, content_type).encode()
        data_key, data_nonce = sender_data_key(self.suite, state.secrets.sender_data_secret, ciphertext)
        sealed = self.suite.aead_seal(data_key, data_nonce, sender_data, aad)
        return frame(PrivateMessage(group.group_id, group.epoch, content_type, b"", sealed, ciphertext))

    def welcome_with(self, group_secrets: bytes, group_info: bytes | None = None) -> bytes:
        """A Welcome for Carol with these bytes inside, sealed as they should be."""
        sealed_info = self.welcome.encrypted_group_info
        if group_info is not None:
            sealed_info = self.suite.aead_seal(*self._welcome_key, group_info)
        init_key = self.bundle.key_package.init_key
        sealed = self.suite.encrypt_with_label(init_key, WELCOME_LABEL, sealed_info, group_secrets, self.world.random)
        entry = EncryptedGroupSecrets(self.bundle.reference, sealed)
        return frame(Welcome(self.suite.id, (entry,), sealed_info))

    def signed_info(self, info: GroupInfo, *, of_alice: bool = False) -> GroupInfo:
        """As Alice's before or after the commit that invites Carol."""
        signer = (self.alice if of_alice else self.invitation.successor).state.signer
        return sign_group_info(
            self.suite, signer, info.group_context, info.extensions, info.confirmation_tag, info.signer
        )

    def info_for(self, tree: bytes) -> GroupInfo:
        """A GroupInfo of Alice's whose context names the hash of this tree. Raises what decoding the tree raises."""
        tree_hash = RatchetTree.decode(self.suite, tree).tree_hash()
        extensions = (Extension(ExtensionType.RATCHET_TREE, tree),)
        context = replace(self.group_info.group_context, tree_hash=tree_hash)
        return self.signed_info(replace(self.group_info, group_context=context, extensions=extensions))
