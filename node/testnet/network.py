"""The network: the nodes' processes, what is asked of them, and what is shown of them meanwhile."""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from node.api import operations as op
from node.api import schema
from node.api.errors import ApiError
from node.client import ClientError
from node.data_dir import DataDir
from node.errors import NodeError
from node.setup import create_node, open_key
from node.testnet.calls import Call, gather
from node.testnet.processes import NodeProcess, Processes, free_ports
from node.testnet.settings import Settings
from node.testnet.table import Screen, View
from node.vault import KeyFile

RequestT = TypeVar("RequestT", bound=schema.Request)
ReplyT = TypeVar("ReplyT", bound=schema.Reply)

REFRESH_S: Final = 0.5  # least time between two looks at every node for the table
LOOK_S: Final = 0.04  # between two looks at what is waited for
REMOVED: Final = "removed"


class ScriptError(NodeError):
    """The script cannot go on: a node refused, died or did not do something in time. The message says which."""


def make_nodes(folder: Path, count: int, settings: Settings) -> tuple[NodeProcess, ...]:
    """New nodes, each with a folder, a port of its own and the addresses of all others."""
    ports = free_ports(count)
    made = []
    for number in range(1, count + 1):
        data_dir = folder / str(number)
        made.append((f"node {number}", data_dir, create_node(DataDir(data_dir), KeyFile(data_dir / "vault.key"))))
    addresses = [
        f"/ip4/127.0.0.1/tcp/{port}/p2p/{identity.peer_id}" for port, (_, _, identity) in zip(ports, made, strict=True)
    ]
    nodes = []
    for port, address, (name, data_dir, identity) in zip(ports, addresses, made, strict=True):
        peers = [each for each in addresses if each != address]
        config = settings.config_of(name=name, data_dir=data_dir, port=port, peers=peers)
        nodes.append(NodeProcess(name, identity.peer_id, config, open_key(config)))
    return tuple(nodes)


class Network:
    """Running nodes and one group of theirs."""

    def __init__(
        self,
        nodes: Sequence[NodeProcess],
        processes: Processes,
        settings: Settings,
        screen: Screen,
        look_s: float = LOOK_S,
    ) -> None:
        self.nodes = tuple(nodes)
        self.processes = processes
        self.settings = settings
        self.screen = screen
        self._look_s = look_s
        self.group_id = ""
        self.doing = "starting"
        self.removed: set[str] = set()  # names of nodes that are no members right now
        self._views = {node.name: View(node.name) for node in nodes}
        self._shown_s = 0.0

    # --- asking ---

    def send(self, node: NodeProcess, operation: op.Operation[RequestT, ReplyT], request: RequestT) -> Call[ReplyT]:
        """Ask, and read the answer later."""
        return Call(node.config.socket_path, operation, request)

    def ask(self, node: NodeProcess, operation: op.Operation[RequestT, ReplyT], request: RequestT) -> ReplyT:
        """Ask and wait for the reply. Raises `ScriptError` with what the node said when it refuses."""
        return self.replies([(node, self.send(node, operation, request))])[0]

    def replies(self, calls: Sequence[tuple[NodeProcess, Call[ReplyT]]]) -> list[ReplyT]:
        """The reply of each call. Raises `ScriptError` for the first that has none."""
        answers = gather([call for _, call in calls], self.tick)
        for (node, _), answer in zip(calls, answers, strict=True):
            if isinstance(answer, ApiError | ClientError):
                self.processes.check()  # its death says more than its silence
                hint = answer.hint if isinstance(answer, ApiError) else ""
                raise ScriptError(f"{node.name}: {answer}{f' ({hint})' if hint else ''}") from answer
        return answers

    def look(self, nodes: Iterable[NodeProcess]) -> list[schema.GroupDetail | None]:
        """How the group is at each node; None where it is unknown yet, or the node does not say."""
        request = schema.GroupRequest(group=self.group_id)
        answers = gather([self.send(node, op.GROUP_SHOW, request) for node in nodes])
        return [answer if isinstance(answer, schema.GroupDetail) else None for answer in answers]

    # --- waiting ---

    def until(self, what: str, holds: Callable[[], bool], limit_s: float | None = None) -> None:
        """Wait until something holds. Raises `ScriptError` when it does not in time."""
        limit_s = self.settings.limits.step_s if limit_s is None else limit_s
        deadline_s = time.monotonic() + limit_s
        while not holds():
            self.processes.check()
            if time.monotonic() > deadline_s:
                raise ScriptError(f"not within {limit_s:.0f} s: {what}")
            self.pause(self._look_s)

    def pause(self, duration_s: float) -> None:
        """Let time go by, the table alive."""
        self.tick()
        time.sleep(duration_s)

    def settled(self, nodes: Sequence[NodeProcess]) -> bool:
        """Whether these nodes are in one epoch with nothing left to do."""
        found = self.look(nodes)
        if any(each is None or each.awake or each.pending for each in found):
            return False
        return len({(each.epoch, each.epoch_fingerprint) for each in found if each is not None}) == 1

    # --- showing ---

    @property
    def views(self) -> tuple[View, ...]:
        return tuple(self._views.values())

    def tick(self) -> None:
        """Look at every node that can answer and show the table, if it was not done just now."""
        if time.monotonic() - self._shown_s >= REFRESH_S:
            self.refresh()

    def refresh(self) -> None:
        """Look at every node that can answer and show the table."""
        running = [node for node in self.nodes if node.is_running]
        if self.group_id:
            request = schema.GroupRequest(group=self.group_id)
            calls: list[Call[Any]] = [self.send(node, op.GROUP_SHOW, request) for node in running]
            for node in running:
                after = self._views[node.name].epoch or 0
                log = schema.GroupLogRequest(group=self.group_id, after_epoch=after, limit=schema.PAGE_SIZE_MAX)
                calls.append(self.send(node, op.GROUP_LOG, log))
            answers = gather(calls)
            for node, shown, log_page in zip(running, answers, answers[len(running) :], strict=False):
                self._note(self._views[node.name], shown, log_page)
        for node in self.nodes:
            is_away = node.is_running and node.name in self.removed
            self._views[node.name].state = REMOVED if is_away else node.state
        self.screen.show(self.views, self.doing)
        self._shown_s = time.monotonic()

    def say(self, text: str) -> None:
        """A line of the story."""
        self.screen.say(text)

    def close(self) -> None:
        """Stop everything that still runs, and show it so."""
        self.processes.close(self.settings.limits.stop_s)
        for node in self.nodes:
            self._views[node.name].state = node.state
        self.screen.show(self.views, "the nodes are stopped, their stores are judged")

    @staticmethod
    def _note(view: View, shown: object, page: object) -> None:
        if isinstance(page, schema.LogPage):
            for entry in page.entries:
                if entry.epoch > (view.epoch or 0):
                    view.decisions += 1
                    view.epoch = entry.epoch
                    if entry.latency_s is not None:
                        view.latencies_ms.append(entry.latency_s * 1000)
        if isinstance(shown, schema.GroupDetail):
            view.view = shown.view
            view.epoch = max(view.epoch or 0, shown.epoch) if isinstance(page, schema.LogPage) else view.epoch
