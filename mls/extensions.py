"""Extensions that RFC 9420 itself defines: what their data means, and where each may stand (§13.4, §17.3)."""

from collections.abc import Iterable
from typing import TypeVar

from mls.codec import Opaque, Struct, Uint16, Vector, struct
from mls.errors import InvalidError, MalformedError, MisuseError
from mls.registry import (
    DEFAULT_EXTENSION_TYPES,
    GREASE_VALUES,
    GROUP_CONTEXT_EXTENSION_TYPES,
    GROUP_INFO_EXTENSION_TYPES,
    LEAF_EXTENSION_TYPES,
    ExtensionType,
)
from mls.tree.nodes import Credential, Extension

Extensions = tuple[Extension, ...]


@struct
class ApplicationId(Struct):
    """A name the application gives a leaf; nobody vouches for it (§5.3.3, V060)."""

    application_id: Opaque


@struct
class RequiredCapabilities(Struct):
    """What every member has to support (§11.1)."""

    extension_types: Vector[Uint16]
    proposal_types: Vector[Uint16]
    credential_types: Vector[Uint16]


@struct
class ExternalPub(Struct):
    """The public key external joiners encapsulate to (§12.4.3.2)."""

    external_pub: Opaque


@struct
class ExternalSender(Struct):
    """Somebody outside the group who may propose (§12.1.8.1)."""

    signature_key: Opaque
    credential: Credential


@struct
class ExternalSenders(Struct):
    external_senders: Vector[ExternalSender]


NO_REQUIREMENTS = RequiredCapabilities((), (), ())

_KNOWN: dict[int, type[Struct]] = {
    ExtensionType.APPLICATION_ID: ApplicationId,
    ExtensionType.REQUIRED_CAPABILITIES: RequiredCapabilities,
    ExtensionType.EXTERNAL_PUB: ExternalPub,
    ExtensionType.EXTERNAL_SENDERS: ExternalSenders,
}  # ratchet_tree is decoded by mls.tree.ratchet, which also checks its shape

KEY_PACKAGE_PLACE: frozenset[int] = frozenset()
LEAF_PLACE: frozenset[int] = LEAF_EXTENSION_TYPES
GROUP_INFO_PLACE: frozenset[int] = GROUP_INFO_EXTENSION_TYPES
GROUP_CONTEXT_PLACE: frozenset[int] = GROUP_CONTEXT_EXTENSION_TYPES

Known = TypeVar("Known", bound=Struct)


def find(extensions: Extensions, extension_type: int) -> bytes | None:
    """The data of the extension of that type, or None."""
    for extension in extensions:
        if extension.extension_type == extension_type:
            return extension.extension_data
    return None


def required_capabilities(extensions: Extensions) -> RequiredCapabilities:
    """What the group context requires of members; nothing when it does not say."""
    data = find(extensions, ExtensionType.REQUIRED_CAPABILITIES)
    return NO_REQUIREMENTS if data is None else decode_known(data, RequiredCapabilities)


def external_senders(extensions: Extensions) -> tuple[ExternalSender, ...]:
    data = find(extensions, ExtensionType.EXTERNAL_SENDERS)
    return () if data is None else decode_known(data, ExternalSenders).external_senders


def application_id(extensions: Extensions) -> bytes | None:
    """What a leaf says the application calls it (§5.3.3). Two leaves may say the same, and nobody vouches for either.

    So it is no identity: it helps an application find a leaf, and whom it finds is told by the credential (V060).
    """
    data = find(extensions, ExtensionType.APPLICATION_ID)
    return None if data is None else decode_known(data, ApplicationId).application_id


def application_id_extension(name: bytes) -> Extension:
    """For a leaf's extensions."""
    return Extension(ExtensionType.APPLICATION_ID, ApplicationId(name).encode())


def required_capabilities_extension(required: RequiredCapabilities) -> Extension:
    return Extension(ExtensionType.REQUIRED_CAPABILITIES, required.encode())


def external_senders_extension(senders: tuple[ExternalSender, ...]) -> Extension:
    return Extension(ExtensionType.EXTERNAL_SENDERS, ExternalSenders(senders).encode())


def check_extensions(
    extensions: Extensions, place: frozenset[int], where: str, *, pass_over_misplaced: bool = False
) -> None:
    """Each type once (V008), known data decodes whole (V009), and nothing known stands where it may not (V010).

    `pass_over_misplaced` is for a GroupInfo: what does not belong there is as good as unknown (V018), and some engines
    repeat the group context's extensions in it. In the other objects members have to judge alike.
    """
    types = types_of(extensions)
    if len(types) != len(extensions):
        raise InvalidError("V008", f"{where} has two extensions of one type")
    for extension in extensions:
        if extension.extension_type in DEFAULT_EXTENSION_TYPES and extension.extension_type not in place:
            if pass_over_misplaced:
                continue
            raise InvalidError("V010", f"{where} has an extension of type {extension.extension_type:d}")
        known = _KNOWN.get(extension.extension_type)
        if known is not None:
            decode_known(extension.extension_data, known)


def decode_known(data: bytes, kind: type[Known]) -> Known:
    """The extension's content. What does not decode makes the object around it invalid (V009)."""
    try:
        return kind.decode(data)
    except MalformedError as error:
        raise InvalidError("V009", f"the data of an extension is no {kind.__name__}: {error.detail}") from error


def check_own_group_info_extensions(extensions: Extensions) -> None:
    """What the application puts into a GroupInfo of ours; RFC 9420's own are put in where they are asked for."""
    if len(types_of(extensions)) != len(extensions) or DEFAULT_EXTENSION_TYPES & types_of(extensions):
        raise MisuseError("the application's GroupInfo extensions are of its own types, each once (V008, V010)")


def check_nothing_reserved(extensions: Extensions) -> None:
    """Raises MisuseError where a reserved value is about to go into a group context or be required (V108, V113)."""
    required = required_capabilities(extensions)
    lists = (types_of(extensions), required.extension_types, required.proposal_types, required.credential_types)
    if any(GREASE_VALUES.intersection(each) for each in lists):
        raise MisuseError("a reserved value is neither put into a group context nor required of anyone (V108, V113)")


def types_of(extensions: Iterable[Extension]) -> frozenset[int]:
    return frozenset(int(extension.extension_type) for extension in extensions)


def non_default(types: Iterable[int]) -> frozenset[int]:
    """Those extension types a client has to list to support them (§7.2)."""
    return frozenset(types) - DEFAULT_EXTENSION_TYPES
