"""schemathesis over the whole API of a real node: whatever is asked, right or wrong, the answer is as described.

A few examples of each operation in the suite, always the same; `make fuzz-api` tries many new ones.
"""

import os
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, Phase, given, settings

from node.api.gate import Grant
from node.api.openapi import document
from node.api.operations import OPERATIONS, Operation
from node.api.server import serve_http
from node.service import NodeService
from ordering import Policy
from tests.node.world import SUITE, open_world

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed: make test does that")

MANY = int(os.environ.get("FUZZ_API_EXAMPLES", "0"))  # of each operation and each kind, new ones each time
TOKEN = "conclave-fuzz"
EXPECTED = ["2xx", "3xx", "4xx", "502"]
"""502 is no failure of the server: a peer that was made up cannot be reached."""

CHECKS = {
    "not_a_server_error": {"expected-statuses": EXPECTED},
    # What is right by its form may still be wrong: a card that is none, a group that is not there.
    "positive_data_acceptance": {"enabled": False},
}


class Key:
    """One token, for everything."""

    def grant(self, token: str) -> Grant | None:
        return Grant("admin") if token == TOKEN else None


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a node with two groups and nobody to talk to answers."""
    told: list[str] = []
    ready, over = threading.Event(), threading.Event()

    async def run() -> None:
        async with open_world(tmp_path_factory.mktemp("fuzz")) as world, trio.open_nursery() as nursery:
            ada = await world.member("ada")
            for name in ("lunch", "dinner"):
                await ada.node.create_group(name, SUITE, Policy(delta_ms=50))
            stop_event = trio.Event()
            service = NodeService(ada.node)
            at = partial(serve_http, service, Key(), ("127.0.0.1", 0), stop_event=stop_event)
            told.append(await nursery.start(at))
            ready.set()
            await trio.to_thread.run_sync(over.wait)
            stop_event.set()

    thread = threading.Thread(target=partial(trio.run, run), daemon=True)
    thread.start()
    assert ready.wait(60)
    yield told[0]
    over.set()
    thread.join(30)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def api() -> Any:
    config = schemathesis.Config.from_dict({"checks": CHECKS})
    return schemathesis.openapi.from_dict(document(), config=config)


HOW = settings(
    max_examples=MANY or 4,
    derandomize=not MANY,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


def cases() -> Iterator[Any]:
    """Every operation with what is right by its form, the same of a group that is there, and what is wrong."""
    for operation in OPERATIONS:
        yield pytest.param(operation, "right", id=f"{operation.name}-right")
        if "{group}" in operation.path:
            yield pytest.param(operation, "of a group", id=f"{operation.name}-of a group")
        if operation.request.__struct_fields__:
            yield pytest.param(operation, "wrong", id=f"{operation.name}-wrong")


@pytest.mark.parametrize(("operation", "kind"), list(cases()))
def test_every_answer_is_as_described(operation: Operation[Any, Any], kind: str, url: str, api: Any) -> None:
    """Never a failure of the server's own, nor a status, type or field that the description does not have.

    What is wrong by its form is refused, every method that is not there too, and everything without the token.
    """
    described = api[operation.path][operation.method]
    if kind == "wrong":
        strategy = described.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)
    elif kind == "of a group":
        others = {"intent_id": "0"} if "{intent_id}" in operation.path else {}
        strategy = described.as_strategy(path_parameters={"group": "lunch", **others})
    else:
        strategy = described.as_strategy()

    @HOW
    @given(case=strategy)
    def check(case: Any) -> None:
        if operation.is_stream and kind != "wrong":
            case.query = {**(case.query or {}), "wait_s": 0}
        headers = {"Authorization": f"Bearer {TOKEN}", "Accept": "application/json"}  # a page, not a stream
        case.call_and_validate(base_url=url, headers=headers, timeout=30)

    check()
