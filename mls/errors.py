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
        super().__init__(f"{detail} ({rule})")
        self.rule = rule
        self.detail = detail


class UnopenableError(MlsError):
    """Right for others as far as we can tell, but not for us to open. It asks for recovery, not for blame."""


class MisuseError(MlsError):
    """Our own caller asked for what this state cannot do. A bug here, not an attack."""
