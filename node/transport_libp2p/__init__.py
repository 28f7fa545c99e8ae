"""The transport port on py-libp2p: the only package that knows libp2p. Importing it takes seconds.

TCP, Noise and Yamux, nothing else. libp2p 0.8.1 is used from below its own conveniences, because as
it comes any connected peer can end the process, an accepted connection is never given back, and one
failed dial blocks a peer for a minute. So here:

- we listen, accept and dial ourselves, and give libp2p the socket (`wire`);
- every task and handler of libp2p's services runs guarded (`swarm`): what a peer makes them raise is counted
  and costs that peer its stream;
- gossipsub speaks `/meshsub/1.1.0` with the defences that lose messages switched off, and hands what
  arrives to us instead of to its 32-entry queues (`mesh`);
- the muxer refuses to buffer without bound and writes small frames with fewer steps (`muxer`);
- circuits through relays look like sockets to all of this (`circuits`), and the relay is our own (`relay`);
- Kademlia gets a host of ours and sees of others' messages what we let through (`kademlia`).

Names of libp2p that begin with an underscore are used where there is no other way; the version is pinned.
"""

import os

os.environ["PY_YAMUX_RELEASE_ON_READ"] = "0"  # fewer window updates; read by libp2p at each use

from node.transport_libp2p.opening import open_libp2p as open_libp2p
