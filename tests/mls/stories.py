"""Cases that take a group to make, in the formats of the published vectors.

Equal seeds give equal bytes; only ML-KEM, which the library encapsulates with randomness of its own, differs each time.
"""

from mls.credentials import basic
from mls.crypto import suite
from mls.extensions import ExternalSender, external_senders_extension
from mls.framing import FramedContent, FramedContentAuthData, MLSMessage, PublicMessage, Sender
from mls.framing import frame as framed
from mls.proposals import (
    Add,
    Commit,
    ExternalInit,
    GroupContextExtensions,
    Proposal,
    ProposalOrRef,
    ReInit,
    Update,
    add,
    remove,
)
from mls.psks import ExternalPsk
from mls.registry import CipherSuiteId, ContentType, CredentialType, ProtocolVersion, WireFormat
from mls.results import OwnCommit
from mls.tree.nodes import Capabilities
from mls.welcome import GroupSecrets, PathSecret
from tests.mls.answers import Case, transcript, tree_operation, tree_validation
from tests.mls.test_protection import Published
from tests.mls.tree import world as trees
from tests.mls.tree.world import World
from tests.mls.world import NOW, Client, Dice, Members

PSK_ID, PSK = b"told over the phone", b"a secret of any length"


class Modest(Members):
    """Members whose leaves say no more of them than they have to: recorded bytes add up."""

    def client(self, name: str) -> Client:
        client = super().client(name)
        own_suite, basic_only = (CipherSuiteId(client.suite_id),), (CredentialType.BASIC,)
        client.capabilities = Capabilities((ProtocolVersion.MLS10,), own_suite, (), (), basic_only)
        return client


class Meeting:
    """Alice founds a group and adds a listener, who is whoever plays the case later."""

    def __init__(self, suite_id: int, *, inline_tree: bool = True) -> None:
        self.world = Modest("alice", suite_id=suite_id, seed=f"recorded {suite_id}")
        self.bundle = self.world.client("listener").package()
        self.world.psks = {ExternalPsk(PSK_ID): PSK}
        self.added = self.world.commit("alice", proposals=[add(self.bundle.key_package)], inline_tree=inline_tree)
        self.epochs: list[Case] = []

    @property
    def welcome(self) -> str:
        assert self.added.welcome is not None
        return self.added.welcome.hex()

    def say(self, name: str, plaintext: bytes) -> Case:
        """A message for the listener, to be put among those of whichever epoch it arrives in."""
        self.world.groups[name], message = self.world[name].seal(plaintext, self.world.random)
        return {"message": message.hex(), "sender": self.world.leaf(name), "plaintext": plaintext.hex()}

    def enter(self, made: OwnCommit, *references: bytes) -> list[Case]:
        """Record the epoch that this commit begins; its messages go into what is returned."""
        messages: list[Case] = []
        self.epochs.append(
            {
                "proposals": [each.hex() for each in references],
                "commit": made.message.hex(),
                "epoch_authenticator": made.successor.epoch_authenticator.hex(),
                "messages": messages,
            }
        )
        return messages


def passive_client(suite_id: int, *, brief: bool = False) -> Case:
    """The life of a member who only listens: messages out of order and late, every kind of commit, its own removal.

    The published format, and `messages` of each epoch and the `removal` beside. A `brief` life has but the commits that
    add, renew a path and remove: post-quantum ones are large.
    """
    meeting = Meeting(suite_id)
    world, random = meeting.world, meeting.world.random
    first, second = meeting.say("alice", b"hello"), meeting.say("alice", b"out of order")

    meeting.enter(world.add("alice", "carol", force_path=False)).append(meeting.say("carol", b"new here"))
    late = meeting.say("alice", b"late")
    meeting.enter(world.commit("carol", authenticated_data=b"nothing but new keys")).append(late)
    if not brief:
        world.groups["carol"], update = world["carol"].propose_update(random)
        psk = world["alice"].pre_shared_key(ExternalPsk(PSK_ID), random)
        private = WireFormat.MLS_PRIVATE_MESSAGE
        made = world.commit("alice", proposals=[psk], references=[update], wire_format=private)
        meeting.enter(made, update).append(meeting.say("carol", b""))
        meeting.enter(world.remove("alice", "carol")).append(meeting.say("alice", b"she left"))
    removal = world.commit("alice", proposals=[remove(1)])

    bundle = meeting.bundle
    return {
        "cipher_suite": suite_id,
        "external_psks": [{"psk_id": PSK_ID.hex(), "psk": PSK.hex()}],
        "key_package": framed(bundle.key_package).hex(),
        "signature_priv": bundle.signer.to_bytes().hex(),
        "encryption_priv": bundle.encryption_key.to_bytes().hex(),
        "init_priv": bundle.init_key.to_bytes().hex(),
        "welcome": meeting.welcome,
        "ratchet_tree": None,
        "initial_epoch_authenticator": meeting.added.successor.epoch_authenticator.hex(),
        "messages": [second, first],
        "epochs": meeting.epochs,
        "removal": removal.message.hex(),
    }


def welcome(suite_id: int) -> Case:
    meeting = Meeting(suite_id, inline_tree=False)
    return {
        "cipher_suite": suite_id,
        "init_priv": meeting.bundle.init_key.to_bytes().hex(),
        "key_package": framed(meeting.bundle.key_package).hex(),
        "signer_pub": meeting.world.client("alice").signer.public.hex(),
        "welcome": meeting.welcome,
    }


def transcript_hashes(suite_id: int) -> Case:
    world = Modest("alice", suite_id=suite_id, seed=f"transcript {suite_id}")
    before = world["alice"].public.interim_transcript_hash
    made = world.commit("alice", force_path=False, proposals=[add(world.client("bob").package().key_package)])
    message = MLSMessage.decode(made.message).body
    assert isinstance(message, PublicMessage)
    return transcript(
        {
            "cipher_suite": suite_id,
            "confirmation_key": made.successor.state.secrets.confirmation_key.hex(),
            "authenticated_content": message.authenticated.encode().hex(),
            "interim_transcript_hash_before": before.hex(),
        }
    )


def message_protection(suite_id: int) -> Case:
    row, random = suite(suite_id), Dice(f"protection {suite_id}")
    signer = row.generate_signature_key(random)
    proposal, commit = remove(2), Commit((ProposalOrRef.by_value(remove(2)),), None)
    case: Case = {"cipher_suite": suite_id, "group_id": random(32).hex(), "epoch": 0x0102030405060708}
    case |= {name: random(row.hash_size).hex() for name in ("tree_hash", "confirmed_transcript_hash")}
    case |= {"signature_priv": signer.to_bytes().hex(), "signature_pub": signer.public.hex()}
    secrets = ("encryption_secret", "sender_data_secret", "membership_key")
    case |= {name: random(row.hash_size).hex() for name in secrets}
    ends = Published(case)
    return case | {
        "proposal": proposal.encode().hex(),
        "proposal_priv": ends.seal_private(proposal).hex(),
        "proposal_pub": ends.seal_public(proposal).hex(),
        "commit": commit.encode().hex(),
        "commit_priv": ends.seal_private(commit).hex(),
        "commit_pub": ends.seal_public(commit).hex(),
        "application": b"hello".hex(),
        "application_priv": ends.seal_private(b"hello").hex(),
    }


def messages() -> Case:
    """One of each structure that the published file has."""
    world = Modest("alice", "bob", seed="messages")
    alice, random = world["alice"], world.random
    package = world.client("carol").package().key_package
    _, proposed = alice.propose(add(package), random, NOW)
    world.groups["bob"], update = world["bob"].propose_update(random)
    made = alice.commit(random, NOW, proposals=[add(package)], references=[update], inline_tree=False)
    assert made.welcome is not None
    extensions = (external_senders_extension((ExternalSender(random(32), basic(b"an authority")),)),)
    in_the_open = FramedContent(b"a group", 1, Sender.member(0), b"", ContentType.APPLICATION, b"said in the open")
    cases: dict[str, bytes] = {
        "mls_welcome": made.welcome,
        "mls_group_info": alice.group_info(external_pub=True),
        "mls_key_package": framed(package),
        "ratchet_tree": alice.tree_bytes(),
        "group_secrets": GroupSecrets(random(32), PathSecret(random(32)), ()).encode(),
        "add_proposal": Add(package).encode(),
        "update_proposal": proposal_in(update).body.encode(),
        "remove_proposal": remove(1).body.encode(),
        "pre_shared_key_proposal": alice.pre_shared_key(ExternalPsk(PSK_ID), random).body.encode(),
        "re_init_proposal": ReInit(b"the next group", 1, CipherSuiteId(2), extensions).encode(),
        "external_init_proposal": ExternalInit(random(32)).encode(),
        "group_context_extensions_proposal": GroupContextExtensions(extensions).encode(),
        "commit": commit_in(made.message).encode(),
        "public_message_application": framed(PublicMessage(in_the_open, FramedContentAuthData(random(64)), random(32))),
        "public_message_proposal": proposed,
        "public_message_commit": made.message,
        "private_message": alice.seal(b"hello", random)[1],
    }
    return {name: data.hex() for name, data in cases.items()}


def proposal_in(message: bytes) -> Proposal:
    body = MLSMessage.decode(message).body
    assert isinstance(body, PublicMessage)
    assert isinstance(body.content.content, Proposal)
    return body.content.content


def commit_in(message: bytes) -> Commit:
    body = MLSMessage.decode(message).body
    assert isinstance(body, PublicMessage)
    assert isinstance(body.content.content, Commit)
    return body.content.content


def a_tree(suite_id: int) -> Case:
    """Five leaves of eight, of which one is blank and one unmerged at the root, after commits from both ends."""
    world = World(4, suite(suite_id))
    world.commit(3)
    world.remove(1)
    world.commit(0)
    world.add()
    world.add()
    world.remove(2)
    return tree_validation(
        {"cipher_suite": suite_id, "tree": world.tree.encode().hex(), "group_id": trees.GROUP_ID.hex()}
    )


def tree_operations() -> list[Case]:
    """Into a blank leaf, into a full tree, an Update, a Remove, and one that halves the tree."""
    full, gap = World(2), World(2)
    gap.remove(1)
    gap.commit(0)
    newcomer = Modest("a newcomer").client("a newcomer").package().key_package
    before = full.tree
    full.update(1)
    leaf = full.tree.leaf(1)
    assert leaf is not None
    ways = [
        (before, 0, add(newcomer)),
        (gap.tree, 0, add(newcomer)),
        (before, 1, Proposal.of(Update(leaf))),
        (before, 0, remove(1)),
        (World(3).tree, 0, remove(2)),
    ]
    return [
        tree_operation(
            {
                "cipher_suite": 1,
                "proposal": proposal.encode().hex(),
                "proposal_sender": sender,
                "tree_before": tree.encode().hex(),
            }
        )
        for tree, sender, proposal in ways
    ]
