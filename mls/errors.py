"""What this engine refuses, told apart by whose fault it is, because the caller does a different thing for each."""


class MlsError(Exception):
    """Anything this engine refuses to do; the state it was asked about is unchanged."""


class MalformedError(MlsError):
    """Peer bytes that are not an encoding of anything. Drop them."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class InvalidError(MlsError):
    """A well-formed peer message that breaks a rule. Drop it, and remember who signed it.

    `rule` is the identifier of the validation rule, for example `V034`: an error, a log line and a test name the
    same clause.
    """

    def __init__(self, rule: str, detail: str) -> None:
        MlsError.__init__(self, f"{detail} ({rule})")
        self.rule = rule
        self.detail = detail


class UnopenableError(MlsError):
    """Right for others as far as we can tell, but not for us to open. It asks for recovery, not for blame.

    `rule` names the broken rule where one is known (`V157`, say), and is None where a key simply does not fit.
    """

    def __init__(self, detail: str, rule: str | None = None) -> None:
        super().__init__(f"{detail} ({rule})" if rule else detail)
        self.rule = rule
        self.detail = detail


class DuplicateError(MlsError):
    """A message whose key has been used already: a copy, or a replay (V044). Drop it."""


class StaleEpochError(MlsError):
    """A message of an epoch whose secrets are gone (V022)."""

    def __init__(self, epoch: int, detail: str = "which is no longer kept") -> None:
        MlsError.__init__(self, f"a message of epoch {epoch}, {detail} (V022)")
        self.epoch = epoch


class UnknownEpochError(StaleEpochError):
    """A message of an epoch before we were in the group: we never had its secrets, and shall not have them."""

    def __init__(self, epoch: int) -> None:
        super().__init__(epoch, "in which we were not yet in the group")


class FutureEpochError(MlsError):
    """A message of an epoch not reached yet (V022): keep it until its Commit has been applied."""

    def __init__(self, epoch: int) -> None:
        MlsError.__init__(self, f"a message of epoch {epoch}, which is still to come (V022)")
        self.epoch = epoch


class StaleHandshakeError(InvalidError, StaleEpochError):
    """A proposal or Commit of an epoch that has ended (V021). It was right once, perhaps; nobody is to blame."""

    def __init__(self, epoch: int, present: int) -> None:
        InvalidError.__init__(self, "V021", f"a handshake message of epoch {epoch}, in epoch {present}")
        self.epoch = epoch


class FutureHandshakeError(InvalidError, FutureEpochError):
    """A proposal or Commit of an epoch not reached yet (V021): keep it until then, like any early message."""

    def __init__(self, epoch: int, present: int) -> None:
        InvalidError.__init__(self, "V021", f"a handshake message of epoch {epoch}, in epoch {present}")
        self.epoch = epoch


class MisuseError(MlsError):
    """Our own caller asked for what this state cannot do. A bug here, not an attack."""


class OwnCommitError(UnopenableError):
    """Our own commit, come back: its successor was returned when it was made, and nothing else can open it."""


class SnapshotError(MlsError):
    """A snapshot in a format this version does not read."""

    def __init__(self, what: str, found: int, known: int) -> None:
        super().__init__(f"{what} in format {found}; this version reads format {known}")
        self.found = found
        self.known = known
