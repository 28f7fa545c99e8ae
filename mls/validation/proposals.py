"""Rules for proposals (RFC 9420 §12.1, §12.2): each by itself, then all those of one Commit together."""

from collections.abc import Iterable, Sequence

from mls.credentials import (
    CredentialCheck,
    CredentialRole,
    CredentialUse,
    accept_all,
    check_credential,
    check_use,
)
from mls.crypto import CipherSuite
from mls.errors import InvalidError
from mls.extensions import GROUP_CONTEXT_PLACE, Extensions, check_extensions, external_senders, find
from mls.framing import Sender
from mls.group_context import GroupContext
from mls.proposal_list import ListedProposal
from mls.proposals import (
    Add,
    ExternalInit,
    GroupContextExtensions,
    PreSharedKey,
    Proposal,
    ReInit,
    Remove,
    Update,
)
from mls.psks import ResumptionPsk
from mls.registry import EXTERNAL_SENDER_PROPOSAL_TYPES, ExtensionType, LeafNodeSource, ResumptionPSKUsage, SenderType
from mls.tree.nodes import LeafNode
from mls.tree.ratchet import RatchetTree
from mls.validation.key_packages import check_key_package_content, check_key_package_signatures
from mls.validation.leaves import check_leaf
from mls.validation.signatures import Map


def check_proposal(
    suite: CipherSuite,
    context: GroupContext,
    tree: RatchetTree,
    listed: ListedProposal,
    accept: CredentialCheck,
) -> None:
    """One proposal on its own, as its sender may send it (V114). Added packages' signatures: `check_added`."""
    sender, body = listed.sender, listed.proposal.body
    check_sender_may(sender, listed.proposal)
    match body:
        case Add(package):
            check_key_package_content(suite, package)  # V094
            check_use(accept, CredentialUse(package.leaf_node.credential, package.leaf_node.signature_key), "V055")
        case Update(leaf):
            assert sender.leaf_index is not None
            check_replacement(suite, context, tree, sender.leaf_index, leaf, LeafNodeSource.UPDATE, accept)  # V096
        case Remove(removed):
            if tree.leaf(removed) is None:
                raise InvalidError("V098", f"the removal of leaf {removed}, which is blank")
        case PreSharedKey(psk):
            _check_psk(suite, psk.psk_nonce, psk.body)
        case ReInit():
            check_extensions(body.extensions, GROUP_CONTEXT_PLACE, "a ReInit")
            if body.version < context.version:
                raise InvalidError("V103", "a ReInit to an older version")
        case ExternalInit():
            raise InvalidError("V104", "an ExternalInit outside an external Commit")
        case GroupContextExtensions(extensions):
            check_extensions(extensions, GROUP_CONTEXT_PLACE, "the new group context")
            unchanged = find(extensions, ExtensionType.EXTERNAL_SENDERS) == find(
                context.extensions, ExtensionType.EXTERNAL_SENDERS
            )
            check_external_senders(suite, extensions, accept_all if unchanged else accept)


def check_external_senders(suite: CipherSuite, extensions: Extensions, accept: CredentialCheck) -> None:
    """Who may propose from outside by these extensions has a key of the suite (V052), and the application's word."""
    for each in external_senders(extensions):
        suite.check_signature_public_key(each.signature_key)
        check_credential(suite, each.credential, each.signature_key)
        use = CredentialUse(each.credential, each.signature_key, role=CredentialRole.EXTERNAL_SENDER)
        check_use(accept, use, "V058")


def check_added(suite: CipherSuite, proposals: Iterable[ListedProposal], map_signatures: Map = map) -> None:
    """The signatures of all packages that are added (V094)."""
    bodies = (each.proposal.body for each in proposals)
    packages = [body.key_package for body in bodies if isinstance(body, Add)]
    check_key_package_signatures(suite, packages, map_signatures)


def check_sender_may(sender: Sender, proposal: Proposal) -> None:
    """Which types each kind of sender may propose (§12.1.8)."""
    match sender.sender_type:
        case SenderType.MEMBER:
            return
        case SenderType.EXTERNAL:
            if isinstance(proposal.body, Update):
                raise InvalidError("V097", "an Update from outside the group")
            if proposal.proposal_type not in EXTERNAL_SENDER_PROPOSAL_TYPES:
                raise InvalidError("V110", f"a {proposal.proposal_type.name} from an external sender")
        case SenderType.NEW_MEMBER_PROPOSAL:
            if not isinstance(proposal.body, Add):
                raise InvalidError("V027", "a newcomer may propose nothing but its own Add")
        case SenderType.NEW_MEMBER_COMMIT:
            raise InvalidError("V026", "an external joiner sends a Commit, not a proposal")


def check_replacement(
    suite: CipherSuite,
    context: GroupContext,
    tree: RatchetTree,
    leaf_index: int,
    leaf: LeafNode,
    source: LeafNodeSource,
    accept: CredentialCheck,
) -> None:
    """A member's next leaf, from its Update or its Commit's path (§7.3; V082)."""
    check_leaf(suite, leaf, source, context.group_id, leaf_index)
    former = tree.leaf(leaf_index)
    assert former is not None
    is_update = source is LeafNodeSource.UPDATE
    if leaf.encryption_key == former.encryption_key:
        raise InvalidError("V076" if is_update else "V077", "a new leaf with the old encryption key")
    if (leaf.credential, leaf.signature_key) != (former.credential, former.signature_key):
        check_use(accept, CredentialUse(leaf.credential, leaf.signature_key, former), "V056" if is_update else "V057")


def check_list(tree: RatchetTree, committer: int, proposals: Sequence[ListedProposal]) -> None:
    """What proposals may not stand together in one regular Commit (§12.2)."""
    bodies = [each.proposal.body for each in proposals]
    _check_one_change_per_leaf(committer, proposals)
    _check_adds(tree, proposals)
    if sum(isinstance(body, GroupContextExtensions) for body in bodies) > 1:
        raise InvalidError("V125", "two proposals that set the group context extensions")
    psks = [body.psk for body in bodies if isinstance(body, PreSharedKey)]
    if len(set(psks)) != len(psks):
        raise InvalidError("V124", "one PreSharedKeyID twice")
    if any(isinstance(body, ReInit) for body in bodies) and len(bodies) > 1:
        raise InvalidError("V126", "a ReInit beside other proposals")
    if any(isinstance(body, ExternalInit) for body in bodies):
        raise InvalidError("V127", "an ExternalInit in a regular Commit")


def check_carried_out(proposals: Iterable[ListedProposal]) -> None:
    """Refuse what this engine does not carry out yet, in the words of rules that let a member refuse it."""
    for each in proposals:
        match each.proposal.body:
            case PreSharedKey():
                raise InvalidError("V149", "a PreSharedKey proposal: pre-shared keys are not yet supported")
            case ReInit():
                raise InvalidError("V130", "a ReInit proposal: reinitialisation is not yet supported")
            case _:
                pass


def _check_psk(suite: CipherSuite, psk_nonce: bytes, body: object) -> None:
    if len(psk_nonce) != suite.hash_size:
        raise InvalidError("V099", "a psk_nonce that is not KDF.Nh bytes long")
    if isinstance(body, ResumptionPsk) and body.usage is not ResumptionPSKUsage.APPLICATION:
        rule = "V100" if body.usage is ResumptionPSKUsage.REINIT else "V101"
        raise InvalidError(rule, f"a resumption PSK for {body.usage.name.lower()} in an ordinary Commit")


def _check_one_change_per_leaf(committer: int, proposals: Sequence[ListedProposal]) -> None:
    changed: set[int] = set()
    for each in proposals:
        match each.proposal.body:
            case Update():
                leaf_index = each.sender.leaf_index
                if leaf_index == committer:
                    raise InvalidError("V117", "an Update by the committer itself")
            case Remove(leaf_index):
                if leaf_index == committer:
                    raise InvalidError("V118", "a removal of the committer")
            case _:
                continue
        assert leaf_index is not None
        if leaf_index in changed:
            raise InvalidError("V119", f"two changes of leaf {leaf_index}")
        changed.add(leaf_index)


def _check_adds(tree: RatchetTree, proposals: Sequence[ListedProposal]) -> None:
    packages = [each.proposal.body.key_package for each in proposals if isinstance(each.proposal.body, Add)]
    if not packages:
        return
    newcomers = {package.leaf_node.signature_key for package in packages}
    if len(newcomers) != len(packages):
        raise InvalidError("V120", "two Adds of one client")
    if len({package.init_key for package in packages}) != len(packages):
        raise InvalidError("V122", "two Adds with one init key")
    removed = {each.proposal.body.removed for each in proposals if isinstance(each.proposal.body, Remove)}
    if not any(key in tree.signature_keys for key in newcomers):
        return
    for leaf_index, leaf in tree.members():
        if leaf.signature_key in newcomers and leaf_index not in removed:
            raise InvalidError("V121", f"an Add of the client at leaf {leaf_index}")
