"""Welcomes of others open; ours cover every newcomer."""

from mls.crypto import suite
from mls.framing import MLSMessage
from mls.group_info import GroupInfo
from mls.key_packages import KeyPackage
from mls.key_schedule import start_epoch, welcome_key, welcome_secret, zero_secret
from mls.welcome import WELCOME_LABEL, GroupSecrets, Welcome
from tests.vectors import EVERY_SOURCE, Source


@EVERY_SOURCE
def test_published_welcomes(source: Source) -> None:
    """Group secrets, GroupInfo, its signature and its confirmation tag, for all suites."""
    for case in source.cases("welcome"):
        row = suite(case["cipher_suite"])
        package = MLSMessage.decode(bytes.fromhex(case["key_package"])).body
        welcome = MLSMessage.decode(bytes.fromhex(case["welcome"])).body
        assert isinstance(package, KeyPackage)
        assert isinstance(welcome, Welcome)
        entry = next(each for each in welcome.secrets if each.new_member == package.reference)
        init_key = row.load_hpke_key(bytes.fromhex(case["init_priv"]))

        secrets = GroupSecrets.decode(
            row.decrypt_with_label(init_key, WELCOME_LABEL, welcome.encrypted_group_info, entry.encrypted_group_secrets)
        )
        key, nonce = welcome_key(row, welcome_secret(row, secrets.joiner_secret, zero_secret(row)))
        info = GroupInfo.decode(row.aead_open(key, nonce, welcome.encrypted_group_info))
        start = start_epoch(row, secrets.joiner_secret, zero_secret(row), info.group_context.encode())

        assert info.verify(row, bytes.fromhex(case["signer_pub"]))
        confirmed = info.group_context.confirmed_transcript_hash
        assert row.mac_verify(start.secrets.confirmation_key, confirmed, info.confirmation_tag)
        source.ran("welcome")
