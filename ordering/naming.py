"""The names everything else is bound to: genesis, instance, bundle, and the order permutation."""

from __future__ import annotations

from functools import lru_cache

from ordering.policy import Descriptor
from ordering.wire import BundleId, InstanceId, digest


def genesis_prev(group_id: bytes, tree_hash: bytes) -> BundleId:
    """What stands for "the bundle decided before" in a group's first epoch."""
    return BundleId(digest("conclave/genesis/v1", group_id, tree_hash))


@lru_cache(maxsize=256)
def instance_id(group_id: bytes, epoch: int, descriptor: Descriptor, prev: bytes) -> InstanceId:
    """The name of one agreement: group, epoch, committee, and the bundle that led here.

    `prev` is the bundle id decided in epoch - 1, never a hash of its certificate: certificates are not unique, and two
    honest nodes holding different ones must open the same instance.
    """
    return InstanceId(digest("conclave/instance/v1", group_id, epoch, descriptor.hash, prev))


def bundle_id(instance: bytes, body_hash: bytes, announced: Descriptor) -> BundleId:
    """The id of a bundle in an instance: over its body and the descriptor it announces, hashed apart.

    Two halves, so that a decided chain can be checked from (body hash, descriptor) when the bytes are gone.
    """
    return BundleId(digest("conclave/bundle/v1", instance, body_hash, announced.hash))


@lru_cache(maxsize=4096)
def permutation(group_id: bytes, epoch: int, leaf: int) -> bytes:
    """Where a leaf stands among its rivals of one epoch; no choice of the committer's moves it."""
    return digest("conclave/order/v1", group_id, epoch, leaf)
