"""Groups whose members show certificates: the application names its roots, and is asked of every credential."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from mls.capabilities import own_capabilities
from mls.config import GroupConfig
from mls.credentials import CredentialRole, CredentialUse, accept_all, basic
from mls.crypto import PresentedName, SignaturePrivateKey, X509Policy, suite
from mls.entry import external_join, join
from mls.errors import InvalidError, MisuseError
from mls.extensions import ExternalSender, external_senders_extension
from mls.group import Group
from mls.leaf_change import LeafChange
from mls.observe import observe
from mls.policy import OPEN_POLICY, Policy
from mls.proposals import GroupContextExtensions, add, group_context_extensions
from mls.registry import CredentialType
from mls.results import ExternalJoin
from mls.tree.nodes import Credential, Extension
from mls.validation.key_packages import check_key_package
from mls.x509 import CertifiedClients, Names, presented_names, x509, x509_check
from tests.mls.crypto.authority import DAY, Authority, Issued
from tests.mls.forge import Forger, refused
from tests.mls.world import NOW, POLICY, VOTER, Client, Dice, Members

BOTH = (CredentialType.BASIC, CredentialType.X509)


class Clock:
    """What the settings are given to tell the time by."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


class Certified(Members):
    """A group of people with certificates; those named in `strangers` have them of an authority nobody trusts."""

    def __init__(
        self,
        *names: str,
        scheme: str = "Ed25519",
        suite_id: int = 1,
        strangers: Sequence[str] = (),
        extensions: tuple[Extension, ...] = (),
        policy_of_clients: Policy = OPEN_POLICY,
        **settings: Any,
    ) -> None:
        self.root, self.elsewhere, self.clock = Authority(), Authority("elsewhere"), Clock()
        self.middle = Authority("middle", above=self.root)
        self.scheme, self.strangers = scheme, strangers
        check = x509_check([self.root.der], self.clock, **settings)
        config = GroupConfig(
            validate_credential=check, policy=policy_of_clients, check_lifetimes=False, lifetime_max_s=None
        )
        super().__init__(*names, suite_id=suite_id, extensions=extensions, config=config)

    def client(self, name: str) -> Client:
        if name not in self.clients:
            client = Client(name, self.suite_id, self.random)
            client.capabilities = own_capabilities((POLICY, VOTER), self.random, credentials=(CredentialType.X509,))
            client.credential, client.signer = self.issued(name)
            self.clients[name] = client
        return self.clients[name]

    def issued(self, *names: str, until: int = NOW + 30 * DAY) -> tuple[Credential, SignaturePrivateKey]:
        """A chain of one intermediate, for these names."""
        if names[0] in self.strangers:
            return self.shown(self.elsewhere.issue(*names, scheme=self.scheme, until=until))
        return self.shown(self.middle.issue(*names, scheme=self.scheme, until=until), self.middle.der)

    def shown(self, issued: Issued, *others: bytes) -> tuple[Credential, SignaturePrivateKey]:
        return x509([issued.der, *others]), issued.signer(self.suite_id)

    def renewal(self, *names: str) -> LeafChange:
        credential, signer = self.issued(*names)
        return LeafChange(credential=credential, signer=signer)

    def invite(self, name: str) -> Any:
        """A commit that adds somebody, made by an Alice who asks nobody's opinion."""
        trusting = replace(self["alice"].state, config=GroupConfig())
        bundle = self.client(name).package()
        return bundle, Group(trusting).commit(self.random, NOW, proposals=[add(bundle.key_package)])


SUITES = {"Ed25519": 1, "ECDSA P-256": 2, "Ed448": 4, "ECDSA P-521": 5, "ECDSA P-384": 7, "ML-DSA-44": 0xF055}


@pytest.mark.parametrize("scheme", SUITES)
def test_members_with_certificates_are_a_group_like_any_other(scheme: str) -> None:
    world = Certified("alice", "bob", "carol", scheme=scheme, suite_id=SUITES[scheme])
    world.commit("bob")
    world.groups["bob"], message = world["bob"].seal(b"hello", world.random)
    _, opened = world["alice"].open(message, NOW)
    assert opened.plaintext == b"hello"
    assert world.agree()
    names = [presented_names(member.leaf.credential) for member in world["alice"].members()]
    assert names == [{PresentedName("uri", f"mls:{name}")} for name in ("alice", "bob", "carol")]


def test_v053_nobody_with_an_unknown_authoritys_certificate_is_added() -> None:
    world = Certified("alice", strangers=["mallory"])
    with pytest.raises(InvalidError) as wrong:
        world.add("alice", "mallory")
    assert wrong.value.rule == "V055"
    with pytest.raises(InvalidError):
        world["alice"].propose(add(world.client("mallory").package().key_package), world.random, NOW)


def test_v053_a_key_package_is_asked_about_before_it_is_used() -> None:
    world = Certified("alice", strangers=["mallory"])
    check, row = world.config.validate_credential, suite(world.suite_id)
    check_key_package(row, world.client("bob").package().key_package, check)
    with pytest.raises(InvalidError) as wrong:
        check_key_package(row, world.client("mallory").package().key_package, check)
    assert wrong.value.rule == "V053"


def test_v055_nor_followed_where_somebody_adds_them() -> None:
    world = Certified("alice", "bob", strangers=["mallory"])
    _, made = world.invite("mallory")
    with pytest.raises(InvalidError) as wrong:
        world["bob"].stage(made.message, now=NOW)
    assert wrong.value.rule == "V055"


def test_v054_nor_joined_or_observed_with() -> None:
    world = Certified("alice", strangers=["mallory"])
    bundle, made = world.invite("mallory")
    with pytest.raises(InvalidError) as joining:
        join(made.welcome, [bundle], tree=None, now=NOW, config=world.config)
    with pytest.raises(InvalidError) as observing:
        observe(made.successor.group_info(), config=world.config)
    assert (joining.value.rule, observing.value.rule) == ("V054", "V054")


def test_v051_a_leaf_with_a_certificate_of_somebody_elses_key() -> None:
    """A right chain for Alice's name proves nothing of who shows it: its key is not the one that signs."""
    world = Certified("alice", "bob")
    credential, _ = world.issued("alice")
    mallory = Forger(world["alice"], Dice())
    message = mallory.commit(edit_leaf=lambda leaf: replace(leaf, credential=credential))
    refused(world["bob"], "V051", message)


def test_v051_an_external_sender_with_a_certificate_of_somebody_elses_key() -> None:
    world = Certified("alice", "bob")
    credential, _ = world.issued("supervisor")
    named = external_senders_extension((ExternalSender(world["bob"].state.signer.public, credential),))
    refused(world["bob"], "V051", Forger(world["alice"], Dice()).commit(GroupContextExtensions((named,))))


def test_we_do_not_make_what_others_would_refuse() -> None:
    """A KeyPackage, a path or an Update with a certificate that is not the signing key's (V051, V052)."""
    world = Certified("alice")
    credential, _ = world.issued("alice")
    world.client("bob").credential = credential
    with pytest.raises(MisuseError, match="V051"):
        world.client("bob").package()
    with pytest.raises(MisuseError, match="V051"):
        world.commit("alice", leaf=LeafChange(credential=credential))
    with pytest.raises(MisuseError, match="V051"):
        world["alice"].propose_update(world.random, leaf=LeafChange(credential=credential))
    carol = world.client("carol")
    carol.suite_id, carol.signer = 4, suite(4).generate_signature_key(world.random)
    with pytest.raises(MisuseError, match="V052"):
        carol.package()


# --- succession -------------------------------------------------------------------------------------------------------


def test_v057_a_member_renews_its_certificate_and_stays_who_it_is() -> None:
    world = Certified("alice", "bob")
    world.commit("bob", leaf=world.renewal("bob"))
    assert world.agree()
    with pytest.raises(InvalidError) as wrong:
        world.commit("bob", leaf=world.renewal("alice"))  # from an authority that would say so of anybody
    assert wrong.value.rule == "V057"


def test_v057_of_several_names_none_comes_or_goes_unless_the_application_says_so() -> None:
    both = Certified("alice", "bob")
    with pytest.raises(InvalidError):
        both.commit("bob", leaf=both.renewal("bob", "robert"))

    def keeps_one(old: Names, new: Names) -> bool:
        return bool(old & new)

    world = Certified("alice", "bob", succeeds=keeps_one)
    world.commit("bob", leaf=world.renewal("bob", "robert"))
    world.commit("bob", leaf=world.renewal("robert"))
    with pytest.raises(InvalidError):
        world.commit("bob", leaf=world.renewal("bob"))
    assert world.agree()


def test_v056_an_update_with_a_new_certificate_is_judged_like_a_path() -> None:
    world = Certified("alice", "bob", "carol")
    group, update = world["carol"].propose_update(world.random, leaf=world.renewal("carol"))
    world.groups["carol"] = group
    world.commit("alice", references=[update])
    assert world.agree()
    with pytest.raises(InvalidError) as wrong:
        world["carol"].propose_update(world.random, leaf=world.renewal("bob"))
    assert wrong.value.rule == "V056"


def rejoining(world: Certified, name: str, shown: str) -> ExternalJoin:
    """That member, back without its state and with a fresh certificate for a name."""
    credential, signer = world.issued(shown)
    info = world["alice"].group_info(external_pub=True)
    capabilities, replaces = world.client(name).capabilities, world.leaf(name)
    return external_join(
        info, signer, credential, capabilities, world.random, NOW, replaces=replaces, config=world.config
    )


def test_v137_who_rejoins_is_known_by_its_names() -> None:
    """By the bytes of its certificates, unless the policy is the one for them."""
    world = Certified("alice", "bob")
    with pytest.raises(InvalidError) as other:
        rejoining(world, "bob", "bob")
    assert other.value.rule == "V137"

    world = Certified("alice", "bob", policy_of_clients=CertifiedClients())
    back = rejoining(world, "bob", "bob")
    assert world["alice"].stage(back.message, now=NOW).successor is not None
    with pytest.raises(InvalidError) as other:
        rejoining(world, "bob", "alice")
    assert other.value.rule == "V137"


def test_v218_a_strangers_external_commit_is_refused() -> None:
    world = Certified("alice", "bob", strangers=["mallory"])
    credential, signer = world.issued("mallory")
    info = world["alice"].group_info(external_pub=True)
    capabilities = world.client("bob").capabilities
    with pytest.raises(InvalidError) as own:
        external_join(info, signer, credential, capabilities, world.random, NOW, config=world.config)
    trusting = GroupConfig()
    made = external_join(info, signer, credential, capabilities, world.random, NOW, config=trusting)
    with pytest.raises(InvalidError) as others:
        world["bob"].stage(made.message, now=NOW)
    assert (own.value.rule, others.value.rule) == ("V218", "V218")


# --- time -------------------------------------------------------------------------------------------------------------


def test_v059_who_has_expired_is_heard_and_can_renew() -> None:
    world = Certified("alice", "bob")
    world.clock.now += 60 * DAY
    world.groups["bob"], message = world["bob"].seal(b"still here", world.random)
    assert world["alice"].open(message, world.clock.now)[1].plaintext == b"still here"
    world.commit("bob")  # its certificate is the old one
    credential, signer = world.issued("bob", until=NOW + 90 * DAY)
    world.commit("bob", leaf=LeafChange(credential=credential, signer=signer))
    with pytest.raises(InvalidError):  # but not by another that has expired
        world.commit("bob", leaf=world.renewal("bob"))
    assert world.agree()


def test_an_expired_newcomer_is_refused_unless_the_group_accepted_it_in_time() -> None:
    world = Certified("alice", "bob")
    made = world.commit("alice", adopt=False, proposals=[add(world.client("carol").package().key_package)])
    world.clock.now += 60 * DAY
    with pytest.raises(InvalidError) as late:
        world["bob"].stage(made.message, now=world.clock.now)
    assert late.value.rule == "V055"
    assert world["bob"].stage(made.message, now=world.clock.now, accepted=True).successor is not None


def test_a_chain_that_never_held_is_refused_of_an_accepted_commit_too() -> None:
    world = Certified("alice", "bob", strangers=["mallory"])
    _, made = world.invite("mallory")
    with pytest.raises(InvalidError):
        world["bob"].stage(made.message, now=NOW, accepted=True)


def test_members_who_have_expired_are_joined_with_only_if_the_application_says_so() -> None:
    for accepts in (False, True):
        world = Certified("alice", "bob", accept_expired_members=accepts)
        world.clock.now += 60 * DAY
        credential, signer = world.issued("carol", until=NOW + 90 * DAY)
        client = Client("carol", 1, world.random)
        client.capabilities, client.credential, client.signer = world.client("bob").capabilities, credential, signer
        world.clients["carol"] = client
        if accepts:
            world.add("alice", "carol")
            assert world.agree()
        else:
            with pytest.raises(InvalidError) as wrong:
                world.add("alice", "carol")
            assert wrong.value.rule == "V054"


# --- the application's part -------------------------------------------------------------------------------------------


def test_the_application_has_the_last_word_and_hears_every_name() -> None:
    """A list of revoked certificates, or who may be in this group at all."""
    heard: list[tuple[CredentialUse, Names]] = []

    def approve(use: CredentialUse, names: Names) -> bool:
        heard.append((use, names))
        return PresentedName("uri", "mls:mallory") not in names

    world = Certified("alice", "bob", approve=approve)
    joined = [names for use, names in heard if use.role is CredentialRole.MEMBER]
    assert joined == [{PresentedName("uri", "mls:alice")}, {PresentedName("uri", "mls:bob")}]
    with pytest.raises(InvalidError) as wrong:
        world.add("alice", "mallory")
    assert wrong.value.rule == "V055"


def test_bare_names_are_for_others_to_judge() -> None:
    """Without a word from the application none is taken, nor does a certificate give way to one."""
    alice = basic(b"alice")
    root = Authority()
    strict, lenient = x509_check([root.der], NOW), x509_check([root.der], NOW, others=accept_all)
    use = CredentialUse(alice, bytes(32))
    assert (strict(use), lenient(use)) == (False, True)
    assert presented_names(alice) == {PresentedName("basic", "616c696365")}

    certified = x509([root.issue("alice").der])
    leaf = replace(Client("alice", 1, Dice()).package().key_package.leaf_node, credential=alice)
    assert lenient(CredentialUse(certified, bytes(32)))
    assert not lenient(CredentialUse(certified, bytes(32), replaces=leaf))


def test_v058_external_senders_are_judged_when_their_list_changes() -> None:
    """And not again when something else does: theirs may have expired since, like anybody's."""
    world = Certified("alice", "bob")
    credential, signer = world.issued("supervisor")
    named = external_senders_extension((ExternalSender(signer.public, credential),))
    world.commit("alice", proposals=[group_context_extensions((named,))])
    world.clock.now += 60 * DAY
    again = ExternalSender(signer.public, credential), ExternalSender(signer.public, credential)
    policy = Extension(type(named.extension_type)(POLICY), b"another")
    world.commit("bob", proposals=[group_context_extensions((named, policy))])
    with pytest.raises(InvalidError) as wrong:
        world.commit("bob", proposals=[group_context_extensions((external_senders_extension(again),))])
    assert wrong.value.rule == "V058"
    assert world.agree()


def test_v058_a_founder_names_no_external_sender_it_would_not_accept() -> None:
    stranger = Authority("elsewhere").issue("supervisor")
    named = external_senders_extension((ExternalSender(stranger.signer(1).public, x509([stranger.der])),))
    with pytest.raises(MisuseError, match="V058"):
        Certified("alice", extensions=(named,))


def test_v064_certificates_enter_only_groups_whose_every_member_reads_them() -> None:
    """X.509 is listed in our capabilities where it is asked for."""
    assert own_capabilities().credentials == (1,)
    assert own_capabilities(credentials=BOTH).credentials == (1, 2)
    world, certified = Members("alice"), Certified("carol")
    with pytest.raises(InvalidError) as wrong:
        world.commit("alice", proposals=[add(certified.client("dave").package().key_package)])
    assert wrong.value.rule in ("V064", "V065")


def test_settings_are_not_in_a_snapshot() -> None:
    """Roots are given again, with the settings, when a group is read back."""
    world = Certified("alice", "bob", strangers=["mallory"], policy=X509Policy(depth_max=1))
    _, made = world.invite("mallory")
    again = Group.from_bytes(world["bob"].to_bytes(), world.config)
    with pytest.raises(InvalidError):
        again.stage(made.message, now=NOW)
    assert Group.from_bytes(world["bob"].to_bytes()).stage(made.message, now=NOW).successor is not None


def test_a_credential_has_a_certificate() -> None:
    with pytest.raises(MisuseError, match="V051"):
        x509([])
