"""Every story in `scenarios/`, played against the real core."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sim.scenario import Broken, Scenario, Unreadable, names


@pytest.mark.parametrize("name", names())
def test_scenario(name: str) -> None:
    """What the story expects comes to be."""
    Scenario(name).play()


@pytest.mark.parametrize("name", names())
def test_a_story_begins_in_plain_words(name: str) -> None:
    """Whoever reads it should not need the code."""
    scenario = Scenario(name)
    assert scenario.text.startswith("# ")
    assert len(scenario.story) > 80
    assert all(len(line) <= 125 or line.startswith("only ") for line in scenario.text.splitlines())


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("expect 0 in view 7", Broken),
        ("expect 0 decided z", Unreadable),
        ("0 sings", Unreadable),
        ("drop bread", Unreadable),
    ],
)
def test_a_line_that_does_not_hold_or_cannot_be_read_is_named(
    line: str, error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A story that says nothing would always hold."""
    (tmp_path / "story.txt").write_text(f"# A story.\nseats 3\n{line}\n")
    monkeypatch.setattr("tests.sim.scenario.FOLDER", tmp_path)
    with pytest.raises(error, match=r"story.txt:3"):
        Scenario("story").play()
