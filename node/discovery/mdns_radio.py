"""One local network, spoken to by multicast DNS: the only file that knows zeroconf, which runs in a thread of its own.

Nothing here is asynchronous: opening and closing take a second and belong into a worker thread.
"""

from collections.abc import Callable
from typing import Final, Protocol

from zeroconf import (  # type: ignore[attr-defined]  # public, but not in __all__
    DNSOutgoing,
    DNSQuestion,
    Error,
    RecordUpdate,
    RecordUpdateListener,
    ServiceBrowser,
    ServiceInfo,
    ServiceListener,
    Zeroconf,
)

SERVICE: Final = "_conclave._tcp.local."
TTL_S: Final = 600
TXT: Final = 16  # RFC 1035, §3.2.2
PTR: Final = 12
CLASS_IN: Final = 1
QUERY: Final = 0  # its flags

Heard = Callable[[bytes, bool], None]
"""Called in the radio's thread with a TXT record, and whether it is over (its node says goodbye)."""


class Radio(Protocol):
    """An open one."""

    def ask(self) -> None:
        """Have everybody on the network announce themselves anew. Does not wait."""
        ...

    def close(self) -> None:
        """Say goodbye, and hear no more."""
        ...


class RadioError(Exception):
    """The local network cannot be used."""


class ZeroconfRadio:
    """On the network of this IPv4 address of ours. It announces `text` under a name that says nothing, and listens."""

    def __init__(self, lan: str, name: str, port: int, text: bytes, heard: Heard) -> None:
        try:
            self._zeroconf = Zeroconf(interfaces=[lan])
        except OSError as error:
            raise RadioError(f"no multicast on the network of {lan}: {error.strerror}") from error
        try:
            self._zeroconf.add_listener(_Listener(heard), None)
            ServiceBrowser(self._zeroconf, SERVICE, listener=_Silent())  # asks, and goes on asking
            instance = f"{name}.{SERVICE}"
            info = ServiceInfo(
                SERVICE, instance, port, properties=text, server=f"{name}.local.", host_ttl=TTL_S, other_ttl=TTL_S
            )
            self._zeroconf.register_service(info)
        except (OSError, Error, TimeoutError) as error:
            self._zeroconf.close()
            raise RadioError(f"nothing can be announced on the network of {lan}: {error}") from error

    def ask(self) -> None:
        question = DNSOutgoing(QUERY)
        question.add_question(DNSQuestion(SERVICE, PTR, CLASS_IN))
        self._zeroconf.send(question)

    def close(self) -> None:
        self._zeroconf.close()


class _Listener(RecordUpdateListener):
    """Takes the texts out of what everybody on the network says; all else is zeroconf's affair."""

    def __init__(self, heard: Heard) -> None:
        self._heard = heard

    def async_update_records(self, zc: Zeroconf, now: float, records: list[RecordUpdate]) -> None:  # noqa: ARG002
        for update in records:
            record = update.new
            if record.type == TXT and record.key.endswith("." + SERVICE):
                text: bytes = record.text  # type: ignore[attr-defined]  # such records have one
                self._heard(text, record.ttl <= 1)

    def async_update_records_complete(self) -> None:
        pass


class _Silent(ServiceListener):
    """What is found is in the texts already."""

    def add_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        pass

    def remove_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        pass

    def update_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        pass
