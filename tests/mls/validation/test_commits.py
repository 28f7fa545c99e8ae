"""Each rule about a Commit's frame, path and outcome, broken by a commit that is right in all else."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from mls.checked_commit import PublicStaged
from mls.config import GroupConfig
from mls.credentials import CredentialUse
from mls.crypto import HPKECiphertext
from mls.errors import InvalidError, MalformedError, OwnCommitError, UnopenableError
from mls.framing import FramedContentAuthData, MLSMessage, PublicMessage, Sender, frame
from mls.group import Group
from mls.leaf_change import LeafChange
from mls.policy import Policy
from mls.proposals import Add, GroupContextExtensions, ProposalBody, Remove, add, group_context_extensions, remove
from mls.public_group import PublicGroup
from mls.registry import ExtensionType, LeafNodeSource, SenderType, WireFormat
from mls.tree.kem import UpdatePath
from mls.tree.nodes import Extension, Lifetime
from tests.mls.forge import Forger, refused
from tests.mls.world import NOW, POLICY, Members


class Table(Members):
    """Alice breaks rules, Bob judges; four members, so that paths have two nodes."""

    def __init__(self, config: GroupConfig | None = None) -> None:
        super().__init__("alice", "bob", "carol", "dave", config=config)
        for name in ("alice", "bob", "carol", "dave"):
            self.commit(name)
        self.alice = Forger(self["alice"], self.random)

    def refuses(self, rule: str, message: bytes, *proposals: bytes) -> None:
        refused(self["bob"], rule, message, proposals)


@pytest.fixture
def table() -> Table:
    return Table()


def public_message(message: bytes) -> PublicMessage:
    body = MLSMessage.decode(message).body
    assert isinstance(body, PublicMessage)
    return body


# --- framing ---


def test_v172_no_epoch_follows_the_last_one(table: Table) -> None:
    """A founder could begin there; its first commit is refused, not counted to where no number is."""
    last = replace(table["alice"].context, epoch=(1 << 64) - 1)
    groups = {
        name: Group(replace(group.state, public=replace(group.public, context=last)))
        for name, group in table.groups.items()
    }
    earlier = replace(groups["alice"].public, context=replace(last, epoch=last.epoch - 1))
    commit = Forger(Group(replace(groups["alice"].state, public=earlier)), table.random).commit()
    alice = Forger(groups["alice"], table.random)
    content = replace(public_message(commit).content, epoch=last.epoch)
    refused(
        groups["bob"], "V172", alice.message(alice.signed(content, tag=public_message(commit).auth.confirmation_tag))
    )
    with pytest.raises(InvalidError, match="V172"):
        groups["alice"].commit(table.random, NOW)


def test_v020_a_commit_for_another_group(table: Table) -> None:
    table.refuses("V020", table.alice.commit(edit_content=lambda content: replace(content, group_id=b"another")))


@pytest.mark.parametrize("step", [-1, 1])
def test_v021_a_commit_of_another_epoch(table: Table, step: int) -> None:
    table.refuses("V021", table.alice.commit(edit_content=lambda each: replace(each, epoch=each.epoch + step)))


@pytest.mark.parametrize("leaf_index", [7, 0xFFFFFFFF])
def test_v023_a_commit_from_nobody(table: Table, leaf_index: int) -> None:
    sender = Sender.member(leaf_index)
    table.refuses("V023", table.alice.commit(edit_content=lambda content: replace(content, sender=sender)))


def test_v028_a_commit_in_the_name_of_another_member(table: Table) -> None:
    sender = Sender.member(table.leaf("dave"))
    table.refuses("V028", table.alice.commit(edit_content=lambda content: replace(content, sender=sender)))


def test_v153_a_commit_signed_with_the_key_its_path_brings(table: Table) -> None:
    """It is signed with the leaf of its own epoch; only the next GroupInfo is signed with the new one."""
    fresh = table["alice"].suite.generate_signature_key(table.random)
    message = table.alice.commit(
        edit_leaf=lambda leaf: replace(leaf, signature_key=fresh.public), leaf_signer=fresh, signer=fresh
    )
    table.refuses("V028", message)
    right = table.alice.commit(edit_leaf=lambda leaf: replace(leaf, signature_key=fresh.public), leaf_signer=fresh)
    assert table["bob"].stage(right, now=NOW).successor is not None


def test_v025_a_commit_from_an_external_sender(table: Table) -> None:
    message = public_message(table.alice.commit())
    content = replace(message.content, sender=Sender(SenderType.EXTERNAL, sender_index=0))
    table.refuses("V025", frame(PublicMessage(content, message.auth)))


def test_v027_a_commit_from_a_sender_of_proposals(table: Table) -> None:
    message = public_message(table.alice.commit())
    content = replace(message.content, sender=Sender(SenderType.NEW_MEMBER_PROPOSAL))
    table.refuses("V027", frame(PublicMessage(content, message.auth)))


def test_v148_a_proposal_where_a_commit_belongs(table: Table) -> None:
    table.refuses("V148", table.alice.proposal(Remove(table.leaf("dave"))))


def test_v030_a_commit_without_a_confirmation_tag_has_no_encoding(table: Table) -> None:
    data = table.alice.commit()
    message = public_message(data)
    tag = message.auth.confirmation_tag
    assert tag is not None
    with pytest.raises(MalformedError, match="V004"):
        table["bob"].stage(data.replace(bytes([len(tag)]) + tag, b""), now=NOW)


def test_v037_a_commit_without_the_tag_of_a_member(table: Table) -> None:
    """An observer cannot tell; a member can, and blames nobody for it: anyone may have changed the tag on the way."""
    message = public_message(table.alice.commit())
    changed = frame(replace(message, membership_tag=bytes(32)))
    assert table["bob"].public.check_commit(changed).committer == table.leaf("alice")
    with pytest.raises(InvalidError) as wrong:
        table["bob"].stage(changed, now=NOW)
    assert wrong.value.rule == "V037"


@pytest.mark.parametrize("tag", [b"", bytes(32), bytes(31)])
def test_v031_a_confirmation_tag_that_our_secrets_do_not_make(table: Table, tag: bytes) -> None:
    """Everything public about it is right: it does not open for us, and that is all we can say."""
    message = public_message(table.alice.commit())
    signed = table.alice.signed(message.content)
    changed = table.alice.message(replace(signed, auth=FramedContentAuthData(signed.auth.signature, tag)))
    before = table["bob"].to_bytes()
    assert table["bob"].public.check_commit(changed).has_path
    with pytest.raises(UnopenableError) as wrong:
        table["bob"].stage(changed, now=NOW)
    assert wrong.value.rule == "V031"
    assert table["bob"].to_bytes() == before


def test_v034_a_wire_format_that_the_group_excludes() -> None:
    table = Table(GroupConfig(wire_formats=frozenset((WireFormat.MLS_PUBLIC_MESSAGE,))))
    made = table["alice"].commit(table.random, NOW, wire_format=WireFormat.MLS_PRIVATE_MESSAGE)
    with pytest.raises(InvalidError) as wrong:
        table["bob"].stage(made.message, now=NOW)
    assert wrong.value.rule == "V034"


def test_v034_an_observer_judges_public_messages_only(table: Table) -> None:
    made = table["alice"].commit(table.random, NOW, wire_format=WireFormat.MLS_PRIVATE_MESSAGE)
    with pytest.raises(InvalidError) as wrong:
        table["bob"].public.check_commit(made.message)
    assert wrong.value.rule == "V034"


def test_our_own_commit_is_told_from_a_broken_one(table: Table) -> None:
    """Its secrets are in the OwnCommit it came with; from the wire nobody can take in their own (V163)."""
    for wire_format in (WireFormat.MLS_PUBLIC_MESSAGE, WireFormat.MLS_PRIVATE_MESSAGE):
        made = table["alice"].commit(table.random, NOW, wire_format=wire_format)
        with pytest.raises(OwnCommitError):
            made.present.stage(made.message, now=NOW)


# --- the path's leaf ---


def test_v150_no_path_where_one_is_needed(table: Table) -> None:
    table.refuses("V150", table.alice.commit(path=False))
    bodies: list[ProposalBody] = [Remove(table.leaf("dave")), GroupContextExtensions(())]
    for body in bodies:
        table.refuses("V150", table.alice.commit(body, path=False))
    _, update = table["carol"].propose_update(table.random)
    table.refuses("V150", table.alice.commit(references=[update], path=False), update)
    newcomer = Add(table.client("erin").package().key_package)
    table.refuses("V150", table.alice.commit(newcomer, bodies[0], path=False))


def test_a_commit_of_adds_needs_no_path(table: Table) -> None:
    message = table.alice.commit(Add(table.client("erin").package().key_package), path=False)
    staged = table["bob"].stage(message, now=NOW)
    assert not staged.summary.has_path


def test_v075_a_path_leaf_made_for_an_update(table: Table) -> None:
    """V151."""

    def edit(path: UpdatePath) -> UpdatePath:
        leaf = replace(path.leaf_node, leaf_node_source=LeafNodeSource.UPDATE, parent_hash=None)
        return replace(path, leaf_node=table.alice.resigned(leaf))

    table.refuses("V075", table.alice.commit(edit_path=edit))


def test_v062_a_path_leaf_with_a_wrong_signature(table: Table) -> None:
    def edit(path: UpdatePath) -> UpdatePath:
        return replace(path, leaf_node=replace(path.leaf_node, signature=bytes(64)))

    table.refuses("V062", table.alice.commit(edit_path=edit))


def test_v062_a_path_leaf_signed_for_another_group(table: Table) -> None:
    def edit(path: UpdatePath) -> UpdatePath:
        group = table["alice"]
        leaf = path.leaf_node.signed(group.suite, group.state.signer, b"another", group.own_leaf)
        return replace(path, leaf_node=leaf)

    table.refuses("V062", table.alice.commit(edit_path=edit))


def test_v077_a_path_leaf_that_keeps_its_encryption_key(table: Table) -> None:
    old = table["alice"].state.own_leaf_node.encryption_key

    def edit(path: UpdatePath) -> UpdatePath:
        return replace(path, leaf_node=table.alice.resigned(replace(path.leaf_node, encryption_key=old)))

    table.refuses("V077", table.alice.commit(edit_path=edit))


def test_v067_a_path_leaf_with_an_extension_it_does_not_list(table: Table) -> None:
    """V082."""
    extra = (Extension(ExtensionType(0xF123), b""),)
    table.refuses("V067", table.alice.commit(edit_leaf=lambda leaf: replace(leaf, extensions=extra)))


def test_v080_a_path_leaf_that_no_longer_supports_the_group() -> None:
    table = Table()
    table.commit("alice", proposals=[group_context_extensions((Extension(ExtensionType(POLICY), b"rules"),))])
    table.alice = Forger(table["alice"], table.random)
    message = table.alice.commit(
        edit_leaf=lambda leaf: replace(leaf, capabilities=replace(leaf.capabilities, extensions=()))
    )
    table.refuses("V080", message)


def test_v078_a_path_leaf_with_the_signature_key_of_another(table: Table) -> None:
    """V082: signed by that other, to be right in all else."""
    dave = table["dave"].state.signer
    message = table.alice.commit(edit_leaf=lambda leaf: replace(leaf, signature_key=dave.public), leaf_signer=dave)
    table.refuses("V078", message)


# --- the path's nodes ---


def test_v152_a_path_with_a_key_of_the_tree(table: Table) -> None:
    taken = table["carol"].state.own_leaf_node.encryption_key

    def edit(path: UpdatePath) -> UpdatePath:
        return replace(path, nodes=(replace(path.nodes[0], encryption_key=taken), *path.nodes[1:]))

    table.refuses("V152", table.alice.commit(edit_path=edit))


def test_v152_a_path_with_one_key_twice(table: Table) -> None:
    def edit(path: UpdatePath) -> UpdatePath:
        twin = replace(path.nodes[0], encryption_key=path.nodes[1].encryption_key)
        return replace(path, nodes=(twin, *path.nodes[1:]))

    table.refuses("V152", table.alice.commit(edit_path=edit))


@pytest.mark.parametrize("more", [False, True])
def test_v154_a_path_of_another_length(table: Table, more: bool) -> None:
    def edit(path: UpdatePath) -> UpdatePath:
        return replace(path, nodes=(*path.nodes, path.nodes[-1]) if more else path.nodes[:-1])

    table.refuses("V154", table.alice.commit(edit_path=edit))


@pytest.mark.parametrize("more", [False, True])
def test_v155_a_path_node_for_another_number_of_recipients(table: Table, more: bool) -> None:
    def edit(path: UpdatePath) -> UpdatePath:
        first = path.nodes[0]
        sealed = first.encrypted_path_secret
        changed = replace(first, encrypted_path_secret=sealed * 2 if more else ())
        return replace(path, nodes=(changed, *path.nodes[1:]))

    table.refuses("V155", table.alice.commit(edit_path=edit))


def test_v156_a_path_leaf_with_another_parent_hash(table: Table) -> None:
    def edit(path: UpdatePath) -> UpdatePath:
        return replace(path, leaf_node=table.alice.resigned(replace(path.leaf_node, parent_hash=bytes(32))))

    table.refuses("V156", table.alice.commit(edit_path=edit))


def test_v014_a_path_with_a_key_that_is_none(table: Table) -> None:
    def edit(path: UpdatePath) -> UpdatePath:
        return replace(path, nodes=(replace(path.nodes[0], encryption_key=b"short"), *path.nodes[1:]))

    table.refuses("V014", table.alice.commit(edit_path=edit))


def test_v157_a_path_that_opens_for_some_only(table: Table) -> None:
    """The members a malicious committer cuts off ask for recovery; they cannot show that anything is wrong."""

    def swap(path: UpdatePath) -> UpdatePath:
        last = path.nodes[-1]
        sealed = [HPKECiphertext.decode(each) for each in last.encrypted_path_secret]
        broken = tuple(replace(each, ciphertext=bytes(len(each.ciphertext))).encode() for each in sealed)
        return replace(path, nodes=(*path.nodes[:-1], replace(last, encrypted_path_secret=broken)))

    message = table.alice.commit(edit_path=swap)
    before = table["carol"].to_bytes()
    assert table["bob"].stage(message, now=NOW).successor is not None
    assert table["carol"].public.check_commit(message) == table["bob"].public.check_commit(message)
    for cut_off in ("carol", "dave"):
        with pytest.raises(UnopenableError) as wrong:
            table[cut_off].stage(message, now=NOW)
        assert wrong.value.rule == "V157"
    assert table["carol"].to_bytes() == before


def test_v213_a_kem_output_that_is_none_cuts_off_and_no_more(table: Table) -> None:
    def swap(path: UpdatePath) -> UpdatePath:
        last = path.nodes[-1]
        sealed = [HPKECiphertext.decode(each) for each in last.encrypted_path_secret]
        broken = tuple(replace(each, kem_output=bytes(32)).encode() for each in sealed)
        return replace(path, nodes=(*path.nodes[:-1], replace(last, encrypted_path_secret=broken)))

    message = table.alice.commit(edit_path=swap)
    assert table["bob"].stage(message, now=NOW).successor is not None
    with pytest.raises(UnopenableError):
        table["carol"].stage(message, now=NOW)


@pytest.mark.parametrize(
    "layout",
    [
        pytest.param(lambda kem, text: b"\x40" + kem + text, id="a length that is not minimal"),
        pytest.param(lambda kem, text: kem + b"\xc0" + text, id="a reserved length"),
        pytest.param(lambda kem, _: kem, id="one field"),
        pytest.param(lambda kem, text: kem + text + b"\x01x", id="three fields"),
        pytest.param(lambda kem, _: kem + b"\x3fx", id="past the end"),
    ],
)
def test_v003_v004_a_ciphertext_for_somebody_else_is_laid_out_right(
    table: Table, layout: Callable[[bytes, bytes], bytes]
) -> None:
    """Whom it is for opens it, but everybody reads it: or members would come to disagree about the Commit."""

    def spoil(path: UpdatePath) -> UpdatePath:
        last = path.nodes[-1]
        sealed = HPKECiphertext.decode(last.encrypted_path_secret[-1])
        kem, text = (bytes((len(each),)) + each for each in (sealed.kem_output, sealed.ciphertext))
        spoilt = (*last.encrypted_path_secret[:-1], layout(kem, text))
        return replace(path, nodes=(*path.nodes[:-1], replace(last, encrypted_path_secret=spoilt)))

    message = table.alice.commit(edit_path=spoil)
    for name in ("bob", "carol", "dave"):
        with pytest.raises(MalformedError):
            table[name].public.check_commit(message)
        with pytest.raises(MalformedError):
            table[name].stage(message, now=NOW)


# --- clocks, settings and the application's word ---


@pytest.mark.parametrize("lifetime", [Lifetime(NOW - 100, NOW - 1), Lifetime(NOW + 1, NOW + 100)])
def test_v071_an_add_outside_its_lifetime(table: Table, lifetime: Lifetime) -> None:
    """V070: a clock's judgement. An observer has none, a sender refuses too, and a setting turns it off."""
    package = table.client("erin").package(lifetime=lifetime).key_package
    message = table.alice.commit(Add(package))
    assert table["bob"].public.check_commit(message).adds[0].leaf == package.leaf_node
    with pytest.raises(InvalidError) as wrong:
        table["bob"].stage(message, now=NOW)
    assert wrong.value.rule == "V071"
    with pytest.raises(InvalidError) as wrong:
        table["alice"].commit(table.random, NOW, proposals=[add(package)])
    assert wrong.value.rule == "V070"


def test_v071_is_a_setting() -> None:
    table = Table(GroupConfig(check_lifetimes=False))
    package = table.client("erin").package(lifetime=Lifetime(0, 1)).key_package
    assert table["bob"].stage(table.alice.commit(Add(package)), now=NOW).successor is not None


def test_v072_an_add_with_too_long_a_lifetime(table: Table) -> None:
    package = table.client("erin").package(lifetime=Lifetime(0, 2**64 - 1)).key_package
    with pytest.raises(InvalidError) as wrong:
        table["bob"].stage(table.alice.commit(Add(package)), now=NOW)
    assert wrong.value.rule == "V072"


@pytest.mark.parametrize("rule", ["V055", "V057"])
def test_v055_v057_a_credential_the_application_does_not_accept(rule: str) -> None:
    """It is asked about newcomers and about changed keys, and told what they replace."""
    asked: list[CredentialUse] = []

    def accept(use: CredentialUse) -> bool:
        asked.append(use)
        return use.credential.identity not in (b"erin", b"alice")

    table = Table()
    fresh = table["alice"].suite.generate_signature_key(table.random)
    if rule == "V055":
        message = table.alice.commit(Add(table.client("erin").package().key_package))
    else:
        message = table.alice.commit(
            edit_leaf=lambda leaf: replace(leaf, signature_key=fresh.public), leaf_signer=fresh
        )
    with pytest.raises(InvalidError) as wrong:
        table["bob"].public.check_commit(message, accept=accept)
    assert wrong.value.rule == rule
    former = None if rule == "V055" else table["alice"].state.own_leaf_node
    assert [use.replaces for use in asked] == [former]


class NoRemovals(Policy):
    """Nobody is thrown out."""

    def allows_commit(self, group: PublicGroup, commit: PublicStaged) -> bool:
        return not commit.removes


def test_v130_a_commit_that_the_application_does_not_allow() -> None:
    """Observers, members and the committer itself ask the same, of a commit that is right in all else."""
    table = Table(GroupConfig(policy=NoRemovals()))
    gone, bob = Remove(table.leaf("dave")), table["bob"]
    message, before = table.alice.commit(gone), bob.to_bytes()
    assert bob.public.check_commit(message).removes == (table.leaf("dave"),)
    with pytest.raises(InvalidError) as by_anyone:
        bob.public.check_commit(message, policy=NoRemovals())
    with pytest.raises(InvalidError) as by_member:
        bob.stage(message, now=NOW)
    with pytest.raises(InvalidError) as by_committer:
        table["alice"].commit(table.random, NOW, proposals=[remove(table.leaf("dave"))])
    assert {each.value.rule for each in (by_anyone, by_member, by_committer)} == {"V130"}
    assert bob.to_bytes() == before


def test_an_unchanged_credential_is_not_asked_about_again(table: Table) -> None:
    assert table["bob"].public.check_commit(table.alice.commit(), accept=lambda _: False).has_path


def test_a_leaf_change_reaches_everyone(table: Table) -> None:
    """New leaf extensions and a new signature key, by the path's leaf."""
    fresh = table["alice"].suite.generate_signature_key(table.random)
    extensions = (Extension(ExtensionType(POLICY), b"leaf data"),)
    table.commit("alice", leaf=LeafChange(extensions=extensions, signer=fresh))
    assert table.agree()
    leaf = table["bob"].members()[table.leaf("alice")].leaf
    assert (leaf.extensions, leaf.signature_key) == (extensions, fresh.public)
    table.commit("alice")
    assert table.agree()
