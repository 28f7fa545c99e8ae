"""A replica's store: who gets what, once; what is forgotten, and what never; whose room is whose."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from mls import supported_suites
from node.config import KeyPackagesSection
from node.key_packages.messages import ENTRIES_MAX, OFFERED_MAX, Manifest, Outcome, Published
from node.key_packages.pool import OWN_SHARE, SUITES_MAX
from node.key_packages.quorum import faults_of, quorum_of
from node.key_packages.store import (
    GRANTS_PER_OWNER_MAX,
    GRANTS_WINDOW_S,
    FullError,
    Offer,
    ReplicaStore,
    open_replica,
)
from node.transport import MIB
from tests.node.key_packages.owners import LATER, NOW, OTHER_SET, SET, Owner, nonce

KEY = b"k" * 32


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[ReplicaStore]:
    with open_replica(tmp_path / "replica.db", KEY, MIB) as store:
        yield store


def publish(store: ReplicaStore, owner: Owner, numbers: range | tuple[int, ...], **how: object) -> None:
    """A manifest and what it names."""
    assert store.publish(owner.manifest(numbers, **how), NOW) is not None  # type: ignore[arg-type]
    store.put(owner.key, owner.packages(numbers), NOW)


def test_a_package_is_granted_to_one_claim_and_to_it_again(replica: ReplicaStore) -> None:
    """An answer that was lost is asked for again; nobody else gets it, after a restart neither."""
    ada = Owner()
    publish(replica, ada, range(3))
    for _ in range(2):
        assert replica.grant(ada.claim(1, nonce(7)), NOW).package == ada.package(1)
    assert replica.grant(ada.claim(1, nonce(8)), NOW).outcome is Outcome.TAKEN
    assert replica.grant(ada.claim(9, nonce(8)), NOW).outcome is Outcome.UNKNOWN
    offer = replica.offer(ada.key, SET, 1, nonce(8), NOW)
    assert set(offer.digests) == {ada.digest(0), ada.digest(2)}


def test_what_was_granted_stays_granted_whatever_its_owner_says_later(replica: ReplicaStore) -> None:
    """Withdrawn and published again, or an older manifest played again: it is nobody else's."""
    ada = Owner()
    first = ada.manifest(range(2))
    assert replica.publish(first, NOW) is not None
    replica.put(ada.key, ada.packages(range(2)), NOW)
    assert replica.grant(ada.claim(0, nonce(1)), NOW).outcome is Outcome.GRANTED
    withdrawn = replica.publish(ada.manifest(()), NOW)
    assert withdrawn is not None
    assert (withdrawn.missing, withdrawn.granted) == ((), ())
    assert replica.grant(ada.claim(0, nonce(1)), NOW).outcome is Outcome.UNKNOWN
    assert replica.publish(first, NOW) is None, "an older manifest counts for nothing"
    again = replica.publish(ada.manifest(range(2)), NOW)
    assert again is not None
    assert (again.missing, again.granted) == ((ada.digest(1),), (ada.digest(0),))
    assert replica.put(ada.key, ada.packages(range(2)), NOW) == 1
    assert replica.grant(ada.claim(0, nonce(2)), NOW).outcome is Outcome.UNKNOWN


def test_what_is_published_for_other_replicas_is_not_granted_here(replica: ReplicaStore) -> None:
    """A claim counts among the replicas of one set; a package of two sets could be granted twice."""
    ada = Owner()
    publish(replica, ada, range(2))
    assert replica.offer(ada.key, OTHER_SET, 1, nonce(1), NOW) == Offer()
    assert replica.grant(ada.claim(0, nonce(1), OTHER_SET), NOW).outcome is Outcome.UNKNOWN
    assert replica.grant(ada.claim(0, nonce(1)), NOW).outcome is Outcome.GRANTED
    publish(replica, ada, range(2, 4), replicas=OTHER_SET)
    assert replica.offer(ada.key, SET, 1, nonce(1), NOW) == Offer()
    assert set(replica.offer(ada.key, OTHER_SET, 1, nonce(1), NOW).digests) == {ada.digest(2), ada.digest(3)}


def test_only_what_is_named_is_kept_and_only_of_the_right_suite_offered(replica: ReplicaStore) -> None:
    ada = Owner()
    assert replica.put(ada.key, ada.packages(range(3)), NOW) == 0
    assert replica.publish(ada.manifest(range(2)), NOW) is not None
    assert replica.put(ada.key, ada.packages(range(3)), NOW) == 2
    assert replica.offer(ada.key, SET, 2, nonce(1), NOW) == Offer()
    assert replica.grant(ada.claim(0, nonce(1), suite=2), NOW).outcome is Outcome.UNKNOWN
    assert replica.offer(ada.key, SET, 1, nonce(1), LATER) == Offer(), "it expires too soon"


def test_the_last_resort_is_offered_to_all_and_granted_to_nobody(replica: ReplicaStore) -> None:
    ada = Owner()
    publish(replica, ada, range(3), last_resort=2)
    for number in range(3):
        offer = replica.offer(ada.key, SET, 1, nonce(number), NOW)
        assert offer.last_resort == ada.package(2)
        assert ada.digest(2) not in offer.digests
    assert replica.grant(ada.claim(2, nonce(1)), NOW).outcome is Outcome.UNKNOWN


def test_each_claim_has_an_order_of_its_own(replica: ReplicaStore) -> None:
    """Two claims at once seldom want the same, and the replicas of an owner all tell a claim of the same ones."""
    ada = Owner()
    publish(replica, ada, range(40))
    offers = [replica.offer(ada.key, SET, 1, nonce(number), NOW).digests for number in range(20)]
    assert offers[3] == replica.offer(ada.key, SET, 1, nonce(3), NOW).digests
    assert {len(each) for each in offers} == {OFFERED_MAX}
    assert len({each[0] for each in offers}) > 10


def test_an_owners_packages_are_granted_at_a_bounded_pace(replica: ReplicaStore) -> None:
    """A greedy requester under ever new names gets so many and no more; then the last resort is offered alone."""
    ada, bob = Owner(1), Owner(2)
    publish(replica, ada, range(60), last_resort=59)
    publish(replica, bob, range(5))
    granted = [replica.grant(ada.claim(each, nonce(each)), NOW).outcome for each in range(50)]
    assert granted.count(Outcome.GRANTED) == GRANTS_PER_OWNER_MAX
    assert set(granted[GRANTS_PER_OWNER_MAX:]) == {Outcome.LATER}
    assert replica.offer(ada.key, SET, 1, nonce(99), NOW) == Offer((), ada.package(59))
    assert replica.grant(bob.claim(0, nonce(99)), NOW).outcome is Outcome.GRANTED, "nobody else notices"
    later = NOW + GRANTS_WINDOW_S
    assert replica.grant(ada.claim(40, nonce(40)), later).outcome is Outcome.GRANTED


def test_room_is_bounded_and_nobody_gives_way(tmp_path: Path) -> None:
    """Strangers fill half of it; who is known to the operator finds room beside them; who is in stays."""
    with open_replica(tmp_path / "replica.db", KEY, 64 * 1024) as store:
        strangers = [Owner(number) for number in range(200)]
        taken = []
        for stranger in strangers:
            try:
                publish(store, stranger, range(4))
            except FullError:
                continue
            taken.append(stranger)
        assert 0 < len(taken) < len(strangers)
        assert store.size <= 32 * 1024
        friend = Owner(1000)
        assert store.publish(friend.manifest(range(4)), NOW, is_known=True) is not None
        assert store.put(friend.key, friend.packages(range(4)), NOW) == 4
        for stranger in taken:
            assert store.grant(stranger.claim(0, nonce(1)), NOW).outcome is Outcome.GRANTED
        assert not store.expire(LATER + 1)
        assert (store.size, store.owner_count) == (0, 0)


def test_the_largest_pools_are_published_whole(replica: ReplicaStore) -> None:
    """For as many suites as pools are made for, last resorts and what is just being claimed besides."""
    largest = msgspec.convert({"pool": 200}, KeyPackagesSection).pool
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"pool": largest + 1}, KeyPackagesSection)
    lent = SUITES_MAX * (largest - largest // OWN_SHARE)
    assert lent + len(supported_suites()) + GRANTS_PER_OWNER_MAX <= ENTRIES_MAX
    ada = Owner()
    manifest = ada.manifest(range(ENTRIES_MAX))
    assert Manifest.decode(manifest.encode()) == manifest
    published = replica.publish(manifest, NOW)
    assert published is not None
    assert Published.decode(published.encode()).missing == published.missing
    assert len(published.missing) == ENTRIES_MAX


def test_strangers_without_number_leave_places_for_who_is_known(
    replica: ReplicaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Owners cost a stranger nothing: of their number, too, half is for the operator's contacts."""
    monkeypatch.setattr("node.key_packages.store.OWNERS_MAX", 8)
    for number in range(4):
        assert replica.publish(Owner(number).manifest(()), NOW) is not None
    with pytest.raises(FullError):
        replica.publish(Owner(4).manifest(()), NOW)
    for number in range(5, 9):
        assert replica.publish(Owner(number).manifest(()), NOW, is_known=True) is not None
    with pytest.raises(FullError):
        replica.publish(Owner(9).manifest(()), NOW, is_known=True)
    assert replica.owner_count == 8


class Replicas(RuleBasedStateMachine):
    """Real stores and as many liars as there may be; packages published, withdrawn, claimed; restarts at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.stacks: dict[int, ExitStack] = {}
        self.stores: dict[int, ReplicaStore] = {}
        self.grants: dict[tuple[int, int], set[int]] = {}  # (claimer, package) -> replicas
        self.owner, self.said = Owner(), list[Manifest]()

    @initialize(size=st.sampled_from([1, 3, 4, 5]), data=st.data())
    def begin(self, size: int, data: st.DataObject) -> None:
        self.size = size
        self.liars = data.draw(st.sets(st.integers(0, size - 1), max_size=faults_of(size)))
        for number in set(range(size)) - self.liars:
            self.open(number)
        self.publish(range(4))

    def open(self, number: int) -> None:
        stack = self.stacks[number] = ExitStack()
        self.stores[number] = stack.enter_context(open_replica(self.folder / f"{number}.db", KEY, MIB))

    def publish(self, numbers: range | tuple[int, ...]) -> None:
        self.said.append(self.owner.manifest(numbers))
        for store in self.stores.values():
            store.publish(self.said[-1], NOW)
            store.put(self.owner.key, self.owner.packages(numbers), NOW)

    @rule(numbers=st.sets(st.integers(0, 3)))
    def say_anew(self, numbers: set[int]) -> None:
        """Even an owner that publishes again what it withdrew, as one restored from a backup would."""
        self.publish(tuple(sorted(numbers)))

    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        manifest = data.draw(st.sampled_from(self.said))
        for store in self.stores.values():
            store.publish(manifest, NOW)

    @rule(replica=st.integers(0, 4))
    def restart(self, replica: int) -> None:
        number = replica % self.size
        if number in self.stores:
            self.stacks[number].close()
            self.open(number)

    @rule(claimer=st.integers(0, 2), package=st.integers(0, 3), replica=st.integers(0, 4))
    def claim(self, claimer: int, package: int, replica: int) -> None:
        number = replica % self.size
        is_granted = number in self.liars
        if number in self.stores:
            grant = self.stores[number].grant(self.owner.claim(package, nonce(claimer)), NOW)
            is_granted = grant.outcome is Outcome.GRANTED
        if is_granted:
            self.grants.setdefault((claimer, package), set()).add(number)

    @invariant()
    def no_package_is_handed_out_twice(self) -> None:
        counting = [package for (_, package), by in self.grants.items() if len(by) >= quorum_of(self.size)]
        assert len(counting) == len(set(counting))

    def teardown(self) -> None:
        for stack in self.stacks.values():
            stack.close()
        shutil.rmtree(self.folder)


def test_no_package_is_handed_out_twice() -> None:
    """While at most f of the replicas lie: whatever is said, claimed, replayed and restarted, in whatever order."""
    few = settings(max_examples=20, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(Replicas, settings=few)
