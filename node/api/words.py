"""The group's situation in words, for `status` and `group show`."""


def survives(committee_size: int, quorum: int, faults: int, *, sole_voter: str = "one device") -> str:
    """What the present committee survives, and what more voters would change.

    `faults` is how many voters may lie (0 in the crash model); `sole_voter` names the only seat of a committee of one.
    """
    if committee_size == 0:
        return "nobody votes in this epoch: the group cannot change"
    if committee_size == 1:
        return (
            f"{sole_voter} alone decides: it can refuse its own removal, and if it is lost the group can only be "
            "refounded; three voters would go on without any one of them"
        )
    offline = committee_size - quorum
    parts = [f"of {committee_size} voters {quorum} must agree"]
    parts.append(f"{count(offline, 'voter')} may be offline" if offline else "none may be offline")
    parts.append(f"{count(faults, 'voter')} may lie" if faults else "one that lies can split the group")
    if faults == 0 and committee_size <= 3:
        parts.append("with four voters one may lie")
    return "; ".join(parts)


def count(number: int, noun: str) -> str:
    """'1 voter', '2 voters'."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
