"""The targets: each takes any bytes and lets nothing but an error of the engine's happen. The first byte picks the way.

A MisuseError says that our own caller is wrong; bytes of a peer never lead to one. A snapshot is our own, and may.
"""

from collections.abc import Callable
from functools import cache

from mls import Group, external_join, join, observe
from mls.codec import Struct, varint
from mls.crypto import suite
from mls.errors import MisuseError, MlsError
from mls.framing import FramedContent, MLSMessage, PublicMessage, frame
from mls.group_info import GroupInfo
from mls.key_packages import KeyPackageBundle
from mls.peek import confirmed_transcript_hash, decode_key_package, key_package_reference, peek, welcome_references
from mls.psks import Psks
from mls.public_group import PublicGroup
from mls.registry import ContentType
from mls.secret_tree import SecretTree
from mls.tree.private import TreeKeys
from mls.tree.ratchet import RatchetTree
from mls.tree.verify import check_tree
from mls.validation.key_packages import check_key_package
from tests.fuzz.scene import NAME, Scene
from tests.mls.strategies import all_structs
from tests.mls.world import NOW

SUITE = suite(1)
PSKS: Psks = {NAME: bytes(32)}
UNSIGNED = b"\x00" + varint(64) + bytes(64)
"""No words, and no signature."""
Way = Callable[[bytes], object]


@cache
def scene() -> Scene:
    return Scene()


def decode(data: bytes) -> None:
    """Every decoder: structs, trees, snapshots."""
    _take(data, DECODERS)


def process(data: bytes) -> None:
    """Every entry of a live group, with bytes as they come and with bytes that a member signed or sealed."""
    _take(data, PROCESSES)


def join_by(data: bytes) -> None:
    """Joining, with a Welcome as it comes and with one whose inside was changed by somebody who could."""
    _take(data, JOINS)


def _take(data: bytes, ways: list[Way]) -> None:
    if not data:
        return
    way = ways[data[0] % len(ways)]
    try:
        way(data[1:])
    except MlsError as error:
        if isinstance(error, MisuseError) and way not in SNAPSHOTS:
            raise


# --- decoders ---


def _struct(kind: type[Struct]) -> Way:
    def way(data: bytes) -> None:
        assert kind.decode(data).encode() == data

    return way


def _tree(data: bytes) -> None:
    tree = RatchetTree.decode(SUITE, data)
    assert tree.encode() == data
    check_tree(tree)


SNAPSHOTS: list[Way] = [
    lambda data: SecretTree.from_bytes(SUITE, data),
    lambda data: TreeKeys.from_bytes(SUITE, data),
    Group.from_bytes,
    PublicGroup.from_bytes,
    KeyPackageBundle.from_bytes,
]

DECODERS: list[Way] = [
    *(_struct(each) for each in all_structs()),
    *SNAPSHOTS,
    _tree,
    peek,
    welcome_references,
    key_package_reference,
    lambda data: check_key_package(SUITE, decode_key_package(data)),
    lambda data: confirmed_transcript_hash(1, bytes(32), data),
]


# --- a live group ---


def _signed(data: bytes) -> None:
    message = scene().said_by_alice(FramedContent.decode(data))
    public = scene().bob.public
    for take in (
        lambda: public.check_commit(message),
        lambda: public.check_commit(scene().commits[0], [message]),
        lambda: scene().bob.stage(message, now=NOW, psks=PSKS),
    ):
        try:
            take()
        except MisuseError:
            raise
        except MlsError:
            continue


def _sealed(content_type: ContentType) -> Way:
    def way(data: bytes) -> None:
        message = scene().sealed_by_alice(content_type, data)
        if content_type is ContentType.APPLICATION:
            scene().bob.open(message, NOW)
        else:
            scene().bob.stage(message, now=NOW, psks=PSKS)

    return way


PROCESSES: list[Way] = [
    lambda data: scene().bob.stage(data, now=NOW, psks=PSKS),
    lambda data: scene().bob.public.check_commit(data, [scene().proposals[0]]),
    lambda data: scene().bob.stage(scene().commits[0], proposals=[data], now=NOW),
    lambda data: scene().bob.open(data, NOW),
    observe,
    _signed,
    _sealed(ContentType.APPLICATION),
    _sealed(ContentType.PROPOSAL),
    _sealed(ContentType.COMMIT),
    lambda data: scene().bob.open(scene().sealed_by_alice(ContentType.APPLICATION, UNSIGNED, data), NOW),
]


# --- joining ---


def _join(welcome: bytes, tree: bytes | None = None) -> None:
    join(welcome, [scene().bundle], tree=tree, now=NOW)


def _with_info(data: bytes) -> None:
    _join(scene().welcome_with(scene().group_secrets.encode(), data))


def _with_signed_info(data: bytes) -> None:
    _with_info(scene().signed_info(GroupInfo.decode(data)).encode())


def _with_tree(data: bytes) -> None:
    _with_info(scene().info_for(data).encode())


def _external(group_info: bytes) -> None:
    zoe = scene().zoe
    external_join(group_info, zoe.signer, zoe.leaf.credential, zoe.leaf.capabilities, scene().world.random, NOW)


JOINS: list[Way] = [
    _join,
    _external,
    lambda data: _external(frame(scene().signed_info(GroupInfo.decode(data), of_alice=True))),
    lambda data: _join(scene().welcome_with(data)),
    _with_info,
    _with_signed_info,
    _with_tree,
    lambda data: _join(scene().welcome_with(scene().group_secrets.encode()), data),
]


TARGETS: dict[str, Callable[[bytes], None]] = {"decode": decode, "process": process, "join": join_by}


def seeds(target: str) -> list[bytes]:
    """Real inputs for each way into a target."""
    made = {"decode": _decoder_seeds, "process": _process_seeds, "join": _join_seeds}[target]()
    return [bytes((way,)) + data for way, data in made]


def _decoder_seeds() -> list[tuple[int, bytes]]:
    """Each message for each decoder that takes it."""
    here = scene()
    successor = here.invitation.successor
    known = [
        *here.commits,
        *here.proposals,
        here.words,
        successor.tree_bytes(),
        successor.group_info(),
        here.group_secrets.encode(),
        here.group_info.encode(),
        here.bundle.to_bytes(),
        here.bundle.key_package.encode(),
        here.bob.to_bytes(),
        here.bob.public.to_bytes(),
        here.bob.state.secret_tree.to_bytes(),
        here.bob.state.keys.to_bytes(),
        here.bob.context.encode(),
        *(_framed(each).encode() for each in (*here.commits[:-1], *here.proposals[:-1])),
        *(_framed(each).content.encode() for each in (*here.commits[:-1], *here.proposals[:-1])),  # type: ignore[union-attr]
    ]
    return [(way, data) for way, take in enumerate(DECODERS) for data in known if _takes(take, data)]


def _takes(take: Way, data: bytes) -> bool:
    try:
        take(data)
    except MlsError:
        return False
    return True


def _process_seeds() -> list[tuple[int, bytes]]:
    here = scene()
    raw = [(way, data) for way in range(4) for data in (*here.commits, *here.proposals, here.words)]
    signed = [(5, _framed(each).encode()) for each in (*here.commits[:-1], *here.proposals[:-1])]
    signature = varint(64) + bytes(64)
    sealed = [(6, b"\x05words" + signature)]
    sealed += [(7, _framed(each).content.encode() + signature) for each in here.proposals[:-1]]  # type: ignore[union-attr]
    sealed += [(8, _framed(each).content.encode() + signature + b"\x20" + bytes(32)) for each in here.commits[:-1]]  # type: ignore[union-attr]
    return [*raw, (4, here.bob.group_info()), *signed, *sealed, (9, bytes(12))]


def _join_seeds() -> list[tuple[int, bytes]]:
    here = scene()
    assert here.invitation.welcome is not None
    info, tree = here.group_info.encode(), here.invitation.successor.tree_bytes()
    open_info = here.alice.group_info(external_pub=True)
    body = MLSMessage.decode(open_info).body
    assert isinstance(body, GroupInfo)
    known = (here.invitation.welcome, open_info, body.encode(), here.group_secrets.encode(), info, info, tree, tree)
    return list(enumerate(known))


def _framed(message: bytes) -> FramedContent:
    body = MLSMessage.decode(message).body
    assert isinstance(body, PublicMessage)
    return body.content
