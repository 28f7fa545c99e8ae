"""GREASE (RFC 9420 §13.5): reserved values that a client sends so that its peers stay used to what they do not know.

They may stand in four lists of `Capabilities` and among the extensions of leaves, KeyPackages and GroupInfos; nowhere
else (V113). Nothing here happens unasked: the maker of a leaf, a KeyPackage or a GroupInfo puts them in (V215).
"""

from mls.crypto import Random
from mls.registry import GREASE_VALUES, ExtensionType
from mls.tree.nodes import Extension

DATA_SIZE_MAX = 15

_VALUES = sorted(GREASE_VALUES)


def reserved_value(random: Random) -> int:
    """One of the fifteen."""
    return _VALUES[random(1)[0] % len(_VALUES)]


def grease_extension(random: Random) -> Extension:
    """An extension of a reserved type with meaningless data.

    In a leaf or a KeyPackage its type has to be among the leaf's `capabilities.extensions` (V067, V089):
    `own_capabilities((extension.extension_type,))`.
    """
    size = random(1)[0] % (DATA_SIZE_MAX + 1)
    return Extension(ExtensionType(reserved_value(random)), random(size))
