"""Plays the scripts of the working group's test runner with clients, wherever they are: in this process or behind gRPC.

A script is a list of steps; a step has an actor and an action, and later steps refer to what earlier ones made by
their number. What every step has to come to is written into it: members who process a commit, and newcomers who join by
it, have the committer's epoch authenticator; what is unprotected is what was protected. After the last step all who are
in the same epoch export the same secret and hear each other.
"""

import base64
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mls.interop import Client
from mls.interop.answers import ExtensionValue, PreSharedKeyValue, ProposalDescription
from tests.mls.world import Dice

Script = Sequence[dict[str, Any]]


def folded(value: Any) -> Any:
    """A step with the spelling out of its keys: the scripts mix `force_path`, `forcePath` and `changeCiphersuite`."""
    if isinstance(value, dict):
        return {key.replace("_", "").lower(): folded(each) for key, each in value.items()}
    return [folded(each) for each in value] if isinstance(value, list) else value


@dataclass
class Play:
    """One script on its way, with one cipher suite and one way of sending handshake messages."""

    cast: Sequence[Client]  # servers: actors are dealt out among them in the order of their first appearance
    suite_id: int
    encrypted: bool
    made: list[dict[str, bytes]] = field(default_factory=list)  # by step
    servers: dict[str, Client] = field(default_factory=dict)
    states: dict[str, int] = field(default_factory=dict)
    transactions: dict[str, int] = field(default_factory=dict)
    signers: dict[str, int] = field(default_factory=dict)
    dice: Dice = field(default_factory=Dice)

    def run(self, script: Script) -> None:
        for number, raw in enumerate(script):
            step = folded(raw)
            self.made.append({})
            try:
                self.step(step)
            except AssertionError as error:
                raise AssertionError(f"step {number}, {raw['action']} by {raw.get('actor')}: {error}") from error
        self.check_everyone(self.states)
        for name, state_id in self.states.items():
            self.at(name).free(state_id=state_id)

    def at(self, actor: str) -> Client:
        """The server that plays this actor."""
        return self.servers.setdefault(actor, self.cast[len(self.servers) % len(self.cast)])

    def step(self, step: dict[str, Any]) -> None:
        actor, here = step.get("actor", ""), self.made[-1]
        match step["action"]:
            case "createGroup":
                self.create_group(actor, step.get("members", ()))
            case "createKeyPackage":
                self.create_key_package(actor)
            case "joinGroup":
                self.join(actor, self.made[step["welcome"]]["welcome"], b"")
            case "externalJoin":
                self.external_join(actor, step)
            case "installExternalPSK":
                self.install_psk(step["clients"])
            case "groupInfo":
                info = self.at(actor).group_info(
                    state_id=self.states[actor], external_tree=step.get("externaltree", False)
                )
                here.update(group_info=info.group_info, ratchet_tree=info.ratchet_tree)
            case "commit":
                self.commit(actor, step)
            case "handleCommit":
                self.handle_commit(actor, self.made[step["commit"]]["commit"], self.referred(step))
            case "handlePendingCommit":
                self.handle_pending_commit(actor)
            case "fullCommit":
                self.full_commit(actor, step)
            case "protect":
                data, plaintext = step["authenticateddata"].encode(), step["plaintext"].encode()
                sent = self.at(actor).protect(state_id=self.states[actor], authenticated_data=data, plaintext=plaintext)
                here.update(authenticated_data=data, plaintext=plaintext, ciphertext=sent.ciphertext)
            case "unprotect":
                sent_then = self.made[step["ciphertext"]]
                got = self.at(actor).unprotect(state_id=self.states[actor], ciphertext=sent_then["ciphertext"])
                assert got.authenticated_data == sent_then["authenticated_data"], "other authenticated data"
                assert got.plaintext == sent_then["plaintext"], "another plaintext"
            case "reinit":
                self.reinit(step)
            case "branch":
                self.branch(actor, step)
            case "newMemberAddProposal":
                joiner, info = (
                    step["joiner"],
                    self.at(actor).group_info(state_id=self.states[actor], external_tree=False),
                )
                asked = self.at(joiner).new_member_add_proposal(group_info=info.group_info, identity=joiner.encode())
                self.transactions[joiner] = asked.transaction_id
                here["proposal"] = asked.proposal
            case "addExternalSigner":
                signer = step["signer"]
                named = self.at(signer).create_external_signer(cipher_suite=self.suite_id, identity=signer.encode())
                self.signers[signer] = named.signer_id
                here["proposal"] = (
                    self.at(actor)
                    .add_external_signer(state_id=self.states[actor], external_sender=named.external_sender)
                    .proposal
                )
            case "externalSignerProposal":
                member = step["member"]
                info = self.at(member).group_info(state_id=self.states[member], external_tree=True)
                here["proposal"] = (
                    self.at(actor)
                    .external_signer_proposal(
                        signer_id=self.signers[actor],
                        signer_index=0,
                        group_info=info.group_info,
                        ratchet_tree=info.ratchet_tree,
                        description=self.description(step["description"]),
                    )
                    .proposal
                )
            case _:
                here["proposal"] = self.proposal(actor, step)

    # --- proposals ---

    def proposal(self, actor: str, step: dict[str, Any]) -> bytes:
        server, state_id = self.at(actor), self.states[actor]
        match step["action"]:
            case "addProposal":
                package = self.made[step["keypackage"]]["key_package"]
                return server.add_proposal(state_id=state_id, key_package=package).proposal
            case "updateProposal":
                return server.update_proposal(state_id=state_id).proposal
            case "removeProposal":
                return server.remove_proposal(state_id=state_id, removed_id=step["removed"].encode()).proposal
            case "externalPSKProposal":
                psk_id = self.made[step["pskid"]]["psk_id"]
                return server.external_psk_proposal(state_id=state_id, psk_id=psk_id).proposal
            case "resumptionPSKProposal":
                return server.resumption_psk_proposal(state_id=state_id, epoch_id=step["epochid"]).proposal
            case "groupContextExtensionsProposal":
                return server.group_context_extensions_proposal(
                    state_id=state_id, extensions=self.extensions(step)
                ).proposal
            case other:
                raise AssertionError(f"no action {other}")

    def description(self, described: dict[str, Any]) -> ProposalDescription:
        kind = described["proposaltype"]
        match kind:
            case "add":
                return ProposalDescription(kind.encode(), key_package=self.made[described["keypackage"]]["key_package"])
            case "remove":
                return ProposalDescription(kind.encode(), removed_id=described["removed"].encode())
            case "externalPSK":
                return ProposalDescription(kind.encode(), psk_id=self.made[described["pskid"]]["psk_id"])
            case "resumptionPSK":
                return ProposalDescription(kind.encode(), epoch_id=described["epochid"])
            case "groupContextExtensions":
                return ProposalDescription(kind.encode(), extensions=self.extensions(described))
            case "reinit":
                group_id = self.next_terms(described)
                return ProposalDescription(
                    kind.encode(),
                    extensions=self.extensions(described),
                    group_id=group_id,
                    cipher_suite=self.suite_id,
                )
            case _:
                raise AssertionError(f"no proposal type {kind}")

    def extensions(self, step: dict[str, Any]) -> tuple[ExtensionValue, ...]:
        return tuple(
            ExtensionValue(each["extensiontype"], base64.b64decode(each["extensiondata"]))
            for each in step.get("extensions", ())
        )

    def referred(self, step: dict[str, Any]) -> tuple[bytes, ...]:
        return tuple(self.made[number]["proposal"] for number in step.get("byreference", ()))

    # --- entering ---

    def create_group(self, founder: str, members: Sequence[str]) -> None:
        group_id = self.dice(16)
        self.made[-1]["group_id"] = group_id
        self.states[founder] = (
            self.at(founder)
            .create_group(
                group_id=group_id,
                cipher_suite=self.suite_id,
                encrypt_handshake=self.encrypted,
                identity=founder.encode(),
            )
            .state_id
        )
        if not members:
            return
        packages = [self.create_key_package(member) for member in members]
        made = self.at(founder).commit(
            state_id=self.states[founder],
            by_reference=(),
            by_value=tuple(ProposalDescription(b"add", key_package=each) for each in packages),
            force_path=False,
            external_tree=False,
        )
        expected = self.handle_pending_commit(founder)
        for member in members:
            assert self.join(member, made.welcome, b"") == expected, f"{member} is in another epoch"

    def create_key_package(self, actor: str) -> bytes:
        made = self.at(actor).create_key_package(cipher_suite=self.suite_id, identity=actor.encode())
        self.transactions[actor] = made.transaction_id
        self.made[-1]["key_package"] = made.key_package
        return made.key_package

    def join(self, actor: str, welcome: bytes, tree: bytes) -> bytes:
        """Returns the epoch authenticator."""
        joined = self.at(actor).join_group(
            transaction_id=self.transactions.pop(actor),
            welcome=welcome,
            encrypt_handshake=self.encrypted,
            identity=actor.encode(),
            ratchet_tree=tree,
        )
        self.states[actor] = joined.state_id
        return joined.epoch_authenticator

    def external_join(self, actor: str, step: dict[str, Any]) -> None:
        joiner = step["joiner"]
        info = self.at(actor).group_info(state_id=self.states[actor], external_tree=step.get("externaltree", False))
        psks = tuple(
            PreSharedKeyValue(self.made[number]["psk_id"], self.made[number]["psk_secret"])
            for number in step.get("psks", ())
        )
        joined = self.at(joiner).external_join(
            group_info=info.group_info,
            ratchet_tree=info.ratchet_tree,
            encrypt_handshake=self.encrypted,
            identity=joiner.encode(),
            remove_prior=step.get("removeprior", False),
            psks=psks,
        )
        self.states[joiner] = joined.state_id
        for member in (*step.get("members", ()), actor):
            self.agree(member, self.handle_commit(member, joined.commit, ()), joined.epoch_authenticator)

    def install_psk(self, actors: Sequence[str]) -> None:
        psk_id, secret = self.dice(32), self.dice(32)
        self.made[-1].update(psk_id=psk_id, psk_secret=secret)
        for actor in actors:
            number = self.states.get(actor) or self.transactions[actor]
            self.at(actor).store_psk(state_or_transaction_id=number, psk_id=psk_id, psk_secret=secret)

    # --- committing ---

    def commit(self, actor: str, step: dict[str, Any]) -> None:
        made = self.at(actor).commit(
            state_id=self.states[actor],
            by_reference=self.referred(step),
            by_value=tuple(self.description(each) for each in step.get("byvalue", ())),
            force_path=step.get("forcepath", False),
            external_tree=step.get("externaltree", False),
        )
        assert bool(made.ratchet_tree) == step.get("externaltree", False), "a tree nobody asked for, or none"
        self.made[-1].update(commit=made.commit, welcome=made.welcome, ratchet_tree=made.ratchet_tree)

    def handle_commit(self, actor: str, commit: bytes, proposals: tuple[bytes, ...]) -> bytes:
        """Returns the epoch authenticator."""
        done = self.at(actor).handle_commit(state_id=self.states[actor], proposal=proposals, commit=commit)
        self.states[actor] = done.state_id
        return done.epoch_authenticator

    def handle_pending_commit(self, actor: str) -> bytes:
        """Returns the epoch authenticator."""
        done = self.at(actor).handle_pending_commit(state_id=self.states[actor])
        self.states[actor] = done.state_id
        return done.epoch_authenticator

    def full_commit(self, actor: str, step: dict[str, Any]) -> None:
        self.commit(actor, step)
        here = self.made[-1]
        expected = self.handle_pending_commit(actor)
        for member in step.get("members", ()):
            self.agree(member, self.handle_commit(member, here["commit"], self.referred(step)), expected)
        for joiner in step.get("joiners", ()):
            self.agree(joiner, self.join(joiner, here["welcome"], here["ratchet_tree"]), expected)

    def agree(self, actor: str, authenticator: bytes, expected: bytes) -> None:
        assert authenticator == expected, f"{actor} is in another epoch"

    # --- groups out of groups ---

    def next_terms(self, step: dict[str, Any]) -> bytes:
        """The next group's id; from here on the cipher suite is the next group's too."""
        if step.get("changeciphersuite"):
            common = set.intersection(*(set(each.supported_ciphersuites().ciphersuites) for each in self.cast))
            ring = sorted(common)
            self.suite_id = ring[(ring.index(self.suite_id) + 1) % len(ring)]
        return self.made[0]["group_id"] + (b"++" if step.get("changegroupid") else b"")

    def reinit(self, step: dict[str, Any]) -> None:
        committer, welcomer, proposer = step["committer"], step["welcomer"], step.get("proposer")
        everyone = dict.fromkeys((committer, welcomer, *([proposer] if proposer else []), *step["members"]))
        if proposer:
            group_id = self.next_terms(step)
            message = (
                self.at(proposer)
                .reinit_proposal(
                    state_id=self.states[proposer],
                    cipher_suite=self.suite_id,
                    group_id=group_id,
                    extensions=self.extensions(step),
                )
                .proposal
            )
        else:
            message = self.made[step["externalreinitproposal"]]["proposal"]
        made = self.at(committer).reinit_commit(
            state_id=self.states[committer],
            by_reference=(message,),
            by_value=(),
            force_path=False,
            external_tree=False,
        )
        ended = {committer: self.at(committer).handle_pending_reinit_commit(state_id=self.states[committer])}
        for member in everyone:
            if member != committer:
                ended[member] = self.at(member).handle_reinit_commit(
                    state_id=self.states[member], proposal=(message,), commit=made.commit
                )
            self.agree(member, ended[member].epoch_authenticator, ended[committer].epoch_authenticator)
        begun = self.at(welcomer).reinit_welcome(
            reinit_id=ended[welcomer].reinit_id,
            key_package=tuple(ended[each].key_package for each in everyone if each != welcomer),
            force_path=step.get("forcepath", False),
            external_tree=step.get("externaltree", False),
        )
        self.states[welcomer] = begun.state_id
        for member in everyone:
            if member != welcomer:
                joined = self.at(member).handle_reinit_welcome(
                    reinit_id=ended[member].reinit_id, welcome=begun.welcome, ratchet_tree=begun.ratchet_tree
                )
                self.agree(member, joined.epoch_authenticator, begun.epoch_authenticator)
                self.states[member] = joined.state_id

    def branch(self, actor: str, step: dict[str, Any]) -> None:
        packages = [self.create_key_package(member) for member in step["members"]]
        made = self.at(actor).create_branch(
            state_id=self.states[actor],
            group_id=self.dice(16),
            extensions=self.extensions(step),
            key_packages=tuple(packages),
            force_path=step.get("forcepath", False),
            external_tree=step.get("externaltree", False),
        )
        old = {member: self.states[member] for member in (actor, *step["members"])}
        self.states[actor] = made.state_id
        for member in step["members"]:
            joined = self.at(member).handle_branch(
                state_id=old[member],
                transaction_id=self.transactions.pop(member),
                welcome=made.welcome,
                ratchet_tree=made.ratchet_tree,
            )
            self.agree(member, joined.epoch_authenticator, made.epoch_authenticator)
            self.states[member] = joined.state_id
        self.check_everyone(old)  # the group goes on beside its branch
        for member, state_id in old.items():
            self.at(member).free(state_id=state_id)

    # --- the end ---

    def check_everyone(self, states: Mapping[str, int]) -> None:
        """Who has one epoch authenticator has the rest of the epoch too."""

        def authenticator(actor: str) -> bytes:
            return self.at(actor).state_auth(state_id=states[actor]).state_auth_secret

        for _, together in itertools.groupby(sorted(states, key=authenticator), authenticator):
            speaker, *others = together
            exported = {
                self.at(actor)
                .export(state_id=states[actor], label="a script", context=b"its end", key_length=48)
                .exported_secret
                for actor in (speaker, *others)
            }
            assert len(exported) == 1, "one epoch with two exporter secrets"
            if not others:
                continue
            sent = self.at(speaker).protect(
                state_id=states[speaker], authenticated_data=b"the end", plaintext=b"goodbye"
            )
            for actor in others:
                heard = self.at(actor).unprotect(state_id=states[actor], ciphertext=sent.ciphertext)
                assert (heard.authenticated_data, heard.plaintext) == (b"the end", b"goodbye")
