"""The group's situation in words, for `status` and `group show`. Numbers and names in, sentences out."""

from collections.abc import Sequence

ONE_LOST = "if it is lost the group can only be refounded"
TRUSTED = "voters are trusted not to lie"
NAMED_MAX = 5
LONG_VIEWS = 16  # more than a committee of 31 needs to pass by everybody who may lie


def survives(voters: int, quorum: int, liars: int, *, is_crash: bool = False, sole_voter: str = "this device") -> str:
    """What the present committee survives.

    `liars` is how many voters may lie (0 in the crash model); `sole_voter` names the only seat of a committee of one.
    """
    if voters == 0:
        return "nobody votes in this epoch: the group cannot change"
    if voters == 1:
        text = f"{sole_voter} alone decides: it can refuse its own removal, and {ONE_LOST}"
        return f"{text} (crash model: {TRUSTED})" if is_crash else text
    offline = voters - quorum
    away = f"{offline} of {voters} voters may be offline" if offline else f"none of {voters} voters may be offline"
    if is_crash:
        forks_with = 2 * quorum - voters
        dishonest = "one dishonest voter" if forks_with == 1 else f"{forks_with} dishonest voters"
        return f"{away}; {TRUSTED}: {dishonest} could fork this group"
    if liars == 0:
        return f"{away}; one dishonest voter could fork this group; it takes 4 to change that"
    if liars == offline:
        return f"{away} or lying"
    return f"{away}, {liars} of them lying instead"


def improves(
    group: str,
    *,
    voters: int,
    better_at: int | None,
    willing: int,
    size_max: int,
    policy: str,
    could: Sequence[str],
    is_crash: bool = False,
) -> str:
    """What would make the committee survive more, and who could do it; empty when there is nothing to gain.

    `willing` counts those who may be seated now, `could` names the members who have not opted in.
    """
    if better_at is None:
        return ""
    gain = f"{better_at} voters would {_gain(voters, better_at, is_crash=is_crash)}"
    if policy == "pinned":
        return f"{gain}: pin more members with `conclave group policy {group} --policy pinned --pin ...`"
    if better_at > size_max:
        return f"{gain}: allow them with `conclave group policy {group} --voters-max {better_at}`"
    needed = better_at - willing
    if needed <= 0:
        return ""  # they are elected by the next change
    missing = f"{gain}: {needed} more must opt in"
    if not could:
        return f"{missing}, and every member has; add members that are always on"
    listed = ", ".join(could[:NAMED_MAX]) + (" ..." if len(could) > NAMED_MAX else "")
    more = f"; add {count(needed - len(could), 'member')} too" if needed > len(could) else ""
    return f"{missing} (`conclave group opt-in {group}` at {listed}){more}"


def _gain(voters: int, better_at: int, *, is_crash: bool) -> str:
    if is_crash:
        return f"go on without any {(better_at - 1) // 2} of them"
    if voters == 1:
        return "go on without any one of them"
    liars = (better_at - 1) // 3
    return f"survive {count(liars, 'dishonest one')}"


def deciding(view: int, candidates: int) -> str:
    """How an epoch's decision is getting on."""
    text = f"view {view}, {count(candidates, 'candidate')}"
    if view < LONG_VIEWS:
        return text
    return f"{text}; the voters hear each other and have failed {view} times: look at their links, load and clocks"


def mailboxes(number: int) -> str:
    """'1 mailbox', '2 mailboxes'."""
    return "1 mailbox" if number == 1 else f"{number} mailboxes"


def count(number: int, noun: str) -> str:
    """'1 voter', '2 voters'."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
