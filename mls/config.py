"""Settings of a group on this device: windows, clocks and the application's word. None of them is on the wire."""

from dataclasses import dataclass

from mls.credentials import CredentialCheck, accept_all
from mls.padding import DEFAULT_PADDING, Padding
from mls.policy import OPEN_POLICY, Policy
from mls.registry import WireFormat
from mls.validation.signatures import Map, over_cores

DAY_S = 24 * 60 * 60


@dataclass(frozen=True, slots=True)
class GroupConfig:
    """How long keys are kept, how strict we are where the RFC leaves it to us, and whom the application accepts.

    A past epoch can be read while it is one of the newest `past_epoch_count` or younger than `past_epoch_age_s`, and in
    no case when it is older than the newest `past_epoch_max`. Its resumption PSK may be kept longer: no message opens
    with it.
    """

    past_epoch_count: int = 5
    past_epoch_age_s: int = DAY_S
    past_epoch_max: int = 20
    resumption_psk_count: int = 32  # of past epochs (V206)
    forward_distance_max: int = 1000  # generations a message may skip (V047)
    out_of_order_max: int = 1000  # skipped keys kept for each sender (V048)
    out_of_order_age_s: int = 7 * DAY_S  # and for how long
    padding: Padding = DEFAULT_PADDING  # of private content
    check_lifetimes: bool = True  # V071 for added leaves, against the `now` passed in
    lifetime_max_s: int | None = 366 * DAY_S  # V072; None accepts any
    check_tree_lifetimes: bool = False  # V071 for the tree of a group joined; its leaves may be long past their time
    check_suite_listed: bool = True  # V069 for added leaves
    wire_formats: frozenset[WireFormat] = frozenset((WireFormat.MLS_PUBLIC_MESSAGE, WireFormat.MLS_PRIVATE_MESSAGE))
    validate_credential: CredentialCheck = accept_all
    policy: Policy = OPEN_POLICY  # V110, V111, V130, V147, V150
    map_signatures: Map = over_cores  # verifies the signatures of a tree or of many added members
