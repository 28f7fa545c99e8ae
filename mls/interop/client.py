"""Client: the interoperability service's 34 methods in plain Python, playing any number of clients.

One method for each of the definition's, its name in Python's case, its keyword arguments the request's fields, what it
returns the response's. Nothing of gRPC is here, so a program that wants scripted clients over this engine can have
them without it. Not for use by several threads at once.
"""

from mls.interop.entering import Entering
from mls.interop.membership import Membership
from mls.interop.outside import Outside
from mls.interop.succession import Succession


class Client(Entering, Membership, Succession, Outside):
    """Raises what the engine raises, and `kept`'s UnknownError, UnsupportedError and RefusedError."""
