"""What this client says it supports (RFC 9420 §7.2), and the rules for the leaves it makes itself."""

from collections.abc import Iterable, Sequence

from mls.credentials import check_credential
from mls.crypto import DEFAULT_PROFILE, Profile, Random, is_supported, suite, supported_suites
from mls.errors import InvalidError, MisuseError
from mls.extensions import KEY_PACKAGE_PLACE, LEAF_PLACE, Extensions, check_extensions, non_default, types_of
from mls.grease import reserved_value
from mls.registry import (
    DEFAULT_EXTENSION_TYPES,
    DEFAULT_PROPOSAL_TYPES,
    GREASE_VALUES,
    PRIVATE_USE,
    SUPPORTED_PROPOSAL_TYPES,
    CipherSuiteId,
    CredentialType,
    ProtocolVersion,
)
from mls.tree.nodes import Capabilities, LeafNode


def own_capabilities(
    extensions: Iterable[int] = (),
    random: Random | None = None,
    profile: Profile = DEFAULT_PROFILE,
    *,
    credentials: Iterable[CredentialType] = (CredentialType.BASIC,),
    proposals: Iterable[int] = (),
) -> Capabilities:
    """All that this engine supports (V092, V219), with the application's extension and proposal types, under a
    profile's numbers.

    `credentials` are the types that the application can judge: X.509 is named by one that has roots to go by, and basic
    left out by one that takes no bare names. With `random`, a reserved value stands in each list but the versions', to
    keep peers tolerant (V215).
    """
    grease = () if random is None else (reserved_value(random),)
    listed = non_default(extensions)
    return Capabilities(
        versions=(ProtocolVersion.MLS10,),
        cipher_suites=(*supported_suites(profile), *grease),
        extensions=(*sorted(listed), *(each for each in grease if each not in listed)),
        proposals=(*SUPPORTED_PROPOSAL_TYPES, *sorted(set(proposals).difference(SUPPORTED_PROPOSAL_TYPES)), *grease),
        credentials=(*sorted(set(credentials)), *grease),
    )


_FIRST_CHOICE = "MLS_128_MLKEM768X25519_AES128GCM_SHA256_ED25519"


def best_suite(
    members: Iterable[Capabilities], preference: Sequence[int] = (), profile: Profile = DEFAULT_PROFILE
) -> CipherSuiteId:
    """The cipher suite for a new group of these members, their creator among them (§11, V202).

    The first of `preference` that we and they all support; without one, the post-quantum hybrid of suite 1 where it is
    shared, then the profile's others in ascending order. A reserved value that all list is nobody's suite (V214).
    Raises MisuseError where they share none, or not all speak MLS 1.0.
    """
    members = tuple(members)
    if any(ProtocolVersion.MLS10 not in each.versions for each in members):
        raise MisuseError("not all of these members speak MLS 1.0 (V202)")
    first = profile.post_quantum.get(_FIRST_CHOICE)
    for suite_id in preference or (*(() if first is None else (first,)), *supported_suites(profile)):
        if is_supported(suite_id) and all(suite_id in each.cipher_suites for each in members):
            return CipherSuiteId(suite_id)
    raise MisuseError("these members share no cipher suite with us (V202)")


def check_own_leaf(leaf: LeafNode, suite_id: int, extensions: Extensions = ()) -> None:
    """What a leaf of ours has to say of itself before it is signed; `extensions` are those of its KeyPackage."""
    capabilities = leaf.capabilities
    if DEFAULT_PROPOSAL_TYPES.intersection(capabilities.proposals):
        raise MisuseError("default proposal types are not listed in capabilities (V068)")
    if unknown := {each for each in capabilities.proposals if not _is_carried(each)}:
        raise MisuseError(f"proposal types that this engine cannot read are listed: {sorted(unknown)} (V210)")
    if DEFAULT_EXTENSION_TYPES.intersection(capabilities.extensions):
        raise MisuseError("default extension types are not listed in capabilities (V068)")
    if ProtocolVersion.MLS10 not in capabilities.versions or suite_id not in capabilities.cipher_suites:
        raise MisuseError("our capabilities leave out the version or cipher suite they are made for (V069)")
    if GREASE_VALUES.intersection(capabilities.versions):
        raise MisuseError("a reserved value is no protocol version (V113)")
    if leaf.credential.credential_type not in capabilities.credentials:
        raise MisuseError("our capabilities leave out our own credential type (V066)")
    if unlisted := non_default(types_of((*leaf.extensions, *extensions))) - set(capabilities.extensions):
        raise MisuseError(f"our capabilities leave out extensions we use: {sorted(unlisted)} (V067, V089)")
    try:
        check_credential(suite(suite_id), leaf.credential, leaf.signature_key)
        check_extensions(leaf.extensions, LEAF_PLACE, "our leaf")
        check_extensions(extensions, KEY_PACKAGE_PLACE, "our KeyPackage")
    except InvalidError as error:
        raise MisuseError(str(error)) from error


def _is_carried(proposal_type: int) -> bool:
    """Whether a leaf of ours may list the type: we carry it out, carry it to the application, or mean nothing by it."""
    return proposal_type in SUPPORTED_PROPOSAL_TYPES or proposal_type in PRIVATE_USE or proposal_type in GREASE_VALUES


def check_suite_listed(leaf: LeafNode, suite_id: int) -> None:
    """A received leaf lists the version and suite it is used with; a setting, as some published ones do not (V069)."""
    capabilities = leaf.capabilities
    if ProtocolVersion.MLS10 not in capabilities.versions or suite_id not in capabilities.cipher_suites:
        raise InvalidError("V069", "a leaf that does not list the version or cipher suite it is used with")
