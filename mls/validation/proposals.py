"""Rules for proposals (RFC 9420 §12.1, §12.2): each by itself, then all those of one Commit together."""

from collections.abc import Iterable, Sequence

from mls.apply import removed_leaves
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
from mls.key_schedule import PSK_COUNT_MAX
from mls.policy import Policy
from mls.proposal_list import ListedProposal
from mls.proposals import (
    Add,
    CustomProposal,
    ExternalInit,
    GroupContextExtensions,
    PreSharedKey,
    Proposal,
    ReInit,
    Remove,
    SelfRemove,
    Update,
)
from mls.psks import PreSharedKeyID
from mls.registry import (
    DEFAULT_PROPOSAL_TYPES,
    EXTERNAL_SENDER_PROPOSAL_TYPES,
    ExtensionType,
    LeafNodeSource,
    ResumptionPSKUsage,
    SenderType,
)
from mls.tree.nodes import LeafNode
from mls.tree.ratchet import RatchetTree
from mls.validation.key_packages import check_key_package_content, check_key_package_signatures
from mls.validation.leaves import check_leaf
from mls.validation.signatures import Map, over_cores


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
            check_psk(suite, context, sender, psk)
        case ReInit():
            check_extensions(body.extensions, GROUP_CONTEXT_PLACE, "a ReInit")
            if body.version < context.version:
                raise InvalidError("V103", "a ReInit to an older version")
        case ExternalInit():
            if sender.sender_type is not SenderType.NEW_MEMBER_COMMIT:
                raise InvalidError("V104", "an ExternalInit outside an external Commit")
        case SelfRemove() | CustomProposal():
            pass  # whether all know it shows beside the rest of the list
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


def check_added(suite: CipherSuite, proposals: Iterable[ListedProposal], map_signatures: Map = over_cores) -> None:
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
            if isinstance(proposal.body, CustomProposal):
                return  # `check_external_type`
            if proposal.proposal_type not in EXTERNAL_SENDER_PROPOSAL_TYPES:
                raise InvalidError("V110", f"a {proposal.proposal_type.name} from an external sender")
        case SenderType.NEW_MEMBER_PROPOSAL:
            if not isinstance(proposal.body, Add):
                raise InvalidError("V027", "a newcomer may propose nothing but its own Add")
        case SenderType.NEW_MEMBER_COMMIT:
            return  # its list is `mls.validation.external`'s


def check_external_type(listed: ListedProposal, policy: Policy) -> None:
    """What an external sender may propose of the application's own types, the application says (§17.4, V110)."""
    if listed.sender.sender_type is not SenderType.EXTERNAL or not isinstance(listed.proposal.body, CustomProposal):
        return
    if not policy.allows_external_sender(listed.proposal.proposal_type):
        raise InvalidError("V110", f"a {listed.proposal.proposal_type.name} from an external sender")


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
    check_one_change_per_leaf(committer, proposals)
    _check_adds(tree, proposals)
    if sum(isinstance(body, GroupContextExtensions) for body in bodies) > 1:
        raise InvalidError("V125", "two proposals that set the group context extensions")
    check_psks_differ(proposals)
    if any(isinstance(body, ReInit) for body in bodies) and len(bodies) > 1:
        raise InvalidError("V126", "a ReInit beside other proposals")
    if any(isinstance(body, ExternalInit) for body in bodies):
        raise InvalidError("V127", "an ExternalInit in a regular Commit")


def check_psk(suite: CipherSuite, context: GroupContext, sender: Sender, psk: PreSharedKeyID) -> None:
    """The PSK of one proposal. Which group a first Commit continues, only those know who were in that one (V196)."""
    if len(psk.psk_nonce) != suite.hash_size:
        raise InvalidError("V099", "a psk_nonce that is not KDF.Nh bytes long")
    first = context.epoch == 0 and sender.sender_type is SenderType.MEMBER  # the founder's: nobody else is in the group
    if psk.usage in (ResumptionPSKUsage.REINIT, ResumptionPSKUsage.BRANCH) and not first:
        rule = "V100" if psk.usage is ResumptionPSKUsage.REINIT else "V101"
        raise InvalidError(rule, f"a resumption PSK for {psk.usage.name.lower()} in an ordinary Commit")


def check_psks_differ(proposals: Sequence[ListedProposal]) -> None:
    psks = [each.proposal.body.psk for each in proposals if isinstance(each.proposal.body, PreSharedKey)]
    if len(set(psks)) != len(psks):
        raise InvalidError("V124", "one PreSharedKeyID twice")
    if len(psks) > PSK_COUNT_MAX:
        raise InvalidError("V160", f"{len(psks)} PSKs in one Commit, more than {PSK_COUNT_MAX}")


def check_types_are_known(tree: RatchetTree, proposals: Sequence[ListedProposal]) -> None:
    """A type beyond the default ones is used where every member who stays to process the Commit lists it (V112, V128).

    Who is removed by it need not know the type (§12.2), nor who is added.
    """
    types = {int(each.proposal.proposal_type) for each in proposals} - DEFAULT_PROPOSAL_TYPES
    if not types:
        return
    removed = removed_leaves(proposals)
    for leaf_index, leaf in tree.members():
        missing = types.difference(leaf.capabilities.proposals)
        if missing and leaf_index not in removed:
            raise InvalidError("V112", f"proposals of types {sorted(missing)}, which leaf {leaf_index} does not know")


def check_one_change_per_leaf(committer: int | None, proposals: Sequence[ListedProposal]) -> None:
    """`committer` is None for a newcomer, who has no leaf yet."""
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
            case SelfRemove():
                leaf_index = each.sender.leaf_index
                if leaf_index == committer:  # and so whoever commits one by value
                    raise InvalidError("V118", "a SelfRemove of the committer")
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
    removed = removed_leaves(proposals)
    if not any(key in tree.signature_keys for key in newcomers):
        return
    for leaf_index, leaf in tree.members():
        if leaf.signature_key in newcomers and leaf_index not in removed:
            raise InvalidError("V121", f"an Add of the client at leaf {leaf_index}")
