"""Somebody hostile on a local network: `python -m tests.node.discovery.flood LAN PEER SECONDS` floods it by multicast.

A third is bytes of chance, a third are announcements of nobody, a third say that a certain peer is where nobody is.
"""

import os
import random
import socket
import struct
import sys
import time

from node.discovery.mdns_words import NONCE_SIZE, Announcement
from node.peer_id import public_key_of

GROUP = ("224.0.0.251", 5353)
PER_S = 300
SERVICE = "_conclave._tcp.local."
TXT, CLASS_IN, RESPONSE = 16, 1, 0x8400


def main(lan: str, peer: str, seconds: float) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(lan))
        end_s, sent = time.monotonic() + seconds, 0
        while time.monotonic() < end_s:
            out.sendto((chance, nobody, lie)[sent % 3](peer), GROUP)
            sent += 1
            time.sleep(1 / PER_S)
    print(sent)


def chance(_peer: str) -> bytes:
    return os.urandom(random.randrange(1, 1400))


def nobody(_peer: str) -> bytes:
    return packet(Announcement.of(os.urandom(32), os.urandom(NONCE_SIZE), ["/ip4/192.0.2.1/tcp/1"]).write())


def lie(peer: str) -> bytes:
    where = f"/ip4/10.77.1.{random.randrange(100, 250)}/tcp/{random.randrange(1, 60_000)}"
    return packet(Announcement.of(public_key_of(peer), os.urandom(NONCE_SIZE), [where]).write())


def packet(text: bytes) -> bytes:
    """An answer that nobody has asked for, with one record (RFC 1035, §4.1)."""
    labels = (os.urandom(8).hex(), *SERVICE.rstrip(".").split("."))
    name = b"".join(bytes((len(label),)) + label.encode() for label in labels) + b"\0"
    record = name + struct.pack(">HHIH", TXT, CLASS_IN, 600, len(text)) + text
    return struct.pack(">6H", 0, RESPONSE, 0, 1, 0, 0) + record


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
