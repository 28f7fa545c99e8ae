"""`python -m mls.interop --port N`: serve until interrupted."""

import argparse
import os
import signal
import sys
import time
from dataclasses import replace

from mls import PROFILES, MultipleOf
from mls.interop.client import Client
from mls.interop.kept import CONFIG, RFC9420_SUITES


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m mls.interop", description=__doc__)
    parser.add_argument("--port", type=int, default=50051, help="0 lets the system choose (default 50051)")
    parser.add_argument("--host", default="127.0.0.1", help="the service has no authentication (default 127.0.0.1)")
    parser.add_argument(
        "--profile", choices=sorted(PROFILES), help="offer the post-quantum suites too, under this profile's numbers"
    )
    parser.add_argument(
        "--padding",
        type=int,
        metavar="N",
        help="pad private messages to multiples of N bytes; 1 pads nothing, for engines that know no padding",
    )
    options = parser.parse_args()
    if options.padding is not None and options.padding < 1:
        parser.error("--padding takes a number from 1")
    try:
        from mls.interop.service import serve
    except ModuleNotFoundError as error:
        print(f"mls.interop: {error.name} is missing; install conclave-mls[interop]", file=sys.stderr)
        return 1
    suites = PROFILES[options.profile].cipher_suites if options.profile else RFC9420_SUITES
    config = CONFIG if options.padding is None else replace(CONFIG, padding=MultipleOf(options.padding))
    client = Client(os.urandom, lambda: int(time.time()), suites, config)
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
