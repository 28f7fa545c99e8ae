"""Makes the known answers that this repository carries: `python -m tests.mls.record`.

They fix the bytes for a clone that has no published vectors. Before anything is written, the functions that answer are
put to the published cases and must give the published answers; what no function answers (ciphertexts, whole groups) is
judged by the tests, which read both sources alike. They are run at the end.

Run it when a format of ours has changed on purpose, and look at what differs: an answer that changed without its inputs
is a fault. Only what ML-KEM seals differs every time.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from mls.crypto import suite
from mls.crypto.hpke import Hpke
from mls.crypto.kem import Kem
from mls.registry import RFC9420_CIPHER_SUITES, CipherSuiteId
from tests.mls import answers, stories
from tests.mls.answers import ANSWERS, Case
from tests.mls.crypto.test_pq_kem import AEADS, KDFS, PQ_KEMS, stream, with_known_randomness
from tests.mls.test_passive_clients import play
from tests.mls.world import Dice
from tests.vectors import RECORDED_ROOT, ROOT, official

CLASSICAL = tuple(int(each) for each in RFC9420_CIPHER_SUITES)
HYBRID = int(CipherSuiteId.MLS_128_MLKEM768X25519_AES128GCM_SHA256_ED25519)
ONE_FOR_EACH_HASH = (1, 4, 7)
ONE_FOR_EACH_HASH_AND_AEAD = (1, 3, 4, 7)
SIZE_MAX = 300_000
"""Bytes of all files together."""


def crypto_basics(suite_id: int) -> Case:
    row, random = suite(suite_id), Dice(f"basics {suite_id}")
    signer, reader = row.generate_signature_key(random), row.generate_hpke_key(random)
    content, context, plaintext = random(32), random(32), random(32)
    sealed = row.encrypt_with_label(reader.public, "EncryptWithLabel", context, plaintext, random)
    return answers.crypto_basics(
        {
            "cipher_suite": suite_id,
            "ref_hash": {"label": "RefHash", "value": random(32).hex()},
            "expand_with_label": {
                "secret": random(row.hash_size).hex(),
                "label": "ExpandWithLabel",
                "context": random(32).hex(),
                "length": 100,
            },
            "derive_secret": {"secret": random(row.hash_size).hex(), "label": "DeriveSecret"},
            "derive_tree_secret": {
                "secret": random(row.hash_size).hex(),
                "label": "DeriveTreeSecret",
                "generation": 0x01020304,
                "length": row.hash_size,
            },
            "sign_with_label": {
                "priv": signer.to_bytes().hex(),
                "content": content.hex(),
                "label": "SignWithLabel",
                "signature": row.sign_with_label(signer, "SignWithLabel", content).hex(),
            },
            "encrypt_with_label": {
                "priv": reader.to_bytes().hex(),
                "label": "EncryptWithLabel",
                "context": context.hex(),
                "plaintext": plaintext.hex(),
                "kem_output": sealed.kem_output.hex(),
                "ciphertext": sealed.ciphertext.hex(),
            },
        }
    )


def hpke(kem: Kem, kdf_id: int, aead_id: int) -> Case:
    """One post-quantum KEM: everything follows from two strings of randomness."""
    random = Dice(f"hpke {kem.hpke_id}")
    ikm_r, ikm_e, info = random(64), random(128), b"recorded"
    key, aead = kem.derive_key_pair(ikm_r), AEADS[aead_id]
    shared_secret, enc = with_known_randomness(kem).encapsulate(key.public, stream(ikm_e))
    context = Hpke(kem, KDFS[kdf_id], aead).setup_base_receiver(enc, key, info)
    case: dict[str, Any] = {
        "mode": 0,
        "kem_id": kem.hpke_id,
        "kdf_id": kdf_id,
        "aead_id": aead_id,
        "info": info,
        "ikmR": ikm_r,
        "ikmE": ikm_e,
        "skRm": key.to_bytes(),
        "pkRm": key.public,
        "enc": enc,
        "shared_secret": shared_secret,
        "key": context.key,
        "base_nonce": context.base_nonce,
        "exporter_secret": context.exporter_secret,
    }
    sealed = {
        "aad": b"aad",
        "nonce": context.base_nonce,
        "pt": b"plaintext",
        "ct": aead.seal(context.key, context.base_nonce, b"plaintext", b"aad"),
    }
    exported = {"exporter_context": b"context", "exported_value": context.export(b"context", 32)}
    return hexed(case) | {"encryptions": [hexed(sealed)], "exports": [{"L": 32} | hexed(exported)]}


def hexed(case: dict[str, Any]) -> Case:
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in case.items()}


def key_schedule(suite_id: int) -> Case:
    row, random = suite(suite_id), Dice(f"epochs {suite_id}")
    drawn = ("commit_secret", "psk_secret", "tree_hash", "confirmed_transcript_hash")
    return answers.epochs(
        {
            "cipher_suite": suite_id,
            "group_id": random(16).hex(),
            "initial_init_secret": random(row.hash_size).hex(),
            "epochs": [
                {name: random(row.hash_size).hex() for name in drawn}
                | {"exporter": {"label": f"an exporter's label {number}", "context": random(20).hex(), "length": 70}}
                for number in range(2)
            ],
        }
    )


def psk_chain(suite_id: int, count: int) -> Case:
    row, random = suite(suite_id), Dice(f"psks {suite_id} {count}")
    psks = [
        {"psk_id": random(5 * number).hex(), "psk": random(32).hex(), "psk_nonce": random(row.hash_size).hex()}
        for number in range(1, count + 1)
    ]
    return answers.psk_chain({"cipher_suite": suite_id, "psks": psks})


def secret_tree(suite_id: int, leaf_count: int) -> Case:
    row, random = suite(suite_id), Dice(f"secrets {suite_id}")
    sample = {"sender_data_secret": random(row.hash_size).hex(), "ciphertext": random(80).hex()}
    leaves = [[{"generation": generation} for generation in (0, 7)] for _ in range(leaf_count)]
    secret = random(row.hash_size).hex()
    return answers.secret_tree(
        {"cipher_suite": suite_id, "sender_data": sample, "encryption_secret": secret, "leaves": leaves}
    )


def passive_clients() -> list[Case]:
    return [*map(stories.passive_client, CLASSICAL), stories.passive_client(HYBRID, brief=True)]


EDGES = (0, 1, 62, 63, 64, 65, 16_382, 16_383, 16_384, 16_385, (1 << 30) - 2, (1 << 30) - 1)
"""Lengths at both ends of each size of header."""

MAKERS: dict[str, Callable[[], list[Case]]] = {
    "deserialization": lambda: [answers.deserialization({"length": each}) for each in EDGES],
    "tree-math": lambda: [answers.tree_math({"n_leaves": 1 << each}) for each in range(5)],
    "crypto-basics": lambda: [crypto_basics(each) for each in CLASSICAL],
    "hpke-pq-test-vectors": lambda: [hpke(kem, 1 + number % 2, 1 + number % 3) for number, kem in enumerate(PQ_KEMS)],
    "key-schedule": lambda: [key_schedule(each) for each in ONE_FOR_EACH_HASH],
    "psk_secret": lambda: [psk_chain(each, count) for each in ONE_FOR_EACH_HASH for count in (0, 1, 3)],
    "secret-tree": lambda: [secret_tree(each, 4) for each in ONE_FOR_EACH_HASH],
    "transcript-hashes": lambda: [stories.transcript_hashes(each) for each in ONE_FOR_EACH_HASH],
    "message-protection": lambda: [stories.message_protection(each) for each in ONE_FOR_EACH_HASH_AND_AEAD],
    "messages": lambda: [stories.messages()],
    "welcome": lambda: [stories.welcome(each) for each in ONE_FOR_EACH_HASH],
    "tree-validation": lambda: [stories.a_tree(each) for each in ONE_FOR_EACH_HASH],
    "tree-operations": stories.tree_operations,
    "passive-client": passive_clients,
}
"""By the name of the file they fill; the names of the published ones, where there is one."""


def check() -> None:
    """Raises AssertionError where a published answer is not ours."""
    for name in ANSWERS:
        assert answers.wrong(name, official(name)) == [], name


def main() -> int:
    if ROOT.is_dir():
        check()
    else:
        print("the published vectors are not here: nothing to check the answers against")
    made = {name: maker() for name, maker in MAKERS.items()}
    for case in made["passive-client"]:
        play(case)
    written = {name: json.dumps(cases, indent=1) + "\n" for name, cases in made.items()}
    assert sum(map(len, written.values())) <= SIZE_MAX, {name: len(text) for name, text in written.items()}
    for name, text in written.items():
        path = RECORDED_ROOT / f"{name}.json"
        path.write_text(text)
        print(f"{path.stat().st_size:7}  {len(made[name]):2} cases  {path.name}")
    return pytest.main(["-q", "-k", "official or recorded", "tests/mls"])


if __name__ == "__main__":
    sys.exit(main())
