"""The script of the demo: what happens, in which order. The seed decides who, when and which words.

A group of one grows until everybody is a member and votes. Changes are made one at a time; then, round after round, by
everybody at once, while messages flow. In between one member is removed and comes back, one voter is killed in the
middle of a round, and one is stopped for a while. At the end all must have agreed; that is for the verdict to say.
"""

from collections.abc import Callable
from random import Random
from typing import Final

from node.api import operations as op
from node.api import schema
from node.testnet.evidence import look_at_removed
from node.testnet.moves import Moves, now_ms
from node.testnet.network import Network
from node.testnet.node_log import first_error
from node.testnet.processes import NodeProcess
from node.testnet.story import Actor, Outage, Removal, Story

GROUP_NAME: Final = "demo"


class Script:
    """One play of it. `story()` is what has happened, also when it broke off."""

    def __init__(self, network: Network, *, rounds: int, seed: int) -> None:
        self.network = network
        self.nodes = network.nodes
        self.rounds = rounds
        self.seed = seed
        self.chance = Random(seed)  # noqa: S311 - a script, not a secret
        self.moves = Moves(network, self.chance)
        self.sizes = committee_sizes(len(self.nodes), network.settings.nodes.committee_max)
        self.failure = ""

    def play(self) -> None:
        """Everything, in order. Raises `NodeError` where it cannot go on."""
        rounds = range(1, self.rounds + 1)
        acts: dict[int, list[Callable[[], None]]] = {}
        for act in (self.remove_and_readd, self.stop_one):  # each after some round
            acts.setdefault(self.chance.choice(rounds), []).append(act)
        killed_in = self.chance.choice(rounds)
        self.found()
        self.quiet()
        for number in rounds:
            self.round(number, kill=number == killed_in)
            for act in acts.get(number, ()):
                act()
        self.rest()

    def story(self) -> Story:
        """What has happened."""
        return Story(
            seed=self.seed,
            rounds=self.rounds,
            group_id=self.network.group_id,
            actors=tuple(Actor(node.name, node.peer_id, node.config.data_dir.name) for node in self.nodes),
            committee_sizes=self.sizes,
            submitted=tuple(self.moves.submitted),
            sent=tuple(self.moves.sent),
            outages=tuple(self.moves.outages),
            removals=tuple(self.moves.removals),
            exit_codes={node.name: node.exit_code for node in self.nodes},
            errors={node.name: error for node in self.nodes if (error := first_error(node.log_path))},
            failure=self.failure,
        )

    def found(self) -> None:
        """One node makes the group and adds the others; they opt in by themselves."""
        network, founder = self.network, self.nodes[0]
        network.doing = "the group forms"
        self.moves.all_connected()
        settings = network.settings.nodes
        request = schema.GroupCreateRequest(name=GROUP_NAME, suite=settings.suite, committee_max=settings.committee_max)
        network.group_id = network.ask(founder, op.GROUP_CREATE, request).group_id
        network.say(f"{founder.name} founds the group, alone: a committee of 1")
        for node in self.nodes[1:]:
            network.say(f"{founder.name} adds {node.name}: epoch {self.moves.add(founder, node)}")
        self._grown()

    def quiet(self) -> None:
        """Changes and messages one at a time, by one node after another: the network at its most leisurely."""
        count = self.network.settings.script.quiet_changes
        self.network.doing = f"{count} changes, one at a time"
        for index in range(count):
            self.moves.quiet_change(self.nodes[index % len(self.nodes)])
        self.network.say(f"{count} changes and {count} messages, one at a time")

    def round(self, number: int, *, kill: bool) -> None:
        """Everybody changes the group at once and talks meanwhile; perhaps one does not live to see the outcome."""
        network = self.network
        network.doing = f"round {number} of {self.rounds}"
        self.moves.settle(self.nodes)
        victim = self.chance.choice(self.moves.voters()) if kill else None
        killed_ms = self.moves.rivals(self.nodes, victim)
        said = f"round {number}: {len(self.nodes)} rival changes"
        if victim is None:
            network.say(said)
            return
        network.say(f"{said}; {victim.name} is killed in the middle of it, the others finish")
        network.processes.start([victim], network.settings.limits.start_s)
        self.moves.outages.append(Outage(victim.name, "killed", killed_ms, now_ms()))
        self.moves.settle(self.nodes)
        network.say(f"{victim.name} is back from its store, in epoch {self.moves.epoch(victim)}")

    def remove_and_readd(self) -> None:
        """A member is removed, the others go on without it, and it comes back."""
        network, moves = self.network, self.moves
        victim, remover, adder = self.chance.sample(self.nodes, 3)
        others = self._others(victim)
        network.doing = f"{victim.name} is removed"
        moves.settle(self.nodes)
        moves.delivered()
        removed_epoch = moves.remove(remover, victim)
        network.removed.add(victim.name)
        network.say(f"{remover.name} removes {victim.name}: epoch {removed_epoch}")
        for _ in range(network.settings.script.changes_while_away):
            moves.rivals(others)
        moves.settle(others)
        refusal = moves.refused(victim)
        held = look_at_removed(victim.config, bytes.fromhex(network.group_id))
        network.say(f"the others change the group and talk; {victim.name} may not ({refusal})")
        returned_epoch = moves.add(adder, victim)
        network.removed.discard(victim.name)
        moves.removals.append(Removal(victim.name, removed_epoch, returned_epoch, held, refusal))
        network.say(f"{adder.name} adds {victim.name} again: epoch {returned_epoch}")
        self._grown()

    def stop_one(self) -> None:
        """A node stops answering while its connections stay open; the others go on."""
        network, moves = self.network, self.moves
        moves.settle(self.nodes)
        victim = self.chance.choice(moves.voters())
        others = self._others(victim)
        network.doing = f"{victim.name} is stopped"
        before, stopped_ms = moves.epoch(others[0]), now_ms()
        network.processes.pause(victim)
        for _ in range(network.settings.script.changes_while_away):
            moves.rivals(others)
        moves.settle(others)
        after = moves.epoch(others[0])
        moves.outages.append(Outage(victim.name, "stopped", stopped_ms, now_ms()))
        network.processes.resume(victim)
        network.say(f"{victim.name} is stopped; the others go on from epoch {before} to {after}")
        moves.settle(self.nodes)
        network.say(f"{victim.name} goes on, and has caught up")

    def rest(self) -> None:
        """Wait until everybody holds the same, and everything."""
        self.network.doing = "coming to rest"
        limit_s = self.network.settings.limits.drain_s
        self.moves.settle(self.nodes, limit_s)
        self.moves.delivered(limit_s)
        self.network.refresh()
        self.network.say(f"all at rest in epoch {self.moves.epoch(self.nodes[0])}")

    def _grown(self) -> None:
        seats = self.sizes[-1]
        self.moves.all_voting(seats)
        self.network.say(f"all have opted in: a committee of {seats}, epoch {self.moves.epoch(self.nodes[0])}")

    def _others(self, node: NodeProcess) -> list[NodeProcess]:
        return [each for each in self.nodes if each is not node]


def committee_sizes(members: int, size_max: int) -> tuple[int, ...]:
    """How a committee grows while so many members opt in one after another: 1, 3, then 3f + 1 (`ordering.elect`)."""
    return tuple(size for size in (1, 3, *range(4, 32, 3)) if size <= min(members, size_max))
