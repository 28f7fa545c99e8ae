"""Small worlds: named members of one group who hold the same epoch, and keep each other up to date."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mls.capabilities import own_capabilities
from mls.config import GroupConfig
from mls.credentials import basic
from mls.crypto import SignaturePrivateKey, suite
from mls.entry import join
from mls.group import Group
from mls.key_packages import KeyPackageBundle, create_key_package
from mls.proposals import Proposal, add, remove
from mls.psks import NO_PSKS, Psks
from mls.results import OwnCommit
from mls.tree.nodes import Capabilities, Credential, Extension, Lifetime

NOW = 1_800_000_000
LIFETIME = Lifetime(NOW - 3600, NOW + 30 * 24 * 3600)
POLICY = 0xF0C0
"""A private-use group context extension every member of these worlds understands."""
VOTER = 0xF0C1
"""A private-use leaf extension likewise."""


class Dice:
    """Reproducible randomness: the same seed gives the same bytes."""

    def __init__(self, seed: str = "dice") -> None:
        self.seed, self.count = seed, 0

    def __call__(self, size: int) -> bytes:
        self.count += 1
        return hashlib.shake_256(f"{self.seed}/{self.count}".encode()).digest(size)


@dataclass
class Client:
    """Somebody who can join groups."""

    name: str
    suite_id: int
    random: Callable[[int], bytes]
    signer: SignaturePrivateKey = field(init=False)
    capabilities: Capabilities = field(init=False)
    credential: Credential = field(init=False)

    def __post_init__(self) -> None:
        self.signer = suite(self.suite_id).generate_signature_key(self.random)
        self.capabilities = own_capabilities((POLICY, VOTER), self.random)
        self.credential = basic(self.name.encode())

    def package(
        self, *, lifetime: Lifetime = LIFETIME, leaf_extensions: tuple[Extension, ...] = ()
    ) -> KeyPackageBundle:
        return create_key_package(
            self.suite_id,
            self.credential,
            self.signer,
            lifetime,
            self.capabilities,
            leaf_extensions,
            (),
            self.random,
        )


class Members:
    """A group whose members are reached by name: `Members("alice", "bob")["bob"].epoch`."""

    def __init__(
        self,
        *names: str,
        suite_id: int = 1,
        extensions: tuple[Extension, ...] = (),
        config: GroupConfig | None = None,
        seed: str = "world",
    ) -> None:
        self.suite_id, self.config = suite_id, config or GroupConfig()
        self.random = Dice(seed)
        self.psks: Psks = NO_PSKS  # those at hand of every member
        self.groups: dict[str, Group] = {}
        self.clients: dict[str, Client] = {}
        founder = self.client(names[0])
        self.groups[names[0]] = Group.create(
            suite_id,
            b"a group",
            founder.signer,
            founder.credential,
            founder.capabilities,
            (),
            extensions,
            self.random,
            LIFETIME,
            self.config,
        )
        if len(names) > 1:
            self.add(names[0], *names[1:])

    def __getitem__(self, name: str) -> Group:
        return self.groups[name]

    def client(self, name: str) -> Client:
        if name not in self.clients:
            self.clients[name] = Client(name, self.suite_id, self.random)
        return self.clients[name]

    def leaf(self, name: str) -> int:
        return self.groups[name].own_leaf

    def commit(self, committer: str, *, adopt: bool = True, **request: Any) -> OwnCommit:
        """A commit of one member, taken in by all the others unless `adopt` is off."""
        made = self[committer].commit(self.random, NOW, **({"psks": self.psks} | request))
        if adopt:
            self.adopt(committer, made, request.get("references", ()))
        return made

    def adopt(self, committer: str, made: OwnCommit, references: Sequence[bytes] = ()) -> None:
        for name, group in list(self.groups.items()):
            if name == committer:
                self.groups[name] = made.successor
                continue
            staged = group.stage(made.message, proposals=references, now=NOW, psks=self.psks)
            if staged.successor is None:
                del self.groups[name]
            else:
                self.groups[name] = staged.successor

    def add(self, adder: str, *names: str, **request: Any) -> OwnCommit:
        bundles = {name: self.client(name).package() for name in names}
        proposals = [add(bundle.key_package) for bundle in bundles.values()]
        made = self.commit(adder, proposals=proposals, **request)
        for name, bundle in bundles.items():
            self.join(name, made, bundle)
        return made

    def join(self, name: str, made: OwnCommit, bundle: KeyPackageBundle) -> None:
        assert made.welcome is not None
        tree = made.successor.tree_bytes()
        self.groups[name] = join(made.welcome, [bundle], tree=tree, now=NOW, config=self.config)

    def remove(self, remover: str, *names: str, **request: Any) -> OwnCommit:
        proposals: list[Proposal] = [remove(self.leaf(name)) for name in names]
        return self.commit(remover, proposals=proposals, **request)

    def agree(self) -> bool:
        """Whether all members are in the same epoch with the same secrets and the same public state."""
        return (
            len({group.epoch_authenticator for group in self.groups.values()}) == 1
            and len({group.context.encode() for group in self.groups.values()}) == 1
            and len({group.public.tree.tree_hash() for group in self.groups.values()}) == 1
            and len({group.public.interim_transcript_hash for group in self.groups.values()}) == 1
        )
