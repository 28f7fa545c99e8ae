"""Entering a group: as its founder, by Welcome, by an external commit."""

from mls import (
    Group,
    KeyPackageBundle,
    PskName,
    basic,
    external_join,
    external_psk,
    frame,
    group_context_of,
    join,
    observe,
)
from mls.interop.answers import (
    CreateGroupResponse,
    CreateKeyPackageResponse,
    ExternalJoinResponse,
    JoinGroupResponse,
    NameResponse,
    PreSharedKeyValue,
    SupportedCiphersuitesResponse,
)
from mls.interop.kept import Kept, State, Transaction, leaf_of, wire_format


class Entering(Kept):
    def name(self) -> NameResponse:
        return NameResponse("Conclave")

    def supported_ciphersuites(self) -> SupportedCiphersuitesResponse:
        return SupportedCiphersuitesResponse(tuple(int(each) for each in self.suites))

    def create_group(
        self, *, group_id: bytes, cipher_suite: int, encrypt_handshake: bool, identity: bytes
    ) -> CreateGroupResponse:
        suite_id = self.suite_id(cipher_suite)
        group = Group.create(
            suite_id,
            group_id,
            self.signature_key(suite_id),
            basic(identity),
            self.capabilities(),
            (),
            (),
            self.random,
            self.lifetime(),
            self.config,
        )
        return CreateGroupResponse(self.keep(State(group, wire_format(encrypt_handshake))))

    def create_key_package(self, *, cipher_suite: int, identity: bytes) -> CreateKeyPackageResponse:
        bundle = self.bundle(self.suite_id(cipher_suite), identity)
        number = self.keep(Transaction(bundle))
        return CreateKeyPackageResponse(number, frame(bundle.key_package), *private_keys(bundle))

    def join_group(
        self, *, transaction_id: int, welcome: bytes, encrypt_handshake: bool, identity: bytes, ratchet_tree: bytes
    ) -> JoinGroupResponse:
        transaction = self.find(Transaction, transaction_id)
        group = join(
            welcome,
            [transaction.bundle],
            tree=ratchet_tree or None,
            now=self.clock(),
            config=self.config,
            psks=transaction.psks,
        )
        self.forget(transaction_id)  # a key package is good for one join (V091)
        number = self.keep(State(group, wire_format(encrypt_handshake), transaction.psks))
        return JoinGroupResponse(number, group.epoch_authenticator)

    def external_join(
        self,
        *,
        group_info: bytes,
        ratchet_tree: bytes,
        encrypt_handshake: bool,
        identity: bytes,
        remove_prior: bool,
        psks: tuple[PreSharedKeyValue, ...],
    ) -> ExternalJoinResponse:
        """`remove_prior` takes out the leaf that has the joiner's identity in the epoch it is shown."""
        tree = ratchet_tree or None
        suite_id = self.suite_id(group_context_of(group_info).cipher_suite)
        at_hand: dict[PskName, bytes] = {external_psk(each.psk_id): each.psk_secret for each in psks}
        joined = external_join(
            group_info,
            self.signature_key(suite_id),
            basic(identity),
            self.capabilities(),
            self.random,
            self.clock(),
            tree=tree,
            replaces=leaf_of(observe(group_info, tree=tree, config=self.config), identity) if remove_prior else None,
            inject=tuple(at_hand),
            psks=at_hand,
            config=self.config,
        )
        number = self.keep(State(joined.group, wire_format(encrypt_handshake), at_hand))
        return ExternalJoinResponse(number, joined.message, joined.group.epoch_authenticator)


def private_keys(bundle: KeyPackageBundle) -> tuple[bytes, bytes, bytes]:
    """Init, leaf and signature key, in the definition's order."""
    return bundle.init_key.to_bytes(), bundle.encryption_key.to_bytes(), bundle.signer.to_bytes()
