"""The list of rules, the code that cites them, the tests that show them and the page about all that agree."""

from tests.mls.rules import PAGE, page, read, read_tests


def test_every_must_rule_is_shown_by_a_test_or_pending() -> None:
    """And every id anywhere is a rule's; every test of a refusal expects the rule by name."""
    assert list(read().problems()) == []


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(read()), "docs/rfc9420.md is stale: python -m tests.mls.rules"


def test_the_list_is_whole() -> None:
    """229 rules, numbered without gaps, 210 of them with MUST: an id never goes away."""
    register = read()
    numbers = sorted(int(id[1:]) for id in register.rules)
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= 229
    assert len(register.musts) >= 210


def test_a_test_shows_what_its_name_and_the_start_of_its_docstring_say() -> None:
    source = '''
def test_v001_v002_a_thing() -> None:
    """V003, V004: and not V005, which is only mentioned."""
    expect("V006", "V00")

class TestMore:
    def test_other(self) -> None:
        """V007."""

def test_v0089_is_no_rule() -> None: ...
'''
    first, second = sorted(read_tests(source, "test_file.py"), key=lambda each: each.shows)
    assert first.shows == ("V001", "V002", "V003", "V004")
    assert first.speaks_of == {"V006"}
    assert second.shows == ("V007",)
