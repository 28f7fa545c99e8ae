"""What the node refuses, in words a person can act on.

``str(error)`` is one line that names the thing, what is wrong with it and, where there is one, the next
step. It holds no secret, no plaintext and no member name, so it may be printed and logged as it is.
"""


class NodeError(Exception):
    """Anything the node refuses to do because of its surroundings: disk, files, configuration, network."""


class NoNodeError(NodeError):
    """There is no node where the configuration says one should be."""


class NodeMisuseError(NodeError):
    """Our own caller asked for what this object cannot do now. A bug here, not an accident."""
