"""The recorded answers as a whole, and the script that makes them. Each is also a case of the test of its own file."""

import pytest

from tests.mls.answers import ANSWERS, wrong
from tests.mls.record import MAKERS, SIZE_MAX
from tests.vectors import EVERY_SOURCE, RECORDED_ROOT, Source, recorded

FROM_SEEDS = ("deserialization", "tree-math", "crypto-basics", "hpke-pq-test-vectors", "key-schedule", "psk_secret")


@EVERY_SOURCE
@pytest.mark.parametrize("name", ANSWERS)
def test_what_is_recorded_is_computed_by_functions_that_give_the_published_answers(source: Source, name: str) -> None:
    assert wrong(name, source.cases(name)) == []


@pytest.mark.parametrize("name", FROM_SEEDS)
def test_the_recorded_bytes_are_made_again(name: str) -> None:
    """Keys from randomness, signatures and classical ciphertexts among them: nothing in these is drawn elsewhere."""
    assert MAKERS[name]() == recorded(name)


def test_every_file_has_a_maker_and_together_they_are_small() -> None:
    files = {path.stem: path.stat().st_size for path in RECORDED_ROOT.glob("*.json")}
    assert files.keys() == MAKERS.keys()
    assert sum(files.values()) <= SIZE_MAX


def test_a_changed_answer_is_noticed() -> None:
    case = recorded("key-schedule")[0]
    epoch = case["epochs"][1]
    changed = case | {"epochs": [case["epochs"][0], epoch | {"init_secret": epoch["joiner_secret"]}]}
    assert wrong("key-schedule", [case, changed]) == [1]
