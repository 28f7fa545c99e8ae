"""When a commit that was not decided counts as refused."""

from types import SimpleNamespace
from typing import Any

from node.patience import WAIT_MIN_S, Patience
from ordering import INTENT_ORDINAL, PLAIN_ORDINAL

OURS: Any = SimpleNamespace(candidate=SimpleNamespace(ordinal=INTENT_ORDINAL), intent_ids=(b"wish",))


def candidacy(*own: Any) -> Any:
    voting = SimpleNamespace(committee=SimpleNamespace(faults=1))
    return SimpleNamespace(own=dict(enumerate(own)), epoch=SimpleNamespace(voting=voting))


def ended_by(ordinal: int, view: int, own: Any = None) -> Any:
    known = SimpleNamespace(candidate=SimpleNamespace(ordinal=ordinal))
    return SimpleNamespace(own=own, known=known, decision=SimpleNamespace(view=view))


def test_a_leaders_plain_commit_tells_of_a_refusal() -> None:
    patience = Patience()
    assert patience.note(ended_by(PLAIN_ORDINAL, 2), candidacy(OURS), 10.0, carried=True) == (b"wish",)
    assert patience.until_s == 10.0 + WAIT_MIN_S
    assert patience.is_alone


def test_a_liars_plain_commit_does_not() -> None:
    """No honest leader makes one in views up to f; one that is decided there was preferred, and ours is made again."""
    patience = Patience()
    assert patience.note(ended_by(PLAIN_ORDINAL, 1), candidacy(OURS), 10.0, carried=True) == ()
    assert patience.note(ended_by(INTENT_ORDINAL, 2), candidacy(OURS), 10.0, carried=True) == ()
    assert patience == Patience()


def test_others_wishes_are_carried_again_after_a_success() -> None:
    patience = Patience()
    patience.note(ended_by(PLAIN_ORDINAL, 2), candidacy(OURS), 10.0, carried=True)
    patience.note(ended_by(INTENT_ORDINAL, 0), candidacy(), 20.0, carried=False)
    assert patience.is_alone, "ours was not among the candidates"
    patience.note(ended_by(INTENT_ORDINAL, 0, OURS), candidacy(OURS), 30.0, carried=False)
    assert not patience.is_alone
