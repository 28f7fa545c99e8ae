"""Three real nodes on real sockets form a group and decide, whatever somebody throws at one of them.

What a single transport does with such bytes is shown in `test_transport_libp2p`; here the whole node stands behind it.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import trio

from node.peer_messages import (
    BUNDLE_PROTOCOL,
    CANDIDATE_PROTOCOL,
    CHAIN_PROTOCOL,
    KEY_PACKAGE_PROTOCOL,
    MESSAGES_PROTOCOL,
    SYNC_PROTOCOL,
    WELCOME_PROTOCOL,
    BundleRequest,
    CandidateRequest,
    ChainQuestion,
    EpochDigest,
    Frame,
    FrameKind,
    KeyPackageRequest,
    MessagesRequest,
    Sealed,
    SyncRequest,
    WelcomeDelivery,
    group_tag,
    topic_of,
)
from node.sealing import seal
from node.transport import FRAME_SIZE_MAX, REQUEST_SIZE_MAX, RequestError, RequestFailure
from node.transport_frames import Kind, encode_frame, encode_hint, encode_question
from node.transport_libp2p.mesh import MESH_PROTOCOL
from node.transport_requests import REQUEST_PROTOCOL
from node.transport_streams import KEPT_PROTOCOL
from ordering import ChainRequest, Status, encode_message
from tests.node.libp2p_world import Scene, open_scene
from tests.node.test_transport_libp2p import HASHED_AUTHOR, message, multistream, rpc, varint

EPOCH_MAX = 2**63 - 1


@pytest.fixture
def chance() -> random.Random:
    return random.Random(20)


async def test_three_nodes_that_know_one_form_a_group_in_time(tmp_path: Path) -> None:
    """With every timer at its default: a newcomer need not wait for the next sign of life to be believed in."""
    began_s = trio.current_time()
    async with open_scene(tmp_path) as scene:
        assert trio.current_time() - began_s < 10
        assert all(not peer.session.holding.unconfirmed for peer in scene.peers)


async def test_broken_gossip_and_broken_framing(tmp_path: Path, chance: random.Random) -> None:
    """Malformed pubsub RPCs; frames that are cut, too large, of another version, or noise."""
    async with open_scene(tmp_path) as scene:
        frame = encode_frame(Kind.DATA, Frame(group_tag(b"any"), FrameKind.MESSAGE, bytes(500)).encode())
        thrown = [
            (MESH_PROTOCOL, b"\x05\xff\xff\xff\xff\xff"),
            (MESH_PROTOCOL, rpc(message(HASHED_AUTHOR, b"\xff\xff", topic_of(scene.victim.session.group_id).encode()))),
            (MESH_PROTOCOL, rpc(message(b"", b""))),
            (MESH_PROTOCOL, varint(2**30)),
            (MESH_PROTOCOL, chance.randbytes(3000)),
            (KEPT_PROTOCOL, frame[:-7]),
            (KEPT_PROTOCOL, frame[:4] + b"\x02" + frame[5:]),
            (KEPT_PROTOCOL, (FRAME_SIZE_MAX + 3).to_bytes(4, "big") + b"\x01\x00"),
            (KEPT_PROTOCOL, b"\xff" * 64),
            (KEPT_PROTOCOL, chance.randbytes(3000)),
            (REQUEST_PROTOCOL, b"\x02\x04echo" + bytes(4)),
            (REQUEST_PROTOCOL, encode_question(SYNC_PROTOCOL, bytes(900))[:-7]),
            (REQUEST_PROTOCOL, b"\x01\x04echo" + (REQUEST_SIZE_MAX + 1).to_bytes(4, "big")),
            (REQUEST_PROTOCOL, chance.randbytes(3000)),
        ]

        async def attack() -> None:
            for protocol, data in thrown:
                await scene.stranger.throw(protocol, data)

        await scene.under(attack)


async def test_strangers_at_the_port(tmp_path: Path, chance: random.Random) -> None:
    """Who wants plaintext, talks noise, says nothing, or leaves in the middle of the handshake."""
    async with open_scene(tmp_path) as scene:

        async def attack() -> None:
            plaintext = await scene.stranger.tcp()
            await plaintext.send_all(multistream("/multistream/1.0.0") + multistream("/plaintext/2.0.0"))
            refused = b""
            while refused.count(b"\n") < 2:
                refused += await plaintext.receive_some()
            assert refused.endswith(multistream("na"))
            silent = [await scene.stranger.tcp() for _ in range(10)]
            for size in (1, 20, 3000):
                noisy = await scene.stranger.tcp()
                await noisy.send_all(chance.randbytes(size))
                await noisy.aclose()
            leaving = await scene.stranger.tcp()
            await leaving.send_all(multistream("/multistream/1.0.0") + multistream("/noise") + b"\x00\x20" + bytes(9))
            for stream in (plaintext, leaving, *silent):
                await stream.aclose()

        await scene.under(attack)


async def test_requests_of_a_stranger_who_knows_the_group(tmp_path: Path, chance: random.Random) -> None:
    """The tag of a group is no secret for ever: a removed member knows it. Well made requests are refused, not served;
    what is no request is refused as well; nothing of it is a failure of ours."""
    async with open_scene(tmp_path) as scene:
        group_id = scene.victim.session.group_id
        tag = group_tag(group_id)
        digests = tuple(EpochDigest(epoch, bytes(32)) for epoch in range(24))
        well_made: list[tuple[str, bytes]] = [
            (CANDIDATE_PROTOCOL, CandidateRequest(tag, bytes(32)).encode()),
            (BUNDLE_PROTOCOL, BundleRequest(tag, 0).encode()),
            (BUNDLE_PROTOCOL, BundleRequest(tag, EPOCH_MAX).encode()),
            (CHAIN_PROTOCOL, ChainQuestion(tag, b"nonsense").encode()),
            (WELCOME_PROTOCOL, WelcomeDelivery(b"nonsense", "name").encode()),
            (KEY_PACKAGE_PROTOCOL, KeyPackageRequest(0xFFFF).encode()),
            (SYNC_PROTOCOL, SyncRequest(bytes(16), 1, ()).encode()),
            (CHAIN_PROTOCOL, ChainQuestion(tag, ChainRequest(group_id, 0, 128).encode()).encode()),
            (SYNC_PROTOCOL, SyncRequest(tag, EPOCH_MAX, digests).encode()),
            (MESSAGES_PROTOCOL, MessagesRequest(tag, tuple(chance.randbytes(32) for _ in range(256))).encode()),
        ]
        other_version = [(protocol, b"\x93\x02" + payload[2:]) for protocol, payload in well_made]
        noise = [(protocol, chance.randbytes(200)) for protocol, _ in well_made]
        large = [(KEY_PACKAGE_PROTOCOL, bytes(1024 * 1024)), (WELCOME_PROTOCOL, bytes(5 * 1024 * 1024))]

        async def attack() -> None:
            stranger = scene.stranger.transport
            for protocol, payload in (*well_made, *other_version, *noise, *large):
                with pytest.raises(RequestError) as refused:
                    await stranger.request(scene.victim.peer_id, protocol, payload)
                assert refused.value.kind is RequestFailure.REFUSED, (protocol, payload[:20])

        await scene.under(attack)


async def test_frames_of_a_stranger_who_knows_the_group(tmp_path: Path, chance: random.Random) -> None:
    """Every kind of frame with noise, another version, and claims about epochs far away."""
    async with open_scene(tmp_path) as scene:
        await scene.under(lambda: _frames_and_hints(scene, chance, scene.stranger.transport.send, sealing_key=None))


async def test_frames_of_a_member_gone_bad(tmp_path: Path, chance: random.Random) -> None:
    """Cyn can sign and seal: true messages with one version or byte changed, under the true key of the epoch."""
    async with open_scene(tmp_path) as scene:
        key = scene.cyn.session.holding.extra.key_of(scene.cyn.session.holding.epoch)
        await scene.under(lambda: _frames_and_hints(scene, chance, scene.cyn.transport.send, sealing_key=key))
        assert not any("never" in text for text in scene.victim.texts())


async def _frames_and_hints(scene: Scene, chance: random.Random, send: object, sealing_key: bytes | None) -> None:
    """What one connected peer can say about the group on its kept stream and on the topic."""
    group_id, epoch = scene.victim.session.group_id, scene.victim.session.holding.epoch
    tag, topic = group_tag(group_id), topic_of(group_id)
    group = scene.cyn.session.holding.group
    latest = scene.cyn.node.context.store.latest_decision(group_id)
    assert group is not None
    assert latest is not None
    assert latest.candidate is not None
    _, mls_message = group.seal(b"never read", chance.randbytes)
    instance = scene.victim.session.agreement.epoch.instance
    claims = [
        Status(bytes(32), EPOCH_MAX, 0, None, 9, 1, (), b"", b""),
        Status(instance, epoch, 2**32 - 1, 0, 0, 2**62, (), bytes(16), bytes(64)),
    ]
    bodies = [
        *((FrameKind.ORDERING, encode_message(claim)) for claim in claims),
        *((FrameKind.ORDERING, bytes((kind,)) + chance.randbytes(100)) for kind in range(12)),
        (FrameKind.ORDERING, b"\x06" + b"\x9a\x02" + latest.decision[2:]),
        (FrameKind.ORDERING, b""),
        (FrameKind.CANDIDATE, latest.candidate),
        (FrameKind.CANDIDATE, b"\x96\x02" + latest.candidate[2:]),
        (FrameKind.CANDIDATE, latest.candidate[:-1]),
        (FrameKind.CANDIDATE, chance.randbytes(5000)),
        (FrameKind.MESSAGE, b"\x00\x02" + mls_message[2:]),
        (FrameKind.MESSAGE, mls_message[:-1] + bytes((mls_message[-1] ^ 1,))),
        (FrameKind.MESSAGE, mls_message[: len(mls_message) // 2]),
        (FrameKind.MESSAGE, b""),
        (FrameKind.INTRODUCTIONS, chance.randbytes(300)),
    ]
    frames = [Frame(tag, kind, body) for kind, body in bodies]
    payloads = [frame.encode() for frame in frames]
    payloads += [b"\x94\x02" + payloads[0][2:], b"\x94\x01" + chance.randbytes(40), chance.randbytes(400), b""]
    for payload in payloads:
        await send(scene.victim.peer_id, payload)  # type: ignore[operator]
    for number in range(50):
        sealed = Sealed(tag, epoch + number % 3, chance.randbytes(12), chance.randbytes(200))
        await scene.stranger.throw(KEPT_PROTOCOL, encode_hint(topic, sealed.encode()))
    if sealing_key is not None:
        for frame in frames:
            await scene.cyn.transport.publish(topic, seal(frame, epoch, sealing_key))
