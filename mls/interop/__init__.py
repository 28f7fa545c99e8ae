"""The engine behind the MLS working group's interoperability service: `python -m mls.interop --port N`.

An application of `mls`, not a part of it: here is the clock, the operating system's randomness and the network, which
the engine has none of, and nothing in the engine knows of this package. `Client` plays any number of clients over
values of `mls`; `service` puts it behind gRPC, and is the only place that needs grpcio and protobuf (the extra
`interop`).
"""

from mls.interop.client import Client

__all__ = ["Client"]
