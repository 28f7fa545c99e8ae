"""Making key packages of our own: fresh keys each time, and a credential that is bound to this node."""

from typing import Final

from mls import KeyPackageBundle, Lifetime, basic, create_key_package, own_capabilities, suite
from node.context import NodeContext
from node.electorate import PRIVATE_EXTENSIONS

LIFETIME_S: Final = 90 * 24 * 3600
CLOCK_SKEW_S: Final = 24 * 3600


def new_key_package(context: NodeContext, suite_id: int, *, is_last_resort: bool = False) -> KeyPackageBundle:
    """A key package with fresh keys, its credential bound to this node."""
    signer = suite(suite_id).generate_signature_key(context.random)
    return create_key_package(
        suite_id,
        basic(context.identity.bind(signer.public, suite_id)),
        signer,
        lifetime_from(context.now_ms() // 1000),
        own_capabilities(PRIVATE_EXTENSIONS),
        (),
        (),
        context.random,
        last_resort=is_last_resort,
    )


def lifetime_from(now: int) -> Lifetime:
    """From a day ago, for clocks that differ, until three months from now."""
    return Lifetime(now - CLOCK_SKEW_S, now + LIFETIME_S)
