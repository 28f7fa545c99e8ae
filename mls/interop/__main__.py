"""`python -m mls.interop --port N`: serve until interrupted."""

import argparse
import os
import signal
import sys
import time

from mls import PROFILES
from mls.interop.client import Client
from mls.interop.kept import RFC9420_SUITES


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m mls.interop", description=__doc__)
    parser.add_argument("--port", type=int, default=50051, help="0 lets the system choose (default 50051)")
    parser.add_argument("--host", default="127.0.0.1", help="the service has no authentication (default 127.0.0.1)")
    parser.add_argument(
        "--profile", choices=sorted(PROFILES), help="offer the post-quantum suites too, under this profile's numbers"
    )
    options = parser.parse_args()
    try:
        from mls.interop.service import serve
    except ModuleNotFoundError as error:
        print(f"mls.interop: {error.name} is missing; install conclave-mls[interop]", file=sys.stderr)
        return 1
    suites = PROFILES[options.profile].cipher_suites if options.profile else RFC9420_SUITES
    client = Client(os.urandom, lambda: int(time.time()), suites)
    try:
        server, port = serve(client, f"{options.host}:{options.port}")
    except OSError as error:
        print(f"mls.interop: {error}", file=sys.stderr)
        return 1
    print(f"MLSClient on {options.host}:{port}", flush=True)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: server.stop(grace=1))
    server.wait_for_termination()
    return 0


if __name__ == "__main__":
    sys.exit(main())
