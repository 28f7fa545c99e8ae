"""Rules for a KeyPackage (RFC 9420 §10.1)."""

from mls.crypto import CipherSuite
from mls.errors import InvalidError
from mls.extensions import KEY_PACKAGE_PLACE, check_extensions
from mls.key_packages import KEY_PACKAGE_LABEL, KeyPackage
from mls.registry import LeafNodeSource, ProtocolVersion
from mls.validation.keys import check_hpke_key
from mls.validation.leaves import check_leaf


def check_key_package(suite: CipherSuite, package: KeyPackage) -> None:
    """What a KeyPackage has to be to enter a group of that suite; its lifetime needs a clock and is asked elsewhere."""
    if package.version is not ProtocolVersion.MLS10 or package.cipher_suite != suite.id:
        raise InvalidError("V083", f"a KeyPackage for cipher suite {package.cipher_suite:d}, not {suite.id:d}")
    check_hpke_key(suite, package.init_key)  # V087
    check_leaf(suite, package.leaf_node, LeafNodeSource.KEY_PACKAGE)  # V084
    check_extensions(package.extensions, KEY_PACKAGE_PLACE, "a KeyPackage")
    if package.init_key == package.leaf_node.encryption_key:
        raise InvalidError("V086", "a KeyPackage with one key for two purposes")
    if not suite.verify_with_label(
        package.leaf_node.signature_key, KEY_PACKAGE_LABEL, package.to_be_signed(), package.signature
    ):
        raise InvalidError("V085", "a KeyPackage whose signature does not verify")
