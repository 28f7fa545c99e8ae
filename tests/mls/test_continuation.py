"""Groups that continue another: what their makers keep to, and what who enters them refuses (RFC 9420 §11.2, §11.3)."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from mls import application
from mls.commit import CommitRequest, CreatedCommit, create_commit, group_info
from mls.create import create_group
from mls.entry import join
from mls.errors import InvalidError, MisuseError, MlsError, UnopenableError
from mls.extensions import Extensions
from mls.framing import MLSMessage, frame
from mls.group import Group
from mls.key_packages import KeyPackageBundle
from mls.proposals import PreSharedKey, Proposal, add, reinit, remove
from mls.psks import PreSharedKeyID, PskName, ResumptionPsk, external_psk, psk_id, secret_of
from mls.registry import ExtensionType, ResumptionPSKUsage
from mls.results import OwnCommit
from mls.tree.nodes import Extension
from mls.welcome import WELCOME_LABEL, GroupSecrets, JoinerPsks, Newcomer, Welcome, seal_welcome
from tests.mls.forge import Forger
from tests.mls.world import LIFETIME, NOW, POLICY, Client, Members

NEXT = b"the next group"
RULES = (Extension(ExtensionType(POLICY), b"rules"),)
REINIT, BRANCH = ResumptionPSKUsage.REINIT, ResumptionPSKUsage.BRANCH


class Old(Members):
    """Alice makes a group that continues this one, in whatever way; Bob is to enter it, and knows the old one."""

    def __init__(self, *names: str, ended: bool = False) -> None:
        super().__init__(*(names or ("alice", "bob")))
        self.commit("bob")
        if ended:
            self.commit("alice", proposals=[reinit(NEXT, self.suite_id, RULES)])

    def continued(
        self,
        usage: ResumptionPSKUsage | None,
        *others: KeyPackageBundle,
        group_id: bytes = NEXT,
        suite_id: int = 1,
        extensions: Extensions = RULES,
        name: ResumptionPsk | None = None,
    ) -> CreatedCommit:
        """A new group with its first commit, right in itself; whether the old one allows it is another question."""
        founder, old = self.clients["alice"], self["alice"]
        state = create_group(
            suite_id,
            group_id,
            founder.signer,
            old.state.own_leaf_node.credential,
            founder.capabilities,
            (),
            extensions,
            self.random,
            LIFETIME,
            old.state.config,
        )
        proposals = [add(each.key_package) for each in others]
        psks: dict[PskName, bytes] = dict(old.resumption_psks)
        if usage is not None:
            body = name or ResumptionPsk(usage, old.group_id, old.epoch)
            psks.setdefault(psk_id(body, b"").name, bytes(32))
            proposals.append(Proposal.of(PreSharedKey(psk_id(body, self.random(state.suite.hash_size)))))
        request = CommitRequest(proposals=proposals, psks=psks, continues=True)
        return create_commit(state, request, self.random, NOW)

    def refused(self, rule: str, made: CreatedCommit | bytes, bundle: KeyPackageBundle, **options: object) -> None:
        welcome = made if isinstance(made, bytes) else made.welcomes[0]
        before = self["bob"].to_bytes()
        with pytest.raises((InvalidError, UnopenableError)) as wrong:
            join(welcome, [bundle], tree=None, now=NOW, **({"predecessor": self["bob"]} | options))  # type: ignore[arg-type]
        assert isinstance(wrong.value, InvalidError | UnopenableError)
        assert wrong.value.rule == rule, wrong.value
        assert self["bob"].to_bytes() == before

    def bundle(self, name: str = "bob", suite_id: int = 1) -> KeyPackageBundle:
        client = self.client(name)
        if suite_id == self.suite_id:
            return client.package()
        other = Client(name, suite_id, self.random)
        return other.package()


@pytest.fixture
def old() -> Old:
    return Old()


@pytest.fixture
def ended() -> Old:
    return Old(ended=True)


def named_by(welcome: bytes, bundle: KeyPackageBundle) -> GroupSecrets:
    """What a Welcome tells the owner of that bundle."""
    body = MLSMessage.decode(welcome).body
    assert isinstance(body, Welcome)
    (sealed,) = (each.encrypted_group_secrets for each in body.secrets if each.new_member == bundle.reference)
    return GroupSecrets.decode(
        bundle.suite.decrypt_with_label(bundle.init_key, WELCOME_LABEL, body.encrypted_group_info, sealed)
    )


def usages(psks: Sequence[PreSharedKeyID]) -> list[ResumptionPSKUsage | None]:
    return [each.usage for each in psks]


# --- the end of a group ---


def test_v168_a_group_that_a_reinit_has_ended_says_nothing_more(ended: Old) -> None:
    group = ended["alice"]
    assert group.reinit is not None
    for say in (
        lambda: group.seal(b"words", ended.random),
        lambda: group.propose(remove(1), ended.random, NOW),
        lambda: group.propose_update(ended.random),
        lambda: group.commit(ended.random, NOW),
        lambda: group.group_info(external_pub=True),
    ):
        with pytest.raises(MisuseError, match="V168"):
            say()


def test_v168_what_is_said_in_the_epoch_that_a_reinit_began_is_refused(ended: Old) -> None:
    """All of it is right, but for a member that goes on as if nothing had ended."""
    alice, bob = ended["alice"], ended["bob"]
    unending = Group(replace(alice.state, public=replace(alice.public, reinit=None)))
    words = unending.seal(b"words", ended.random)[1]
    commit = unending.commit(ended.random, NOW).message
    proposal = Forger(unending, ended.random).proposal(remove(1))
    before = bob.to_bytes()
    for take in (
        lambda: bob.open(words, NOW),
        lambda: bob.stage(commit, now=NOW),
        lambda: bob.public.check_commit(commit),
        lambda: bob.public.check_commit(commit, [proposal]),
    ):
        with pytest.raises(InvalidError) as wrong:
            take()
        assert wrong.value.rule == "V168"
    assert bob.to_bytes() == before
    with pytest.raises(MlsError):
        application.seal(alice.state, b"words", ended.random)


# --- its successor ---


def test_v225_the_successor_has_the_same_members_and_the_last_epochs_psk() -> None:
    """Whoever of the old members makes it, on the terms of the ReInit."""
    old = Old("alice", "bob", "carol", ended=True)
    bundles = {name: old.client(name).package() for name in ("alice", "carol")}
    made = old["bob"].reinitialize([each.key_package for each in bundles.values()], old.random, NOW, lifetime=LIFETIME)
    assert made.welcome is not None
    joined = {
        name: join(made.welcome, [bundle], tree=None, now=NOW, predecessor=old[name])
        for name, bundle in bundles.items()
    }
    assert {each.epoch_authenticator for each in joined.values()} == {made.successor.epoch_authenticator}
    (psk,) = named_by(made.welcome, bundles["alice"]).psks
    assert psk.body == ResumptionPsk(REINIT, b"a group", old["bob"].epoch)
    group = joined["carol"]
    assert (group.epoch, group.group_id, group.extensions, group.suite.id) == (1, NEXT, RULES, 1)
    assert len(group.members()) == 3


def test_v225_a_successor_without_a_member_or_with_another_is_not_made() -> None:
    old = Old("alice", "bob", "carol", ended=True)
    for names in (("bob",), ("bob", "carol", "dave"), ("bob", "dave"), ("bob", "bob")):
        packages = [old.client(name).package().key_package for name in names]
        with pytest.raises(MisuseError, match="V225"):
            old["alice"].reinitialize(packages, old.random, NOW, lifetime=LIFETIME)


def test_a_group_that_goes_on_has_no_successor(old: Old) -> None:
    package = old.bundle().key_package
    with pytest.raises(MisuseError):
        old["alice"].reinitialize([package], old.random, NOW, lifetime=LIFETIME)


def test_a_continued_group_is_believed_when_it_breaks_no_rule(ended: Old) -> None:
    """Otherwise the refusals below would prove nothing."""
    bundle = ended.bundle()
    made = ended.continued(REINIT, bundle)
    joined = join(made.welcomes[0], [bundle], tree=None, now=NOW, predecessor=ended["bob"])
    assert joined.epoch_authenticator == Group(made.successor).epoch_authenticator


@pytest.mark.parametrize("usage", [REINIT, BRANCH])
def test_v196_a_continued_group_of_a_later_epoch(usage: ResumptionPSKUsage) -> None:
    """The PSK is right, and sealed with; but it is not the first commit that it came with."""
    old = Old(ended=usage is REINIT)
    bundle = old.bundle()
    first = old.continued(None)
    second = create_commit(first.successor, CommitRequest(proposals=[add(bundle.key_package)]), old.random, NOW)
    psk = psk_id(ResumptionPsk(usage, b"a group", old["alice"].epoch), bytes(32))
    old.refused("V196", resealed(old, second, bundle, (psk,)), bundle)


def resealed(
    old: Old,
    made: CreatedCommit | OwnCommit,
    bundle: KeyPackageBundle,
    psks: tuple[PreSharedKeyID, ...],
    sealed_with: tuple[PreSharedKeyID, ...] | None = None,
) -> bytes:
    """The Welcome for that bundle with these PSKs named in it, and everything in it sealed as they make it."""
    secrets = named_by(made.welcomes[0], bundle)
    state = made.successor.state if isinstance(made, OwnCommit) else made.successor
    at_hand: dict[PskName, bytes] = {**old["alice"].resumption_psks, **KEYS}
    secret = secret_of(state.suite, psks if sealed_with is None else sealed_with, (at_hand,), "V149")
    path_secret = None if secrets.path_secret is None else secrets.path_secret.path_secret
    newcomer = Newcomer(bundle.key_package, path_secret)
    info = group_info(state, inline_tree=True)
    sealed = seal_welcome(state.suite, info, secrets.joiner_secret, [newcomer], JoinerPsks(psks, secret), old.random)
    return frame(sealed)


KEYS: dict[PskName, bytes] = {external_psk(b"one"): bytes([1]) * 32, external_psk(b"two"): bytes([2]) * 32}
ONE, TWO = (psk_id(name, bytes([number]) * 32) for number, name in enumerate(KEYS))


def test_v197_a_successor_of_a_group_that_goes_on(old: Old) -> None:
    bundle = old.bundle()
    old.refused("V197", old.continued(REINIT, bundle), bundle)


@pytest.mark.parametrize("terms", ["group_id", "suite_id", "extensions"])
def test_v197_a_successor_on_other_terms(ended: Old, terms: str) -> None:
    bundle = ended.bundle(suite_id=3 if terms == "suite_id" else 1)
    other: dict[str, dict[str, object]] = {
        "group_id": {"group_id": b"another group"},
        "suite_id": {"suite_id": 3},
        "extensions": {"extensions": ()},
    }
    ended.refused("V197", ended.continued(REINIT, bundle, **other[terms]), bundle)  # type: ignore[arg-type]


def test_v198_a_successor_by_the_psk_of_an_earlier_epoch(ended: Old) -> None:
    """Or of another group: it has to be that of the epoch which the ReInit began."""
    bundle = ended.bundle()
    earlier = ResumptionPsk(REINIT, b"a group", ended["alice"].epoch - 1)
    ended.refused("V198", ended.continued(REINIT, bundle, name=earlier), bundle)
    elsewhere = ResumptionPsk(REINIT, b"another group", ended["alice"].epoch)
    key: dict[PskName, bytes] = {psk_id(elsewhere, b"").name: bytes(32)}
    ended.refused("V198", ended.continued(REINIT, bundle, name=elsewhere), bundle, psks=key)


def test_v198_a_successor_without_somebody_of_the_old_group() -> None:
    old = Old("alice", "bob", "carol", ended=True)
    bundle = old.bundle()
    old.refused("V198", old.continued(REINIT, bundle), bundle)
    both = old.continued(REINIT, bundle, old.bundle("carol"))
    assert join(both.welcomes[0], [bundle], tree=None, now=NOW, predecessor=old["bob"]).epoch == 1


def test_v199_a_group_that_is_no_branch_of_the_one_it_is_taken_for(old: Old) -> None:
    """Anybody can add anybody to a group: what proves that its members were in the old one is the PSK."""
    bundle = old.bundle()
    made = old.continued(None, bundle)
    old.refused("V199", made, bundle)
    assert join(made.welcomes[0], [bundle], tree=None, now=NOW).epoch == 1


def test_v228_a_successor_without_the_psk(ended: Old) -> None:
    """Its terms are right, and anyone could have made it."""
    bundle = ended.bundle()
    ended.refused("V228", ended.continued(None, bundle), bundle)


def test_v228_a_branch_in_place_of_the_successor(ended: Old) -> None:
    """That one may leave members out. Neither by its name nor by its epoch may it pass for the successor."""
    bundle, epoch = ended.bundle(), ended["alice"].epoch
    earlier = ResumptionPsk(BRANCH, b"a group", epoch - 1)
    ended.refused("V228", ended.continued(BRANCH, bundle, name=earlier), bundle)
    ended.refused("V228", ended.continued(BRANCH, bundle, group_id=b"a branch"), bundle)
    with pytest.raises(MisuseError, match="V168"):
        ended["alice"].branch([bundle.key_package], ended.random, NOW, lifetime=LIFETIME)
    late = ended.continued(BRANCH, bundle, name=earlier, group_id=b"a branch")
    assert join(late.welcomes[0], [bundle], tree=None, now=NOW, predecessor=ended["bob"]).group_id == b"a branch"


# --- branches ---


def test_v229_a_branch_keeps_version_suite_and_members_and_carries_the_psk() -> None:
    """V203: and it has a random name, unless it is given one."""
    old = Old("alice", "bob", "carol")
    bundle = old.bundle("carol")
    made = old["alice"].branch([bundle.key_package], old.random, NOW, lifetime=LIFETIME, extensions=RULES)
    assert made.welcome is not None
    joined = join(made.welcome, [bundle], tree=None, now=NOW, predecessor=old["carol"])
    assert (joined.epoch, joined.suite.id, joined.extensions) == (1, 1, RULES)
    assert joined.epoch_authenticator == made.successor.epoch_authenticator
    assert usages(named_by(made.welcome, bundle).psks) == [BRANCH]
    again = old["alice"].branch([bundle.key_package], old.random, NOW, lifetime=LIFETIME)
    assert len(joined.group_id) == len(again.successor.group_id) == joined.suite.hash_size
    assert joined.group_id != again.successor.group_id
    with pytest.raises(MisuseError, match="V229"):
        old["alice"].branch([old.bundle("dave").key_package], old.random, NOW, lifetime=LIFETIME)


def test_v209_a_branch_has_a_nonce_and_key_packages_of_its_own() -> None:
    old = Old("alice", "bob", "carol")
    bundle = old.bundle("carol")
    nonces = set()
    for _ in range(3):
        made = old["alice"].branch([bundle.key_package], old.random, NOW, lifetime=LIFETIME)
        assert made.welcome is not None
        nonces.add(named_by(made.welcome, bundle).psks[0].psk_nonce)
    assert len(nonces) == 3
    assert {len(each) for each in nonces} == {32}
    dave = old.bundle("dave")
    added = old.commit("alice", proposals=[add(dave.key_package)])
    old.join("dave", added, dave)
    with pytest.raises(MisuseError, match="V209"):
        old["alice"].branch([dave.key_package], old.random, NOW, lifetime=LIFETIME)


def test_v199_a_branch_of_another_suite(old: Old) -> None:
    bundle = old.bundle(suite_id=3)
    old.refused("V199", old.continued(BRANCH, bundle, suite_id=3), bundle)


def test_v199_a_branch_of_another_group(old: Old) -> None:
    bundle, elsewhere = old.bundle(), ResumptionPsk(BRANCH, b"another group", 2)
    key: dict[PskName, bytes] = {psk_id(elsewhere, b"").name: bytes(32)}
    old.refused("V199", old.continued(BRANCH, bundle, name=elsewhere), bundle, psks=key)


def test_v199_a_branch_with_a_stranger(old: Old) -> None:
    bundle = old.bundle()
    old.refused("V199", old.continued(BRANCH, bundle, old.bundle("mallory")), bundle)


def test_v207_a_branch_of_an_epoch_whose_members_are_forgotten(old: Old) -> None:
    """The key is still there, but nobody can say any more who was in that epoch."""
    bundle, earlier = old.bundle(), ResumptionPsk(BRANCH, b"a group", old["alice"].epoch - 1)
    made = old.continued(BRANCH, bundle, name=earlier)
    assert join(made.welcomes[0], [bundle], tree=None, now=NOW, predecessor=old["bob"]).epoch == 1
    forgetful = Group(replace(old["bob"].state, past=()))
    old.refused("V207", made, bundle, predecessor=forgetful)


# --- the PSKs of any Welcome ---


@pytest.fixture
def welcomed(old: Old) -> tuple[Old, OwnCommit, KeyPackageBundle]:
    """Bob's second device, say, added to another group of Alice's with two PSKs."""
    bundle = old.bundle("erin")
    proposals = [add(bundle.key_package), *(Proposal.of(PreSharedKey(each)) for each in (ONE, TWO))]
    made = old["alice"].commit(old.random, NOW, proposals=proposals, psks=KEYS)
    return old, made, bundle


Welcomed = tuple[Old, OwnCommit, KeyPackageBundle]


def test_a_resealed_welcome_is_believed_when_nothing_is_changed(welcomed: Welcomed) -> None:
    old, made, bundle = welcomed
    again = resealed(old, made, bundle, (ONE, TWO))
    group = join(again, [bundle], tree=None, now=NOW, psks=KEYS)
    assert group.epoch_authenticator == made.successor.epoch_authenticator


def test_v185_a_welcome_with_a_psk_that_is_not_at_hand(welcomed: Welcomed) -> None:
    old, made, bundle = welcomed
    assert made.welcome is not None
    for some in ({}, {external_psk(b"one"): bytes(32)}):
        old.refused("V185", made.welcome, bundle, psks=some, predecessor=None)


@pytest.mark.parametrize("usage", [REINIT, BRANCH])
def test_v185_a_welcome_that_continues_a_group_which_is_not_at_hand(usage: ResumptionPSKUsage) -> None:
    """Its PSK alone says nothing of the old group's members and terms."""
    old = Old(ended=usage is REINIT)
    bundle, psks = old.bundle(), old["bob"].resumption_psks
    old.refused("V185", old.continued(usage, bundle), bundle, psks=psks, predecessor=None)


def test_v186_a_welcome_that_continues_two_groups(welcomed: Welcomed) -> None:
    old, made, bundle = welcomed
    two = [ResumptionPsk(usage, b"a group", old["alice"].epoch) for usage in (REINIT, BRANCH)]
    psks = tuple(psk_id(each, bytes(32)) for each in two)
    old.refused("V186", resealed(old, made, bundle, psks), bundle, psks=old["alice"].resumption_psks)


def test_v227_a_welcome_with_a_nonce_of_another_length(welcomed: Welcomed) -> None:
    old, made, bundle = welcomed
    short = replace(TWO, psk_nonce=bytes(31))
    old.refused("V227", resealed(old, made, bundle, (ONE, short)), bundle, psks=KEYS)


def test_v227_a_welcome_with_one_psk_twice(welcomed: Welcomed) -> None:
    old, made, bundle = welcomed
    old.refused("V227", resealed(old, made, bundle, (ONE, TWO, ONE)), bundle, psks=KEYS)


def test_v200_a_welcome_with_the_psks_in_another_order(welcomed: Welcomed) -> None:
    """Sealed in that order too, it opens; but the confirmation tag is that of the commit."""
    old, made, bundle = welcomed
    old.refused("V195", resealed(old, made, bundle, (TWO, ONE)), bundle, psks=KEYS, predecessor=None)
    inside = resealed(old, made, bundle, (TWO, ONE), sealed_with=(ONE, TWO))
    old.refused("V187", inside, bundle, psks=KEYS, predecessor=None)


def test_v200_ours_name_the_commits_psks_in_its_order(welcomed: Welcomed) -> None:
    _, made, bundle = welcomed
    assert made.welcome is not None
    assert named_by(made.welcome, bundle).psks == (ONE, TWO)
