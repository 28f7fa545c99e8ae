"""Rules for a KeyPackage (RFC 9420 §10.1)."""

from collections.abc import Iterable

from mls.credentials import CredentialCheck, CredentialUse, accept_all, check_use
from mls.crypto import CipherSuite
from mls.errors import InvalidError
from mls.extensions import KEY_PACKAGE_PLACE, check_extensions
from mls.key_packages import KEY_PACKAGE_LABEL, KeyPackage
from mls.registry import LeafNodeSource, ProtocolVersion
from mls.validation.keys import check_hpke_key
from mls.validation.leaves import check_leaf_content, check_leaf_source, leaf_signed
from mls.validation.signatures import Map, Signed, first_forged, over_cores


def check_key_package(suite: CipherSuite, package: KeyPackage, accept: CredentialCheck = accept_all) -> None:
    """What a KeyPackage has to be to enter a group of that suite; its lifetime needs a clock and is asked elsewhere.

    With `accept`, the application is asked as it will be when the package is added (V053).
    """
    check_key_package_content(suite, package)
    check_key_package_signatures(suite, (package,))
    check_use(accept, CredentialUse(package.leaf_node.credential, package.leaf_node.signature_key), "V053")


def check_key_package_content(suite: CipherSuite, package: KeyPackage) -> None:
    """All but the two signatures."""
    if package.version is not ProtocolVersion.MLS10 or package.cipher_suite != suite.id:
        raise InvalidError("V083", f"a KeyPackage for cipher suite {package.cipher_suite:d}, not {suite.id:d}")
    check_hpke_key(suite, package.init_key)  # V087
    check_leaf_source(package.leaf_node, LeafNodeSource.KEY_PACKAGE)  # V084
    check_leaf_content(suite, package.leaf_node)
    check_extensions(package.extensions, KEY_PACKAGE_PLACE, "a KeyPackage")
    if package.init_key == package.leaf_node.encryption_key:
        raise InvalidError("V086", "a KeyPackage with one key for two purposes")


def check_key_package_signatures(
    suite: CipherSuite, packages: Iterable[KeyPackage], map_signatures: Map = over_cores
) -> None:
    """Of each package the leaf's signature (V062), then its own (V085)."""
    signed: list[Signed] = []
    for package in packages:
        leaf, key = package.leaf_node, package.leaf_node.signature_key
        signed.append(leaf_signed(suite, leaf))
        signed.append(Signed(suite, key, KEY_PACKAGE_LABEL, package.to_be_signed(), package.signature))
    forged = first_forged(signed, map_signatures)
    if forged is None:
        return
    if forged % 2 == 0:
        raise InvalidError("V062", "a leaf whose signature does not verify")
    raise InvalidError("V085", "a KeyPackage whose signature does not verify")
