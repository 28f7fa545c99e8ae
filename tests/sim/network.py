"""Links between members: delay, loss, duplication, reordering, cuts in one or both directions, and healing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.sim.world import World

Deliver = Callable[[int, object], None]
"""`deliver(source member, payload)`"""

Tamper = Callable[[int, int, object], object | None]
"""`tamper(source, target, payload)`: what goes on its way instead; None for nothing. For directed schedules."""


See = Callable[[int, int, object], bool]
"""`see(source, target, payload)`: somebody in between; False when the payload ends there."""


@dataclass(frozen=True, slots=True)
class Weather:
    """How links behave. Delays are uniform in a range, so messages overtake each other; a few are very late."""

    delay_min_s: float = 0.002
    delay_max_s: float = 0.04
    loss: float = 0.0
    duplication: float = 0.0
    late: float = 0.0  # the share of messages that take up to `late_max_s`
    late_max_s: float = 4.0


FAIR = Weather()
"""A network that keeps its promises, as after healing."""


class Network:
    """Carries payloads; forgets those sent into a cut and those that arrive where nobody is."""

    def __init__(self, world: World, weather: Weather = FAIR) -> None:
        self.world = world
        self.weather = weather
        self.cuts: frozenset[tuple[int, int]] = frozenset()  # (source, destination); for membership tests only
        self.tamper: Tamper | None = None
        self.see: See | None = None
        self.deliver: dict[int, Deliver] = {}

    def attach(self, member: int, deliver: Deliver) -> None:
        """Have what is sent to a member delivered there from now on."""
        self.deliver[member] = deliver

    def detach(self, member: int) -> None:
        """The member is gone, for now."""
        self.deliver.pop(member, None)

    def cut(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Exactly these directions are cut from now on."""
        self.cuts = frozenset(pairs)

    def split(self, *groups: Iterable[int]) -> None:
        """Members of different groups do not reach each other; within a group everyone does."""
        lists = [list(group) for group in groups]
        self.cut(
            (source, target)
            for here in lists
            for there in lists
            if here is not there
            for source in here
            for target in there
        )

    def heal(self, weather: Weather = FAIR) -> None:
        """No more cuts, and this weather."""
        self.cuts = frozenset()
        self.tamper = None
        self.weather = weather

    def send(self, source: int, target: int, payload: object, extra_s: float = 0.0) -> None:
        """One payload on its way; `extra_s` is what its size costs."""
        if self.cuts and (source, target) in self.cuts:
            return
        if self.see is not None and not self.see(source, target, payload):
            return
        if self.tamper is not None:
            tampered = self.tamper(source, target, payload)
            if tampered is None:
                return
            payload = tampered
        weather, chance = self.weather, self.world.random.random
        if weather.loss and chance() < weather.loss:
            return
        copies = 2 if weather.duplication and chance() < weather.duplication else 1
        for _ in range(copies):
            delay_s = weather.delay_min_s + chance() * (weather.delay_max_s - weather.delay_min_s)
            if weather.late and chance() < weather.late:
                delay_s += chance() * weather.late_max_s
            self.world.after(delay_s + extra_s, self._arrive, source, target, payload)

    def _arrive(self, source: int, target: int, payload: object) -> None:
        deliver = self.deliver.get(target)
        if deliver is not None and (source, target) not in self.cuts:
            deliver(source, payload)
