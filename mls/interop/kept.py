"""What a server keeps for the clients it plays: states, transactions, signers, each by a number."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from mls import (
    DEFAULT_PROFILE,
    Capabilities,
    CipherSuiteId,
    Extension,
    ExtensionType,
    Group,
    GroupConfig,
    KeyPackageBundle,
    Lifetime,
    OwnCommit,
    PskName,
    PublicGroup,
    Random,
    SignaturePrivateKey,
    WireFormat,
    create_key_package,
    own_capabilities,
    suite,
    supported_suites,
)
from mls.interop.answers import ExtensionValue

CONFIG = GroupConfig(lifetime_max_s=None)
"""Engines under test hand out key packages without end; everything else is checked as always."""

HOUR_S = 60 * 60
LIFETIME_S = 90 * 24 * HOUR_S

RFC9420_SUITES = tuple(each for each in supported_suites() if each not in DEFAULT_PROFILE.post_quantum.values())
"""Those every engine has under the same number."""

Clock = Callable[[], int]
"""Unix seconds."""


class UnknownError(LookupError):
    """No state, transaction, reinitialisation or signer of that number: the runner's mistake."""


class UnsupportedError(Exception):
    """Asked for what this engine does not do."""


class RefusedError(Exception):
    """Asked for what makes no sense now, or not with these values: the runner's mistake."""


@dataclass(slots=True)
class State:
    """One client's membership in one group, through all its epochs."""

    group: Group
    wire_format: WireFormat  # of its handshake messages
    psks: dict[PskName, bytes] = field(default_factory=dict, repr=False)
    pending: OwnCommit | None = None


@dataclass(slots=True)
class Transaction:
    """A key package that waits for its Welcome, and what was stored for the group to come."""

    bundle: KeyPackageBundle
    psks: dict[PskName, bytes] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Reinitialization:
    """A group that a ReInit has ended, and a key package for its successor."""

    state: State
    bundle: KeyPackageBundle


@dataclass(frozen=True, slots=True)
class Signer:
    """An external sender."""

    key: SignaturePrivateKey = field(repr=False)


Item = TypeVar("Item")


class Kept:
    """The base of `Client`: its store, and what every method needs."""

    def __init__(
        self,
        random: Random,
        clock: Clock,
        suites: tuple[CipherSuiteId, ...] = RFC9420_SUITES,
        config: GroupConfig = CONFIG,
    ) -> None:
        self.random, self.clock = random, clock
        self.suites, self.config = suites, config
        self._numbers = itertools.count(1)
        self._items: dict[int, object] = {}

    def keep(self, item: object) -> int:
        number = next(self._numbers)
        self._items[number] = item
        return number

    def find(self, kind: type[Item], number: int) -> Item:
        item = self._items.get(number)
        if not isinstance(item, kind):
            raise UnknownError(f"no {kind.__name__.lower()} {number}")
        return item

    def forget(self, number: int) -> None:
        self._items.pop(number, None)

    def psks_of(self, number: int) -> dict[PskName, bytes]:
        """The external PSKs of a state, or of one to come."""
        item = self._items.get(number)
        if not isinstance(item, State | Transaction):
            raise UnknownError(f"no state or transaction {number}")
        return item.psks

    # --- what is made the same way everywhere ---

    def suite_id(self, number: int) -> CipherSuiteId:
        if number not in self.suites:
            raise UnsupportedError(f"this server offers no cipher suite {number:#06x}")
        return CipherSuiteId(number)

    def signature_key(self, suite_id: CipherSuiteId) -> SignaturePrivateKey:
        return suite(suite_id).generate_signature_key(self.random)

    def capabilities(self) -> Capabilities:
        return own_capabilities((), self.random)

    def lifetime(self) -> Lifetime:
        now = self.clock()
        return Lifetime(now - HOUR_S, now + LIFETIME_S)

    def bundle(self, suite_id: CipherSuiteId, identity: bytes) -> KeyPackageBundle:
        signer = self.signature_key(suite_id)
        return create_key_package(suite_id, identity, signer, self.lifetime(), self.capabilities(), (), (), self.random)


def wire_format(encrypt_handshake: bool) -> WireFormat:
    return WireFormat.MLS_PRIVATE_MESSAGE if encrypt_handshake else WireFormat.MLS_PUBLIC_MESSAGE


def mls_extensions(values: Sequence[ExtensionValue]) -> tuple[Extension, ...]:
    return tuple(Extension(ExtensionType(each.extension_type), each.extension_data) for each in values)


def leaf_of(group: PublicGroup, identity: bytes) -> int:
    """The leaf of the member with this identity; the first, should there be several."""
    for leaf_index, leaf in group.leaves():
        if leaf.credential.identity == identity:
            return leaf_index
    raise RefusedError(f"no member called {identity!r}")
