"""What must be true of the chain: one, certified, the same for everybody, and it goes on without a voter.

Each check returns its numbers in words, and what contradicts it.
"""

from node.testnet.case import Case


def ended_well(case: Case) -> tuple[str, list[str]]:
    """The script came to its end, no node logged an error, and every one stopped when it was asked to."""
    problems = [case.story.failure] if case.story.failure else []
    problems += [f"{name} logged: {error}" for name, error in case.story.errors.items()]
    codes = case.story.exit_codes
    problems += [
        f"{actor.name}: exit code {codes.get(actor.name)}" for actor in case.story.actors if codes.get(actor.name) != 0
    ]
    return f"{case.story.rounds} rounds, {len(codes)} nodes stopped with exit code 0, no error logged", problems


def equal_epochs(case: Case) -> tuple[str, list[str]]:
    """Who is in one epoch with one authenticator shares every secret of it."""
    last = max(case.decided, default=-1) + 1
    problems = []
    for node in case.nodes:
        if node.damage:
            problems.append(f"{node.name}: its store cannot be read: {node.damage}")
        elif node.epoch != last:
            problems.append(f"{node.name} is in epoch {node.epoch}, the last one is {last}")
        elif node.authenticator is None:
            problems.append(f"{node.name} holds no group value of epoch {last}")
        elif node.members != case.members.get(last):
            names = sorted(map(case.name_of, node.members))
            problems.append(f"{node.name} counts other members in epoch {last} than the chain: {', '.join(names)}")
    found = {node.authenticator for node in case.nodes if node.authenticator is not None}
    if len(found) != 1:
        problems += [
            f"{node.name}: epoch {node.epoch}, authenticator {_hex(node.authenticator)}" for node in case.nodes
        ]
    return f"epoch {last}, authenticator {_hex(min(found, default=None))} at {len(case.nodes)} nodes", problems


def chains_verify(case: Case) -> tuple[str, list[str]]:
    """`conclave log verify`, for every node: from its anchor on, every certificate and every link."""
    problems = []
    decisions = signatures = 0
    for node in case.nodes:
        report = node.report
        if report is None:
            problems.append(f"{node.name} holds no chain")
            continue
        problems += [f"{node.name}, epoch {each.epoch}: {each.text}" for each in report.problems]
        if not report.ok and not report.problems:
            problems.append(f"{node.name}: the chain does not check out")
        if report.last_epoch != node.epoch:
            problems.append(f"{node.name}: checked up to epoch {report.last_epoch}, it is in epoch {node.epoch}")
        decisions += report.decision_count
        signatures += report.signature_count
    return f"{len(case.nodes)} chains, {decisions} decisions, {signatures} signatures", problems


def one_decision(case: Case) -> tuple[str, list[str]]:
    """No two certificates for one epoch, and none missing in between."""
    problems = []
    for epoch in range(max(case.decided, default=-1) + 1):
        ids = case.decided.get(epoch, frozenset())
        if not ids:
            problems.append(f"epoch {epoch}: no node holds what ended it")
        elif len(ids) > 1:
            problems += [
                f"epoch {epoch}: {node.name} holds {row.candidate_id.hex()}"
                for node in case.nodes
                for row in node.chain
                if row.epoch == epoch
            ]
            problems.append(f"epoch {epoch}: {len(ids)} decided ids")
    rows = sum(len(node.chain) for node in case.nodes)
    return f"{case.epochs} epochs, {rows} decisions at {len(case.nodes)} nodes, one id each", problems


def committee_grew(case: Case) -> tuple[str, list[str]]:
    """The committee was elected as the members opted in."""
    sizes = {row.epoch: row.committee_size for node in case.nodes for row in node.chain}
    grown: list[int] = []
    for epoch in sorted(sizes):
        if not grown or sizes[epoch] != grown[-1]:
            grown.append(sizes[epoch])
    expected = list(case.story.committee_sizes)
    said = " → ".join(map(str, grown))
    return said, [] if grown[: len(expected)] == expected else [f"expected it to begin with {expected}: {said}"]


def rivals_met(case: Case) -> tuple[str, list[str]]:
    """Commits of different members competed for one epoch, often enough to mean something."""
    count, contested = case.rivals()
    least = case.story.rivals_expected
    problems = [] if count >= least else [f"{count} commits were concurrent, at least {least} were to be"]
    return f"{count} (at least {least}) in {contested} contested epochs", problems


def others_went_on(case: Case) -> tuple[str, list[str]]:
    """While one voter was down the others decided."""
    problems = []
    texts = []
    for outage in case.story.outages:
        span = range(outage.from_ms, outage.until_ms)
        epochs = {
            entry.epoch
            for node in case.nodes
            if node.name != outage.node
            for entry in node.began
            if entry.at_ms in span
        }
        texts.append(f"{len(epochs)} decisions with {outage.node} {outage.how}")
        if not epochs:
            problems.append(f"nothing was decided while {outage.node} was {outage.how}")
    hows = {outage.how for outage in case.story.outages}
    problems += [f"no node was {how}" for how in ("killed", "stopped") if how not in hows]
    return ", ".join(texts), problems


def _hex(value: bytes | None) -> str:
    return "none" if value is None else value.hex()[:16]
