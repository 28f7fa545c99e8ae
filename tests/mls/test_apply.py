"""Proposals carried out on a tree."""

from mls.apply import apply_proposals
from mls.codec import Reader
from mls.crypto import suite
from mls.framing import Sender
from mls.proposal_list import ListedProposal
from mls.proposals import Proposal
from mls.tree.ratchet import RatchetTree
from tests.vectors import EVERY_SOURCE, Source


@EVERY_SOURCE
def test_published_tree_operations(source: Source) -> None:
    """Add into a blank leaf and into a full tree, Update, Remove with and without truncation."""
    for case in source.cases("tree-operations"):
        row = suite(case["cipher_suite"])
        before = RatchetTree.decode(row, bytes.fromhex(case["tree_before"]))
        assert before.tree_hash().hex() == case["tree_hash_before"]
        proposal = Proposal.read(Reader(bytes.fromhex(case["proposal"])))

        applied = apply_proposals(before, (), [ListedProposal(proposal, Sender.member(case["proposal_sender"]))])

        assert applied.tree.encode().hex() == case["tree_after"]
        assert applied.tree.tree_hash().hex() == case["tree_hash_after"]
        assert before.tree_hash().hex() == case["tree_hash_before"]
        source.ran("tree-operations")
