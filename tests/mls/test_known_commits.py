"""`Group.stage` with what `check_commit` has said: the same answer for half the work, and no way around a check."""

from dataclasses import replace

import pytest

from mls.errors import InvalidError, MlsError
from mls.policy import Policy
from mls.public_group import PublicGroup
from tests.mls.world import NOW, Members


def world() -> Members:
    return Members("alice", "bob", "carol")


def test_the_answer_is_the_same() -> None:
    members = world()
    made = members["alice"].commit(members.random, NOW)
    known = members["bob"].public.check_commit(made.message)
    with_it = members["bob"].stage(made.message, now=NOW, known=known)
    without = members["bob"].stage(made.message, now=NOW)
    assert with_it.summary == without.summary
    assert with_it.successor is not None
    assert without.successor is not None
    assert with_it.successor.epoch_authenticator == without.successor.epoch_authenticator


def test_it_is_not_judged_again(monkeypatch: pytest.MonkeyPatch) -> None:
    members = world()
    made = members["alice"].commit(members.random, NOW)
    known = members["bob"].public.check_commit(made.message)
    monkeypatch.setattr(PublicGroup, "check_content", None)
    assert members["bob"].stage(made.message, now=NOW, known=known).successor is not None
    with pytest.raises(TypeError):  # of an equal epoch, but not this value of it
        members["carol"].stage(made.message, now=NOW, known=known)


def test_what_was_said_of_another_commit_is_passed_over() -> None:
    members = world()
    made, other = (members["alice"].commit(members.random, NOW) for _ in range(2))
    known = members["bob"].public.check_commit(made.message)
    staged = members["bob"].stage(other.message, now=NOW, known=known)
    assert staged.summary.successor == other.successor.public


def test_what_was_said_by_another_policy_is_passed_over() -> None:
    members = world()
    made = members["alice"].commit(members.random, NOW)

    class Forbidding(Policy):
        def allows_commit(self, *_: object) -> bool:
            return False

    known = members["bob"].public.check_commit(made.message)
    bob = members["bob"]
    strict = type(bob)(replace(bob.state, config=replace(bob.state.config, policy=Forbidding())))
    with pytest.raises(InvalidError, match="does not allow"):
        strict.stage(made.message, now=NOW, known=known)


def test_what_only_members_see_is_still_checked() -> None:
    """The membership tag is the last thing in the message."""
    members = world()
    made = members["alice"].commit(members.random, NOW)
    known = members["bob"].public.check_commit(made.message)
    damaged = made.message[:-1] + bytes((made.message[-1] ^ 1,))
    with pytest.raises(MlsError):
        members["bob"].stage(damaged, now=NOW, known=known)
