"""Each rule about proposals, broken by a commit that is right in all else (RFC 9420 §12.1, §12.2)."""

from dataclasses import replace

import pytest

from mls.crypto import suite
from mls.extensions import RequiredCapabilities, required_capabilities_extension
from mls.framing import Sender
from mls.key_packages import KEY_PACKAGE_LABEL, KeyPackage
from mls.proposals import (
    Add,
    ExternalInit,
    GroupContextExtensions,
    PreSharedKey,
    ReInit,
    Remove,
    SelfRemove,
    Update,
    group_context_extensions,
)
from mls.psks import ExternalPsk, PreSharedKeyID, ResumptionPsk
from mls.registry import (
    CipherSuiteId,
    ExtensionType,
    LeafNodeSource,
    ProtocolVersion,
    PSKType,
    ResumptionPSKUsage,
    SenderType,
)
from mls.tree.nodes import Extension, LeafNode
from tests.mls.forge import Forger, instead, referring, refused
from tests.mls.world import NOW, POLICY, Client, Members


class Table(Members):
    """Alice breaks rules; Bob judges; Carol and Dave are there to be changed."""

    def __init__(self) -> None:
        super().__init__("alice", "bob", "carol", "dave")
        self.alice = Forger(self["alice"], self.random)

    def refuses(self, rule: str, message: bytes, *proposals: bytes) -> None:
        refused(self["bob"], rule, message, proposals)

    def update_of(self, name: str, **fields: object) -> LeafNode:
        """A well-made Update leaf of a member, with some fields as given."""
        group = self[name]
        key = group.suite.generate_hpke_key(self.random)
        leaf = replace(
            group.state.own_leaf_node,
            encryption_key=key.public,
            leaf_node_source=LeafNodeSource.UPDATE,
            lifetime=None,
            parent_hash=None,
        )
        return Forger(group, self.random).resigned(replace(leaf, **fields))  # type: ignore[arg-type]


@pytest.fixture
def table() -> Table:
    return Table()


def test_the_forger_is_believed_when_it_breaks_no_rule(table: Table) -> None:
    """Otherwise the refusals below would prove nothing."""
    package = table.client("erin").package()
    update = Forger(table["carol"], table.random).proposal(Update(table.update_of("carol")))
    message = table.alice.commit(
        Add(package.key_package), Remove(table.leaf("dave")), GroupContextExtensions(()), references=[update]
    )
    staged = table["bob"].stage(message, proposals=[update], now=NOW)
    assert staged.successor is not None
    assert staged.summary.updates == (table.leaf("carol"),)
    assert staged.summary.removes == (table.leaf("dave"),)
    assert [each.leaf for each in staged.summary.adds] == [package.key_package.leaf_node]


# --- single proposals ---


@pytest.mark.parametrize("leaf_index", [9, 0xFFFFFFFF])
def test_v098_a_removal_of_nobody(table: Table, leaf_index: int) -> None:
    message = table.alice.commit(edit_content=instead(Remove(leaf_index)))
    table.refuses("V098", message)


def test_v098_a_removal_of_a_blank_leaf(table: Table) -> None:
    gone = table.leaf("carol")
    table.remove("alice", "carol")
    table.alice = Forger(table["alice"], table.random)
    table.refuses("V098", table.alice.commit(edit_content=instead(Remove(gone))))


def test_v073_an_add_with_a_leaf_made_for_an_update(table: Table) -> None:
    package = table.client("erin").package().key_package
    leaf = replace(package.leaf_node, leaf_node_source=LeafNodeSource.UPDATE, lifetime=None)
    table.refuses("V073", table.alice.commit(Add(_repackaged(table.client("erin"), package, leaf_node=leaf))))


def test_v083_an_add_for_another_cipher_suite(table: Table) -> None:
    package = table.client("erin").package().key_package
    other = _repackaged(table.client("erin"), package, cipher_suite=CipherSuiteId(3))
    table.refuses("V083", table.alice.commit(Add(other)))


def test_v062_an_add_whose_leaf_signature_is_wrong(table: Table) -> None:
    """V081, V084: the leaf's content changed under its old signature."""
    package = table.client("erin").package().key_package
    leaf = replace(package.leaf_node, credential=replace(package.leaf_node.credential, value=b"mallory"))
    table.refuses("V062", table.alice.commit(Add(_repackaged(table.client("erin"), package, leaf_node=leaf))))


def test_v085_an_add_whose_package_signature_is_wrong(table: Table) -> None:
    """V094, V114."""
    package = table.client("erin").package().key_package
    table.refuses("V085", table.alice.commit(Add(replace(package, signature=package.leaf_node.signature))))


def test_v086_an_add_with_one_key_for_two_purposes(table: Table) -> None:
    package = table.client("erin").package().key_package
    same = _repackaged(table.client("erin"), package, init_key=package.leaf_node.encryption_key)
    table.refuses("V086", table.alice.commit(Add(same)))


@pytest.mark.parametrize("key", [b"", b"short", b"x" * 33])
def test_v014_an_add_whose_init_key_is_no_key(table: Table, key: bytes) -> None:
    """V087: it cannot be welcomed, so the commit around it is made for its form only."""
    package = table.client("erin").package().key_package
    message = table.alice.commit(edit_content=instead(Add(_repackaged(table.client("erin"), package, init_key=key))))
    table.refuses("V014", message)


def test_v066_an_add_whose_leaf_leaves_out_its_credential_type(table: Table) -> None:
    table.refuses("V066", table.alice.commit(Add(_with_capabilities(table.client("erin"), credentials=(2,)))))


def test_v067_an_add_whose_leaf_has_an_extension_it_does_not_list(table: Table) -> None:
    client = table.client("erin")
    package = client.package().key_package
    leaf = replace(package.leaf_node, extensions=(Extension(ExtensionType(0xF123), b""),))
    table.refuses("V067", table.alice.commit(Add(_resigned(client, package, leaf))))


def test_v008_an_add_whose_leaf_has_an_extension_twice(table: Table) -> None:
    client = table.client("erin")
    package = client.package().key_package
    leaf = replace(package.leaf_node, extensions=(Extension(ExtensionType(POLICY), b""),) * 2)
    table.refuses("V008", table.alice.commit(Add(_resigned(client, package, leaf))))


def test_v010_an_add_whose_leaf_has_an_extension_of_another_object(table: Table) -> None:
    client = table.client("erin")
    package = client.package().key_package
    leaf = replace(package.leaf_node, extensions=(Extension(ExtensionType.EXTERNAL_PUB, b"\x00"),))
    table.refuses("V010", table.alice.commit(Add(_resigned(client, package, leaf))))


def test_v009_an_add_whose_leaf_has_undecodable_extension_data(table: Table) -> None:
    client = table.client("erin")
    package = client.package().key_package
    leaf = replace(package.leaf_node, extensions=(Extension(ExtensionType.APPLICATION_ID, b"\x05abc"),))
    table.refuses("V009", table.alice.commit(Add(_resigned(client, package, leaf))))


def test_v076_an_update_that_keeps_its_encryption_key(table: Table) -> None:
    old = table["carol"].state.own_leaf_node.encryption_key
    update = Forger(table["carol"], table.random).proposal(Update(table.update_of("carol", encryption_key=old)))
    table.refuses("V076", table.alice.commit(references=[update]), update)


def test_v074_an_update_with_a_leaf_made_for_a_commit(table: Table) -> None:
    leaf = table.update_of("carol", leaf_node_source=LeafNodeSource.COMMIT, parent_hash=b"")
    update = Forger(table["carol"], table.random).proposal(Update(leaf))
    table.refuses("V074", table.alice.commit(references=[update]), update)


def test_v062_an_update_signed_for_another_place(table: Table) -> None:
    """V096: the leaf is Carol's, the place it was signed for is Dave's."""
    leaf = table.update_of("carol").signed(
        suite(1), table["carol"].state.signer, table["carol"].group_id, table.leaf("dave")
    )
    update = Forger(table["carol"], table.random).proposal(Update(leaf))
    table.refuses("V062", table.alice.commit(references=[update]), update)


def test_v009_group_context_extensions_that_do_not_decode(table: Table) -> None:
    extensions = (Extension(ExtensionType.REQUIRED_CAPABILITIES, b"\x01"),)
    table.refuses("V009", table.alice.commit(GroupContextExtensions(extensions)))


def test_v010_group_context_extensions_that_belong_elsewhere(table: Table) -> None:
    extensions = (Extension(ExtensionType.EXTERNAL_PUB, b"\x00"),)
    table.refuses("V010", table.alice.commit(GroupContextExtensions(extensions)))


def test_v008_group_context_extensions_with_a_type_twice(table: Table) -> None:
    extensions = (Extension(ExtensionType(POLICY), b"one"), Extension(ExtensionType(POLICY), b"two"))
    table.refuses("V008", table.alice.commit(GroupContextExtensions(extensions)))


def test_v106_required_capabilities_that_a_member_lacks(table: Table) -> None:
    required = required_capabilities_extension(RequiredCapabilities((), (0xF00F,), ()))
    table.refuses("V106", table.alice.commit(GroupContextExtensions((required,))))


def test_v107_a_group_context_extension_that_a_member_lacks(table: Table) -> None:
    table.refuses("V107", table.alice.commit(GroupContextExtensions((Extension(ExtensionType(0xF00F), b""),))))


def test_v099_a_psk_nonce_of_another_length(table: Table) -> None:
    table.refuses("V099", table.alice.commit(PreSharedKey(_psk(nonce=b"short"))))


@pytest.mark.parametrize(("usage", "rule"), [(ResumptionPSKUsage.REINIT, "V100"), (ResumptionPSKUsage.BRANCH, "V101")])
def test_v100_v101_a_resumption_psk_of_another_usage(table: Table, usage: ResumptionPSKUsage, rule: str) -> None:
    psk = PreSharedKeyID(PSKType.RESUMPTION, ResumptionPsk(usage, b"a group", 0), bytes(32))
    table.refuses(rule, table.alice.commit(PreSharedKey(psk)))


# --- lists ---


def test_v115_a_reference_to_nothing(table: Table) -> None:
    proposal = Forger(table["carol"], table.random).proposal(Remove(table.leaf("dave")))
    table.refuses("V115", table.alice.commit(references=[proposal]))


def test_v117_an_update_of_the_committer_by_value(table: Table) -> None:
    """V116: what is given by value is the committer's own."""
    table.refuses("V117", table.alice.commit(edit_content=instead(Update(table.update_of("alice")))))


def test_v117_an_update_of_the_committer_by_reference(table: Table) -> None:
    update = table.alice.proposal(Update(table.update_of("alice")))
    table.refuses("V117", table.alice.commit(references=[update]), update)


def test_v118_a_removal_of_the_committer(table: Table) -> None:
    table.refuses("V118", table.alice.commit(edit_content=instead(Remove(table.leaf("alice")))))


def test_v119_a_leaf_removed_twice(table: Table) -> None:
    gone = Remove(table.leaf("dave"))
    table.refuses("V119", table.alice.commit(gone, edit_content=instead(gone, gone)))


def test_v119_a_leaf_updated_and_removed(table: Table) -> None:
    update = Forger(table["carol"], table.random).proposal(Update(table.update_of("carol")))
    table.refuses("V119", table.alice.commit(Remove(table.leaf("carol")), references=[update]), update)


def test_v120_one_client_added_twice(table: Table) -> None:
    client = table.client("erin")
    adds = (Add(client.package().key_package), Add(client.package().key_package))
    table.refuses("V120", table.alice.commit(*adds))


def test_v121_a_member_added_again(table: Table) -> None:
    table.refuses("V121", table.alice.commit(Add(table.client("carol").package().key_package)))


def test_a_member_removed_and_added_in_one_commit(table: Table) -> None:
    """V121 leaves this one way: the same list removes it."""
    message = table.alice.commit(Remove(table.leaf("carol")), Add(table.client("carol").package().key_package))
    assert table["bob"].stage(message, now=NOW).successor is not None


def test_v122_two_adds_with_one_init_key(table: Table) -> None:
    erin, frank = table.client("erin"), table.client("frank")
    first, second = erin.package().key_package, frank.package().key_package
    twin = _repackaged(frank, second, init_key=first.init_key)
    table.refuses("V122", table.alice.commit(Add(first), Add(twin)))


def test_v124_one_psk_twice(table: Table) -> None:
    table.refuses("V124", table.alice.commit(PreSharedKey(_psk()), PreSharedKey(_psk())))


def test_v160_more_psks_than_a_commit_can_count(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """65 535 in truth."""
    monkeypatch.setattr("mls.validation.proposals.PSK_COUNT_MAX", 2)
    psks = [PreSharedKey(_psk(nonce=bytes([number]) * 32)) for number in range(3)]
    table.refuses("V160", table.alice.commit(*psks))
    assert len(table["bob"].public.check_commit(table.alice.commit(*psks[:2])).proposals) == 2


def test_v103_a_reinit_to_a_lower_version(table: Table) -> None:
    table.refuses("V103", table.alice.commit(replace(_reinit(), version=0)))
    later = table.alice.commit(replace(_reinit(), version=2))
    assert table["bob"].public.check_commit(later).successor.reinit == replace(_reinit(), version=2)


@pytest.mark.parametrize("by", ["bob", "carol"])
def test_v112_v128_a_proposal_of_a_type_that_a_member_does_not_list(by: str) -> None:
    """Whether it is its sender who does not, or a bystander: everyone has to carry it out."""
    table = Table()
    plain = replace(table.client("erin").capabilities, proposals=())
    table.client("erin").capabilities = plain
    proposal = Forger(table[by], table.random).proposal(SelfRemove())
    judge = table["dave"]
    assert judge.public.check_commit(table.alice.commit(references=[proposal]), [proposal]).removes
    table.add("alice", "erin")
    proposal = Forger(table[by], table.random).proposal(SelfRemove())
    table.alice = Forger(table["alice"], table.random)
    refused(table["dave"], "V112", table.alice.commit(references=[proposal]), [proposal])


def test_v125_two_lists_of_group_context_extensions(table: Table) -> None:
    table.refuses("V125", table.alice.commit(GroupContextExtensions(()), GroupContextExtensions(())))


def test_v126_a_reinit_beside_something_else(table: Table) -> None:
    table.refuses("V126", table.alice.commit(_reinit(), Remove(table.leaf("dave"))))


def test_v127_an_external_init_in_a_regular_commit(table: Table) -> None:
    table.refuses("V127", table.alice.commit(ExternalInit(bytes(32))))


def test_v079_an_add_with_the_encryption_key_of_a_member(table: Table) -> None:
    client, taken = table.client("erin"), table["carol"].state.own_leaf_node.encryption_key
    package = client.package().key_package
    leaf = replace(package.leaf_node, encryption_key=taken)
    table.refuses("V079", table.alice.commit(Add(_resigned(client, package, leaf))))


def test_v220_an_add_with_the_encryption_key_of_a_parent(table: Table) -> None:
    table.commit("dave")
    table.alice = Forger(table["alice"], table.random)
    root_of_right = table["alice"].public.tree.direct_path(table.leaf("dave"))[0].node.content
    assert root_of_right is not None
    client = table.client("erin")
    package = client.package().key_package
    leaf = replace(package.leaf_node, encryption_key=root_of_right.encryption_key)
    table.refuses("V220", table.alice.commit(Add(_resigned(client, package, leaf))))


def test_v078_an_update_to_the_signature_key_of_another(table: Table) -> None:
    dave = table["dave"]
    leaf = table.update_of("carol", signature_key=dave.state.signer.public)
    signed = leaf.signed(dave.suite, dave.state.signer, dave.group_id, table.leaf("carol"))
    update = Forger(table["carol"], table.random).proposal(Update(signed))
    table.refuses("V078", table.alice.commit(references=[update]), update)


def test_v063_an_add_that_lacks_what_the_group_requires(table: Table) -> None:
    required = required_capabilities_extension(RequiredCapabilities((POLICY,), (), ()))
    table.commit("alice", proposals=[group_context_extensions((required,))])
    table.alice = Forger(table["alice"], table.random)
    table.refuses("V063", table.alice.commit(Add(_with_capabilities(table.client("erin"), extensions=()))))


def test_v080_an_add_that_lacks_an_extension_of_the_group(table: Table) -> None:
    table.commit("alice", proposals=[group_context_extensions((Extension(ExtensionType(POLICY), b"rules"),))])
    table.alice = Forger(table["alice"], table.random)
    table.refuses("V080", table.alice.commit(Add(_with_capabilities(table.client("erin"), extensions=()))))


def test_v095_an_add_is_judged_by_the_extensions_its_own_commit_sets(table: Table) -> None:
    """V129, V133: the new list governs the rest."""
    package = _with_capabilities(table.client("erin"), extensions=())
    extensions = GroupContextExtensions((Extension(ExtensionType(POLICY), b"rules"),))
    table.refuses("V107", table.alice.commit(Add(package), extensions))


# --- proposals from outside ---


def test_v024_an_external_sender_the_group_does_not_name(table: Table) -> None:
    """V109."""
    sender = Sender(SenderType.EXTERNAL, sender_index=0)
    proposal = table.alice.proposal(Remove(table.leaf("dave")), sender)
    table.refuses("V024", table.alice.commit(references=[proposal]), proposal)


def test_v097_an_update_from_outside(table: Table) -> None:
    sender = Sender(SenderType.EXTERNAL, sender_index=0)
    proposal = table.alice.proposal(Update(table.update_of("carol")), sender)
    table.refuses("V097", table.alice.commit(path=False, edit_content=referring(table["alice"], proposal)), proposal)


def test_v110_an_external_init_from_an_external_sender(table: Table) -> None:
    sender = Sender(SenderType.EXTERNAL, sender_index=0)
    proposal = table.alice.proposal(ExternalInit(bytes(32)), sender)
    table.refuses("V110", table.alice.commit(references=[proposal]), proposal)


def test_v027_a_newcomer_that_proposes_more_than_its_own_add(table: Table) -> None:
    proposal = table.alice.proposal(Remove(table.leaf("dave")), Sender(SenderType.NEW_MEMBER_PROPOSAL))
    table.refuses("V027", table.alice.commit(references=[proposal]), proposal)


def test_v028_a_newcomers_add_signed_by_somebody_else(table: Table) -> None:
    package = table.client("erin").package().key_package
    proposal = table.alice.proposal(Add(package), Sender(SenderType.NEW_MEMBER_PROPOSAL))
    table.refuses("V028", table.alice.commit(references=[proposal]), proposal)


def test_a_newcomers_own_add_is_taken(table: Table) -> None:
    erin = table.client("erin")
    sender = Sender(SenderType.NEW_MEMBER_PROPOSAL)
    proposal = table.alice.proposal(Add(erin.package().key_package), sender, erin.signer)
    made = table.commit("alice", references=[proposal])
    assert made.summary.adds[0].leaf.credential.identity == b"erin"
    assert table.agree()


def _psk(nonce: bytes = bytes(32)) -> PreSharedKeyID:
    return PreSharedKeyID(PSKType.EXTERNAL, ExternalPsk(b"a key"), nonce)


def _reinit() -> ReInit:
    return ReInit(b"the next group", ProtocolVersion.MLS10, CipherSuiteId(1), ())


def _repackaged(client: Client, package: KeyPackage, **fields: object) -> KeyPackage:
    """The KeyPackage with some fields as given, under a fresh signature."""
    changed: KeyPackage = replace(package, **fields)  # type: ignore[arg-type]
    signature = suite(1).sign_with_label(client.signer, KEY_PACKAGE_LABEL, changed.to_be_signed())
    return replace(changed, signature=signature)


def _resigned(client: Client, package: KeyPackage, leaf: LeafNode) -> KeyPackage:
    """The KeyPackage around another leaf, both under fresh signatures."""
    return _repackaged(client, package, leaf_node=leaf.signed(suite(1), client.signer, b"", 0))


def _with_capabilities(client: Client, **lists: tuple[int, ...]) -> KeyPackage:
    package = client.package().key_package
    leaf = package.leaf_node
    return _resigned(client, package, replace(leaf, capabilities=replace(leaf.capabilities, **lists)))
