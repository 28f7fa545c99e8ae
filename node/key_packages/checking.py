"""What a claimed key package has to be, before a commit is built on it: whoever gave it may have lied."""

from typing import Final

from mls import KeyPackage, MlsError, PublicGroup, check_key_package, decode_key_package, suite
from node.contacts.cards import day
from node.electorate import LEAF_SIZE_MAX
from node.errors import NodeError
from node.identity import BindingError, verify_binding
from node.peer_id import PeerId

DEFAULT_EXTENSIONS_MAX: Final = 5  # RFC 9420 §7.2: types up to this one need not be listed


class PackageError(NodeError):
    """No key package that this peer could be added with; the message says what is wrong, in words for a person."""


def check_package(
    data: bytes, peer: PeerId, suite_id: int, now_s: int, public: PublicGroup | None = None
) -> KeyPackage:
    """A key package of this peer, good now, for this cipher suite, and for this group if one is named."""
    try:
        package = decode_key_package(data)
        check_key_package(suite(suite_id), package)
        owner = verify_binding(package.leaf_node.credential.identity, package.leaf_node.signature_key, suite_id)
    except (MlsError, BindingError) as error:
        raise PackageError(f"its key package is no good: {error}") from error
    if owner != peer:
        raise PackageError("its key package is another peer's")
    lifetime = package.leaf_node.lifetime
    if lifetime is None or now_s > lifetime.not_after:
        raise PackageError(f"its key package expired on {day(0 if lifetime is None else lifetime.not_after)}")
    if now_s < lifetime.not_before:
        raise PackageError(f"its key package is good from {day(lifetime.not_before)} on: is a clock wrong?")
    if len(package.leaf_node.encode()) > LEAF_SIZE_MAX:
        raise PackageError("its key package is too large")
    if public is not None:
        _check_support(package, public)
    return package


def _check_support(package: KeyPackage, public: PublicGroup) -> None:
    """What the engine would refuse the whole commit for (RFC 9420 V080)."""
    listed = set(package.leaf_node.capabilities.extensions)
    present = {int(each.extension_type) for each in public.extensions}
    if missing := sorted(each for each in present if each > DEFAULT_EXTENSIONS_MAX and each not in listed):
        raise PackageError(f"its node does not support what this group uses: extensions {missing}")
