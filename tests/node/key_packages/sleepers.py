"""People who sleep: an identity, a card, and key packages that lie at real replicas. No node of theirs runs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from mls import (
    KeyPackageBundle,
    Lifetime,
    SignaturePrivateKey,
    basic,
    create_key_package,
    frame,
    own_capabilities,
    suite,
)
from node.contacts.cards import INBOX_SUITE, Card, Place, make_card
from node.electorate import PRIVATE_EXTENSIONS
from node.identity import Identity
from node.key_packages.messages import (
    PUBLISH_PROTOCOL,
    PUT_PROTOCOL,
    Entry,
    Manifest,
    Published,
    Put,
    PutReply,
    digest_of,
)
from node.key_packages.quorum import replicas_of
from node.peer_id import public_key_of
from node.transport import Transport
from tests.node.world import SUITE, Member

DAY_S = 24 * 3600


@dataclass(slots=True)
class Sleeper:
    """One of them."""

    name: str
    identity: Identity
    card: Card
    now_s: int
    random: Random
    bundles: dict[bytes, KeyPackageBundle] = field(default_factory=dict, repr=False)  # by reference
    serial: int = 0

    @classmethod
    def of(cls, name: str, boxes: Sequence[Member], now_s: int) -> "Sleeper":
        """Somebody who names these as replicas."""
        random = Random(name)
        identity = Identity.generate(random.randbytes)
        places = tuple(Place(public_key_of(box.peer_id), (f"/memory/{box.peer_id}",)) for box in boxes)
        card = make_card(
            identity,
            serial=1,
            name=name,
            addresses=(),
            mailboxes=(),
            replicas=places,
            suites=(SUITE,),
            inbox_key=suite(INBOX_SUITE).generate_hpke_key(random.randbytes).public,
            now_s=now_s,
        )
        return cls(name, identity, card, now_s, random)

    def make(
        self, *, is_expired: bool = False, is_last_resort: bool = False, signer: SignaturePrivateKey | None = None
    ) -> bytes:
        """A key package, good now or expired ten days ago."""
        signer = signer or suite(SUITE).generate_signature_key(self.random.randbytes)
        until_s = self.now_s + (-10 if is_expired else 60) * DAY_S
        bundle = create_key_package(
            SUITE,
            basic(self.identity.bind(signer.public, SUITE)),
            signer,
            Lifetime(until_s - 80 * DAY_S, until_s),
            own_capabilities(PRIVATE_EXTENSIONS),
            (),
            (),
            self.random.randbytes,
            last_resort=is_last_resort,
        )
        self.bundles[bundle.reference] = bundle
        return frame(bundle.key_package)

    async def publish(self, transport: Transport, packages: Sequence[bytes], last_resort: bytes = b"") -> None:
        """Whatever lies there: a replica believes what the manifest says of a package."""
        replicas = replicas_of(self.card)
        assert replicas is not None
        self.serial += 1
        every = (*packages, last_resort) if last_resort else tuple(packages)
        until_s = self.now_s + 60 * DAY_S
        entries = tuple(Entry(digest_of(each), SUITE, each == last_resort, until_s) for each in every)
        manifest = Manifest.sign(self.identity, replicas.id, self.serial, entries).encode()
        for place in replicas.places:
            persona = self.random.randbytes(32)

            async def ask(protocol: str, payload: bytes, address: str = place.dial[0], who: bytes = persona) -> bytes:
                return await transport.request_unnamed(address, protocol, payload, persona=who)

            published = Published.decode(await ask(PUBLISH_PROTOCOL, manifest))
            missing = tuple(each for each in every if digest_of(each) in published.missing)
            if missing:
                reply = await ask(PUT_PROTOCOL, Put(self.identity.public_key, missing).encode())
                assert PutReply.decode(reply).kept == len(missing)
