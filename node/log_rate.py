"""A bound on how much a peer can make this node write: so many lines of one event a minute, and then a count."""

import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

LINES_MAX: Final = 60  # of one event of one component
WINDOW_S: Final = 60.0
EVENTS_MAX: Final = 1024  # events are named in the code; a library's might not be


@dataclass(slots=True)
class Window:
    """The lines of one event since `began_s`."""

    began_s: float
    lines: int = 0
    suppressed: int = 0


@dataclass(slots=True)
class RateLimit:
    """A structlog processor. The first line after a full window says how many are missing before it (`suppressed`).

    Debug lines pass: whoever asks for them wants all. Who sent what is not looked at: peer ids cost nothing.
    """

    now_s: Callable[[], float] = time.monotonic
    windows: dict[tuple[str, str], Window] = field(default_factory=dict)

    def __call__(self, _logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if method == "debug":
            return event
        name, now_s = (str(event.get("component", "")), str(event.get("event", ""))), self.now_s()
        window = self.windows.get(name)
        if window is None or now_s - window.began_s >= WINDOW_S:
            missing = 0 if window is None else window.suppressed
            window = self.windows[name] = Window(now_s)
            if missing:
                event["suppressed"] = missing
            if len(self.windows) > EVENTS_MAX:
                del self.windows[next(iter(self.windows))]
        window.lines += 1
        if window.lines > LINES_MAX:
            window.suppressed += 1
            raise structlog.DropEvent
        return event
