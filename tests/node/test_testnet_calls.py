"""Calls to several daemons at once: all are sent before the first answer is read."""

import threading
from pathlib import Path

import trio

from node.api import operations as op
from node.api import schema
from node.api.errors import ApiError, ErrorCode
from node.client import NoReplyError, NotRunningError
from node.testnet.calls import Call, gather
from tests.node.api_world import INTENT, CannedNode, running

REQUEST = schema.ChangeRequest(group="0d", timeout_s=5)


def test_requests_are_under_way_together(tmp_path: Path) -> None:
    """The first node answers only once the second was asked: read one by one, this would hang."""
    first, second = CannedNode(), CannedNode()
    second_asked = threading.Event()

    async def when_both_are_asked(_request: object) -> schema.Reply:
        assert await trio.to_thread.run_sync(second_asked.wait, 10)
        return INTENT

    async def note(_request: object) -> schema.Reply:
        second_asked.set()
        return INTENT

    first.methods["group_update"] = when_both_are_asked
    second.methods["group_update"] = note
    with running(first, tmp_path / "1.sock"), running(second, tmp_path / "2.sock"):
        calls = [Call(tmp_path / name, op.GROUP_UPDATE, REQUEST) for name in ("1.sock", "2.sock")]
        answers = gather(calls)

    assert answers == [INTENT, INTENT]


def test_every_answer_stands_in_its_place(tmp_path: Path) -> None:
    """A refusal and a dead node are answers too; they do not hide the others'."""
    node = CannedNode()
    node.replies["group_update"] = ApiError(ErrorCode.NOT_MEMBER, "removed")
    with running(node, tmp_path / "1.sock"):
        answers = gather(
            [
                Call(tmp_path / "nobody.sock", op.STATUS, schema.Nothing()),
                Call(tmp_path / "1.sock", op.GROUP_UPDATE, REQUEST),
                Call(tmp_path / "1.sock", op.PEERS, schema.Nothing()),
            ]
        )

    assert isinstance(answers[0], NotRunningError)
    assert isinstance(answers[1], ApiError)
    assert answers[1].code is ErrorCode.NOT_MEMBER
    assert isinstance(answers[2], schema.PeerList)


def test_waiting_leaves_time_for_the_table(tmp_path: Path) -> None:
    """And what the tick raises ends the wait: a node that died is not waited for."""
    node = CannedNode()
    node.slow.add("group_update")
    ticks: list[int] = []

    def tick() -> None:
        ticks.append(1)
        if len(ticks) == 2:
            raise NoReplyError("enough")

    with running(node, tmp_path / "1.sock"):
        call = Call(tmp_path / "1.sock", op.GROUP_UPDATE, REQUEST)
        try:
            gather([call], tick)
        except NoReplyError as error:
            said = str(error)

    assert said == "enough"


def test_a_node_that_never_answers_is_given_up(tmp_path: Path) -> None:
    """After the time its own deadline and a margin allow."""
    node = CannedNode()
    node.slow.add("group_update")
    with running(node, tmp_path / "1.sock"):
        call = Call(tmp_path / "1.sock", op.GROUP_UPDATE, REQUEST)
        call._limit_s = 0
        (answer,) = gather([call])

    assert isinstance(answer, NoReplyError)
