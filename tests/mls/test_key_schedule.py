"""The key schedule against the published vectors."""

import random

import pytest

from mls import key_schedule
from mls.codec import varint
from mls.crypto import suite, supported_suites
from mls.errors import InvalidError, MisuseError
from tests.vectors import EVERY_SOURCE, Source


def opaque(value: bytes) -> bytes:
    return varint(len(value)) + value


@EVERY_SOURCE
def test_epochs_match_the_published_vectors(source: Source) -> None:
    for case in source.cases("key-schedule"):
        row = suite(case["cipher_suite"])
        group_id, init_secret = bytes.fromhex(case["group_id"]), bytes.fromhex(case["initial_init_secret"])
        for epoch, published in enumerate(case["epochs"]):
            known = {name: bytes.fromhex(value) for name, value in published.items() if isinstance(value, str)}
            context = b"\x00\x01" + case["cipher_suite"].to_bytes(2, "big") + opaque(group_id)
            context += epoch.to_bytes(8, "big") + opaque(known["tree_hash"])
            context += opaque(known["confirmed_transcript_hash"]) + b"\x00"
            assert context == known["group_context"]

            joiner = key_schedule.joiner_secret(row, init_secret, known["commit_secret"], context)
            start = key_schedule.start_epoch(row, joiner, known["psk_secret"], context)

            secrets = start.secrets
            assert joiner == known["joiner_secret"]
            assert key_schedule.welcome_secret(row, joiner, known["psk_secret"]) == known["welcome_secret"]
            assert start.encryption_secret == known["encryption_secret"]
            for name in secrets.__dataclass_fields__:
                assert getattr(secrets, name) == known[name]
            assert secrets.external_key(row).public == known["external_pub"]
            exporter = published["exporter"]
            exported = secrets.export(row, exporter["label"], bytes.fromhex(exporter["context"]), exporter["length"])
            assert exported == bytes.fromhex(exporter["secret"])
            init_secret = secrets.init_secret
        source.ran("key-schedule")


@EVERY_SOURCE
def test_psk_chains_match_the_published_vectors(source: Source) -> None:
    """V160: in the order of the commit; all zero when there is none."""
    for case in source.cases("psk_secret"):
        psks = [
            (
                b"\x01" + opaque(bytes.fromhex(each["psk_id"])) + opaque(bytes.fromhex(each["psk_nonce"])),
                bytes.fromhex(each["psk"]),
            )
            for each in case["psks"]
        ]
        assert key_schedule.psk_secret(suite(case["cipher_suite"]), psks) == bytes.fromhex(case["psk_secret"])
        source.ran("psk_secret")


def test_too_many_psks_are_refused() -> None:
    """V160: index and count are uint16."""
    with pytest.raises(InvalidError) as refused:
        key_schedule.psk_secret(suite(1), [(b"", b"")] * 65536)

    assert refused.value.rule == "V160"


@pytest.mark.parametrize("id", supported_suites())
def test_an_external_joiner_and_the_group_agree_on_the_init_secret(id: int) -> None:
    """V143."""
    row = suite(id)
    start = key_schedule.start_from_epoch_secret(row, bytes(row.hash_size))
    key = start.secrets.external_key(row)

    kem_output, init_secret = key_schedule.external_init(row, key.public, random.Random(1).randbytes)

    assert key_schedule.receive_external_init(row, kem_output, key) == init_secret
    assert len(init_secret) == row.hash_size


def test_secrets_are_not_printed() -> None:
    """V216."""
    start = key_schedule.start_from_epoch_secret(suite(1), bytes(32))

    assert start.secrets.init_secret.hex()[:8] not in repr(start)
    assert "secret=" not in repr(start)


def test_a_secret_of_another_suite_is_a_misuse() -> None:
    with pytest.raises(MisuseError):
        key_schedule.welcome_key(suite(4), bytes(32))


@pytest.mark.parametrize("length", [-1, 255 * 32 + 1, 1 << 16])
def test_an_exported_secret_of_no_possible_length_is_a_misuse(length: int) -> None:
    row = suite(1)
    secrets = key_schedule.start_from_epoch_secret(row, bytes(32)).secrets
    assert len(secrets.export(row, "a label", b"", 255 * 32)) == 255 * 32
    with pytest.raises(MisuseError):
        secrets.export(row, "a label", b"", length)


def test_secrets_survive_a_snapshot() -> None:
    secrets = key_schedule.start_from_epoch_secret(suite(1), bytes(32)).secrets

    assert key_schedule.EpochSecrets.decode(secrets.encode()) == secrets
