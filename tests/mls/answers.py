"""Answers in the formats of the published vectors: what the engine computes from a case's inputs.

Each function takes a case, looks at its inputs only, and returns it with every output that follows from them. So a
published case must come back as it was, and from inputs of our own a case is made to be recorded.
"""

from collections.abc import Callable, Iterable
from typing import Any

from mls import key_schedule
from mls.apply import apply_proposals
from mls.codec import Reader, varint
from mls.crypto import suite
from mls.framing import AuthenticatedContent, Sender
from mls.group_context import GroupContext
from mls.proposal_list import ListedProposal
from mls.proposals import Proposal
from mls.psks import ExternalPsk, psk_id
from mls.registry import ContentType, ProtocolVersion
from mls.secret_tree import SecretTree
from mls.transcript import confirmed_transcript_hash, interim_transcript_hash
from mls.tree import math
from mls.tree.ratchet import RatchetTree

Case = dict[str, Any]
unhex = bytes.fromhex


def deserialization(case: Case) -> Case:
    return {"vlbytes_header": varint(case["length"]).hex(), "length": case["length"]}


def tree_math(case: Case) -> Case:
    leaf_count = case["n_leaves"]
    nodes = range(math.node_count(leaf_count))
    return {
        "n_leaves": leaf_count,
        "n_nodes": len(nodes),
        "root": math.root(leaf_count),
        "left": [math.left(node) for node in nodes],
        "right": [math.right(node) for node in nodes],
        "parent": [math.parent(node, leaf_count) for node in nodes],
        "sibling": [math.sibling(node, leaf_count) for node in nodes],
    }


def crypto_basics(case: Case) -> Case:
    """Without the signature and the ciphertext: others may make theirs at random."""
    row = suite(case["cipher_suite"])
    ref, expand, derive = case["ref_hash"], case["expand_with_label"], case["derive_secret"]
    tree, sign, encrypt = case["derive_tree_secret"], case["sign_with_label"], case["encrypt_with_label"]
    expanded = row.expand_with_label(
        unhex(expand["secret"]), expand["label"], unhex(expand["context"]), expand["length"]
    )
    tree_secret = row.derive_tree_secret(unhex(tree["secret"]), tree["label"], tree["generation"], tree["length"])
    return case | {
        "ref_hash": ref | {"out": row.ref_hash(ref["label"], unhex(ref["value"])).hex()},
        "expand_with_label": expand | {"out": expanded.hex()},
        "derive_secret": derive | {"out": row.derive_secret(unhex(derive["secret"]), derive["label"]).hex()},
        "derive_tree_secret": tree | {"out": tree_secret.hex()},
        "sign_with_label": sign | {"pub": row.load_signature_key(unhex(sign["priv"])).public.hex()},
        "encrypt_with_label": encrypt | {"pub": row.load_hpke_key(unhex(encrypt["priv"])).public.hex()},
    }


def epochs(case: Case) -> Case:
    """`key-schedule`."""
    made: list[Case] = []
    init_secret = unhex(case["initial_init_secret"])
    for number, each in enumerate(case["epochs"]):
        made.append(_epoch(case, number, init_secret, each))
        init_secret = unhex(made[-1]["init_secret"])
    return case | {"epochs": made}


def _epoch(case: Case, number: int, init_secret: bytes, given: Case) -> Case:
    row = suite(case["cipher_suite"])
    commit_secret, psk_secret = unhex(given["commit_secret"]), unhex(given["psk_secret"])
    hashes = (unhex(given["tree_hash"]), unhex(given["confirmed_transcript_hash"]))
    context = GroupContext(ProtocolVersion.MLS10, row.id, unhex(case["group_id"]), number, *hashes, ()).encode()
    joiner, start = key_schedule.after_commit(row, init_secret, commit_secret, psk_secret, context)
    exporter = given["exporter"]
    exported = start.secrets.export(row, exporter["label"], unhex(exporter["context"]), exporter["length"])
    made = {name: getattr(start.secrets, name).hex() for name in start.secrets.__dataclass_fields__}
    return (
        given
        | made
        | {
            "group_context": context.hex(),
            "joiner_secret": joiner.hex(),
            "welcome_secret": key_schedule.welcome_secret(row, joiner, psk_secret).hex(),
            "encryption_secret": start.encryption_secret.hex(),
            "external_pub": start.secrets.external_key(row).public.hex(),
            "exporter": exporter | {"secret": exported.hex()},
        }
    )


def psk_chain(case: Case) -> Case:
    """`psk_secret`."""
    psks = [
        (psk_id(ExternalPsk(unhex(each["psk_id"])), unhex(each["psk_nonce"])).encode(), unhex(each["psk"]))
        for each in case["psks"]
    ]
    return case | {"psk_secret": key_schedule.psk_secret(suite(case["cipher_suite"]), psks).hex()}


def secret_tree(case: Case) -> Case:
    row, sender_data = suite(case["cipher_suite"]), case["sender_data"]
    tree = SecretTree.start(row, unhex(case["encryption_secret"]), len(case["leaves"]))
    key, nonce = key_schedule.sender_data_key(
        row, unhex(sender_data["sender_data_secret"]), unhex(sender_data["ciphertext"])
    )
    leaves = [
        [_message_keys(tree, leaf_index, each["generation"]) for each in generations]
        for leaf_index, generations in enumerate(case["leaves"])
    ]
    return case | {"sender_data": sender_data | {"key": key.hex(), "nonce": nonce.hex()}, "leaves": leaves}


def _message_keys(tree: SecretTree, leaf_index: int, generation: int) -> Case:
    made: Case = {"generation": generation}
    for name, content_type in (("application", ContentType.APPLICATION), ("handshake", ContentType.COMMIT)):
        taken, _ = tree.take_key(leaf_index, content_type, generation)
        made |= {f"{name}_key": taken.key.hex(), f"{name}_nonce": taken.nonce.hex()}
    return made


def transcript(case: Case) -> Case:
    """`transcript-hashes`."""
    row, commit = suite(case["cipher_suite"]), AuthenticatedContent.decode(unhex(case["authenticated_content"]))
    before, content = unhex(case["interim_transcript_hash_before"]), commit.content.encode()
    assert commit.auth.confirmation_tag is not None
    confirmed = confirmed_transcript_hash(row, before, commit.wire_format, content, commit.auth.signature)
    interim = interim_transcript_hash(row, confirmed, commit.auth.confirmation_tag)
    return case | {
        "confirmed_transcript_hash_after": confirmed.hex(),
        "interim_transcript_hash_after": interim.hex(),
    }


def tree_validation(case: Case) -> Case:
    row = suite(case["cipher_suite"])
    tree = RatchetTree.decode(row, unhex(case["tree"]))
    nodes = range(math.node_count(tree.leaf_count))
    return case | {
        "tree_hashes": [tree.node(index).tree_hash(row).hex() for index in nodes],
        "resolutions": [list(tree.resolution(index)) for index in nodes],
    }


def tree_operation(case: Case) -> Case:
    before = RatchetTree.decode(suite(case["cipher_suite"]), unhex(case["tree_before"]))
    proposal = Proposal.read(Reader(unhex(case["proposal"])))
    after = apply_proposals(before, (), [ListedProposal(proposal, Sender.member(case["proposal_sender"]))]).tree
    return case | {
        "tree_hash_before": before.tree_hash().hex(),
        "tree_after": after.encode().hex(),
        "tree_hash_after": after.tree_hash().hex(),
    }


ANSWERS: dict[str, Callable[[Case], Case]] = {
    "deserialization": deserialization,
    "tree-math": tree_math,
    "crypto-basics": crypto_basics,
    "key-schedule": epochs,
    "psk_secret": psk_chain,
    "secret-tree": secret_tree,
    "transcript-hashes": transcript,
    "tree-validation": tree_validation,
    "tree-operations": tree_operation,
}
"""By the name of the file they answer."""


def wrong(name: str, cases: Iterable[Case]) -> list[int]:
    """The numbers of the cases that have other answers than ours."""
    answer = ANSWERS[name]
    return [number for number, case in enumerate(cases) if answer(case) != case]
