"""What the local API says and hears: every request, reply and event, as frozen msgspec structs.

Ids, hashes and keys are lower-case hex, peer ids base58, times unix seconds, durations seconds with `_s` in the name.
A request refuses fields it does not know; a reply may grow fields, and readers skip those they do not know.
Nothing here is secret except message texts.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

NAME_SIZE_MAX = 64  # characters of a group's local name
TEXT_SIZE_MAX = 32 * 1024  # characters of one message: fits a gossip frame after sealing
PAGE_SIZE_MAX = 1000  # rows in one reply
WAIT_S_MAX = 600.0  # longest time one request waits for a certificate

Name = Annotated[str, Meta(min_length=1, max_length=NAME_SIZE_MAX, pattern=r"^[^/\x00-\x1f\x7f]+$")]
Reference = Annotated[str, Meta(min_length=1, max_length=512)]  # what a person typed for a group, member, peer
Seq = Annotated[int, Meta(ge=0, le=2**63 - 1)]
PageSize = Annotated[int, Meta(ge=1, le=PAGE_SIZE_MAX)]
WaitS = Annotated[float, Meta(ge=0, le=WAIT_S_MAX)]

Scope = Literal["read", "chat", "admin"]
Model = Literal["byzantine", "crash"]
PolicyKind = Literal["auto", "pinned", "all"]
Pins = Annotated[tuple[Reference, ...], Meta(max_length=31)]
VotersMax = Annotated[int, Meta(ge=1, le=31)]
Health = Literal[
    "ok",
    "unconfirmed",  # joined, but voters we elected ourselves have not answered yet
    "catching_up",
    "no_quorum",  # too few voters are reachable: messages flow, membership waits
    "abstaining",  # our guard is older than our votes: we may read and send, not vote
    "cut_off",  # the last commit could not be opened by us
    "frozen",  # contradicting certificates: membership never changes again here
    "fragmented",  # a member of this epoch holds other secrets than we do
    "needs_rejoin",  # nobody keeps what leads from here to where the group is
    "other_rules",  # the group is on ordering rules that this version does not run
    "rescuing",  # a successor was founded or endorsed here; it is not recognised yet
    "superseded",  # it has gone on as another group: what was said can be read
    "removed",  # no longer a member: what was received can be read
]
IntentKind = Literal["add", "readd", "remove", "update", "opt_in", "opt_out", "leave", "policy", "bench"]
IntentState = Literal["pending", "certified", "already", "refused"]
ChangeKind = Literal[
    "create", "add", "remove", "leave", "update", "opt_in", "opt_out", "policy", "bench", "return", "resync"
]
EventKind = Literal[
    "message",
    "decision",
    "intent",
    "group",
    "health",
    "contact",
    "invitation",  # into a group, and it waits for our user
    "request",  # somebody asks to be let into a group
    "truncated",  # what came before it is no longer kept
]


class Request(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of what a client asks; a field nobody knows is an error, not a silence."""


class Reply(Struct, frozen=True, kw_only=True):
    """Base of what the daemon answers."""


# Requests


class Nothing(Request, frozen=True, kw_only=True):
    """The request of operations that need no argument."""


class ConnectRequest(Request, frozen=True, kw_only=True):
    """Dial a multiaddr that ends in /p2p/<peer id>."""

    address: Reference


class PeerNameRequest(Request, frozen=True, kw_only=True):
    """Give a peer a name of this node's own; empty takes it away."""

    peer: Reference
    name: Literal[""] | Name


class GroupCreateRequest(Request, frozen=True, kw_only=True):
    """Found a group with ourselves as its only member and only voter."""

    name: Name
    suite: Annotated[int, Meta(ge=1, le=0xFFFF)] | None = None  # RFC 9420 §17.1; absent: as configured
    policy: PolicyKind = "auto"
    pins: Pins = ()  # who may vote when pinned, by name or peer id; this node is pinned too
    model: Model = "byzantine"
    committee_max: VotersMax = 7


class GroupRequest(Request, frozen=True, kw_only=True):
    """One group, by its local name or by a prefix of its id."""

    group: Reference


class ChangeRequest(GroupRequest, frozen=True, kw_only=True):
    """A change of one group. The reply comes when the change is certified, or after `timeout_s`, or at once.

    The intent is durable before any reply and goes on after it: a timeout loses nothing.
    """

    wait: bool = True
    timeout_s: WaitS = 30.0


class GroupAddRequest(ChangeRequest, frozen=True, kw_only=True):
    """Add a peer, by peer id (already connected) or by multiaddr (dialled first)."""

    peer: Reference


class GroupAddManyRequest(ChangeRequest, frozen=True, kw_only=True):
    """Add several peers in one change: all whose key packages can be had now; the others are tried again later.

    The reply comes when nothing is left but what is tried again, or after `timeout_s`, or at once.
    """

    peers: Annotated[tuple[Reference, ...], Meta(min_length=1, max_length=128)]


class GroupAddsRequest(ChangeRequest, frozen=True, kw_only=True):
    """How adding several peers is doing; waits likewise."""

    batch_id: Reference


class GroupRemoveRequest(ChangeRequest, frozen=True, kw_only=True):
    """Remove a member, by petname, by a prefix of its peer id, or by `#` and its leaf index."""

    member: Reference


class GroupMemberRequest(ChangeRequest, frozen=True, kw_only=True):
    """Something about one member, named as for its removal."""

    member: Reference


class GroupPolicyRequest(ChangeRequest, frozen=True, kw_only=True):
    """Change how the group elects its voters; what is absent stays as it is."""

    policy: PolicyKind | None = None
    pins: Pins = ()  # all of them, by name or peer id; only with the pinned policy
    model: Model | None = None
    committee_max: VotersMax | None = None
    delta_ms: Annotated[int, Meta(ge=10, le=60_000)] | None = None


class GroupRescueRequest(GroupRequest, frozen=True, kw_only=True):
    """Found a successor of a group that has lost its quorum; or take up another's, or take back an endorsement."""

    lost: tuple[Reference, ...] = ()  # members who will not come back; they count in groups of three or fewer
    follow: Reference | None = None  # the beginning of a successor's id that was offered here
    withdraw: bool = False


class GroupSendRequest(GroupRequest, frozen=True, kw_only=True):
    """One message to all members."""

    text: Annotated[str, Meta(min_length=1, max_length=TEXT_SIZE_MAX)]


class GroupReadRequest(GroupRequest, frozen=True, kw_only=True):
    """Messages of one group, oldest first: with a feed number above `after_seq`, or in the order that all members
    share, after a place in it."""

    after_seq: Seq = 0
    limit: PageSize = 100
    order: Literal["arrival", "shared"] = "arrival"
    after_place: Annotated[str, Meta(max_length=128)] = ""  # in the shared order: `last_place` of the page before


class GroupReceiptRequest(GroupRequest, frozen=True, kw_only=True):
    """What has become of a message of this node's own, by a beginning of its id or `#` and its feed number.

    Without one, the latest.
    """

    message: Reference | None = None


class GroupLogRequest(GroupRequest, frozen=True, kw_only=True):
    """Decisions that began an epoch above `after_epoch`, oldest first."""

    after_epoch: Seq = 0
    limit: PageSize = 100


class IntentRequest(ChangeRequest, frozen=True, kw_only=True):
    """How an earlier change is doing; waits for its end unless `wait` is false."""

    intent_id: Reference


class EventsRequest(Request, frozen=True, kw_only=True):
    """Events with a number above `since`, oldest first; without it, those from now on.

    Waits up to `wait_s` for the first one. The event stream asks this again and again.
    """

    since: Seq | None = None
    group: Reference | None = None
    limit: PageSize = 100
    wait_s: WaitS = 15.0


# Replies


class Problem(Reply, frozen=True, kw_only=True):
    """The body of every answer that is not a 2xx (RFC 9457); `code` is one of node.api.errors.ErrorCode."""

    type: str = "about:blank"  # the code says more than an address could
    title: str  # the status in words
    status: int
    detail: str  # what is wrong
    code: str
    hint: str = ""  # what to do about it


class ErrorBody(Reply, frozen=True, kw_only=True):
    """Why a change was refused; `code` as in a Problem."""

    code: str
    message: str
    hint: str = ""


class Done(Reply, frozen=True, kw_only=True):
    """It was done and there is nothing more to say."""


class Identity(Reply, frozen=True, kw_only=True):
    """Who this node is."""

    peer_id: str
    addresses: tuple[str, ...]  # shareable: each ends in /p2p/<peer id>
    name: str = ""


class PeerInfo(Reply, frozen=True, kw_only=True):
    """One peer we are connected to."""

    peer_id: str
    name: str = ""
    addresses: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()  # ids of the groups we share


class PeerList(Reply, frozen=True, kw_only=True):
    """Everyone we are connected to."""

    peers: tuple[PeerInfo, ...]


class GroupSummary(Reply, frozen=True, kw_only=True):
    """One group in one line."""

    group_id: str
    name: str
    epoch: int
    member_count: int
    committee_size: int
    quorum: int
    voters_heard: int  # seats heard lately, ourselves included
    is_member: bool
    is_voter: bool  # we hold a seat in this epoch
    survives: str  # what the present committee survives, in words (node.api.words.survives)
    unread_count: int
    health: Health
    health_text: str  # one sentence
    next_step: str = ""  # what to do about it; empty when nothing


class GroupList(Reply, frozen=True, kw_only=True):
    """Every group this node holds, those it was removed from included."""

    groups: tuple[GroupSummary, ...]


class FindingKind(Reply, frozen=True, kw_only=True):
    """One way of finding peers that is switched on, and what came of it since the start."""

    name: str  # static, mdns, rendezvous
    found: int  # answers about peers that are looked for
    reached: int  # peers that answered where it said, and proved who they are
    failures: int
    failure: str = ""  # the last one
    failed_at: float | None = None
    counters: dict[str, int] = {}  # what was refused, dropped or failed, by name


MailboxState = Literal["unused", "ok", "unreachable", "refused", "garbage", "withheld", "old state"]


class GroupMailbox(Reply, frozen=True, kw_only=True):
    """A mailbox of a group, as this node has found it."""

    peer_id: str
    address: str
    state: MailboxState  # the last time
    detail: str  # what was wrong the last time; empty when nothing was
    reached_at: float | None  # when it last answered as it should, since this node was started
    fault_count: int  # how often it was found lying, or to have lost what it had acknowledged; for all groups together
    last_fault: str  # the latest of these; empty for none
    last_fault_at: float | None
    lacking_count: int = 0  # messages and decisions of ours that it does not have yet


class NodeMailbox(GroupMailbox, frozen=True, kw_only=True):
    """A mailbox of this node's groups: as it did where it did worst."""

    group_count: int


class PackagePool(Reply, frozen=True, kw_only=True):
    """This node's key packages in one cipher suite."""

    suite: int
    ready: int  # one-time ones that nobody has, as far as this node knows
    size: int  # when it is full


class PackageReplica(Reply, frozen=True, kw_only=True):
    """A node that hands out this node's key packages while it is away."""

    peer_id: str
    is_current: bool  # it has all that is to be handed out


class Relaying(Reply, frozen=True, kw_only=True):
    """What a relay carries for others."""

    places: int  # nodes that are reached through this one
    circuits: int  # connections it carries now


class NodeStatus(Reply, frozen=True, kw_only=True):
    """The daemon at one glance."""

    version: str
    pid: int
    data_dir: str
    identity: Identity
    uptime_s: float
    always_on: bool  # opts in as a voter by itself
    http: str = ""  # where this API answers over HTTP; empty when it does not
    peers: tuple[PeerInfo, ...]
    groups: tuple[GroupSummary, ...]
    unclean_s: float | None = None  # for how long deleted secrets have waited to leave the disk, a reader in the way
    invitation_count: int = 0  # groups that wait for the user to accept
    request_count: int = 0  # people who ask to be let into groups by invites given out here
    mailboxes: tuple[NodeMailbox, ...] = ()  # that this node's groups use
    finding: tuple[FindingKind, ...] = ()
    packages: tuple[PackagePool, ...] = ()  # by which others add this node
    replicas: tuple[PackageReplica, ...] = ()
    rendezvous_count: int | None = None  # peers registered here; absent when this node is no rendezvous point
    relaying: Relaying | None = None  # absent when this node is no relay


class Member(Reply, frozen=True, kw_only=True):
    """One leaf of the group's tree."""

    leaf_index: int
    peer_id: str
    name: str
    is_self: bool
    is_willing: bool  # opted in: may be elected
    is_benched: bool  # willing, and passed over until it comes back
    is_proven_liar: bool = False  # signed two votes that contradict each other; the evidence is kept
    seat: int | None  # index in this epoch's committee
    is_connected: bool
    last_heard_s: float | None  # ago; absent when never
    is_waiting: bool = False  # added, and its user has not accepted yet


class PendingIntent(Reply, frozen=True, kw_only=True):
    """A change asked for here that is not certified yet."""

    intent_id: str
    kind: IntentKind
    text: str  # "add 12D3…ab"
    age_s: float
    attempts: int  # candidates built for it so far
    claims: int = 0  # of an add: claims of a key package that came to nothing; it is tried again
    reason: str = ""  # why the last of these did
    retry_s: float | None = None  # until the next one


class Survival(Reply, frozen=True, kw_only=True):
    """What the present committee survives in numbers, and what would make it survive more, in words."""

    voters: int
    quorum: int
    offline_max: int  # voters that may be away
    liars_max: int  # of them, how many may lie instead
    forks_with: int  # the least number of dishonest voters that could fork the group
    better_at: int | None  # the next larger committee that survives more
    improvement: str  # what to do for it; empty when nothing


class GroupDetail(GroupSummary, frozen=True, kw_only=True):
    """Everything `group show` tells."""

    suite: int
    suite_name: str
    model: Model
    committee_max: int
    faults: int  # f: how many voters may lie
    policy: PolicyKind
    pins: tuple[str, ...]  # peer ids
    delta_ms: int  # expected longest delay between voters, as the policy says
    delta_now_ms: int  # as learnt from round trips, for the running epoch
    survival: Survival
    view: int  # of the running instance
    awake: bool  # a change is being decided right now
    candidate_count: int
    epoch_fingerprint: str  # equal at every member that is in the same epoch of the same group
    decided_id: str  # the candidate that began this epoch; empty in the first
    is_confirmed: bool
    members: tuple[Member, ...]
    pending: tuple[PendingIntent, ...]
    mailboxes: tuple[GroupMailbox, ...] = ()
    mailbox_backlog: int = 0  # messages and decisions of ours that not every mailbox has yet


class IntentResult(Reply, frozen=True, kw_only=True):
    """How a change ended, or that it has not ended yet."""

    intent_id: str
    group_id: str
    kind: IntentKind
    state: IntentState
    text: str  # "added 12D3…ab", "still trying: 1 of 3 voters heard"
    epoch: int | None = None  # the epoch in which it holds, once it does
    candidate_id: str = ""  # the certified commit; empty until then and when it was already so
    error: ErrorBody | None = None  # why, when refused
    latency_s: float | None = None  # from the intent to the certificate


AddState = Literal[
    "claiming",  # its key package is being asked for
    "pending",  # wanted: a commit is on its way
    "certified",
    "already",  # a member before, or by somebody else's commit
    "retrying",  # no key package could be had; it is tried again by itself
    "refused",  # for good; the reason says why
]


class AddOutcome(Reply, frozen=True, kw_only=True):
    """How one of several adds is doing."""

    reference: str  # what was asked for: a name, an id or an address
    peer_id: str  # empty where the reference means nobody
    name: str
    state: AddState
    reason: str = ""  # of the last attempt that came to nothing
    epoch: int | None = None  # the epoch in which it holds
    intent_id: str = ""
    attempts: int = 0  # that came to nothing
    retry_s: float | None = None  # until the next one


class AddManyResult(Reply, frozen=True, kw_only=True):
    """How adding several peers is doing, one by one, in the order they were named."""

    group_id: str
    batch_id: str  # empty where nothing was begun
    outcomes: tuple[AddOutcome, ...]
    is_settled: bool  # nothing is under way but what is tried again later
    epochs: tuple[int, ...]  # which the commits that added them have begun: one, if all went together


class RescueResult(Reply, frozen=True, kw_only=True):
    """Where a rescue stands."""

    group_id: str  # the old group
    successor_id: str  # the one endorsed here; empty when none is
    is_recognised: bool  # more than two thirds stand behind it: it is a group of this node
    endorsed: int  # members behind the successor founded here
    needed: int
    text: str


class SendResult(Reply, frozen=True, kw_only=True):
    """The message is durable and on its way; or durable and waiting: for a member to be met after a start, or for the
    way back of a node that is cut off."""

    message_id: str  # empty while it waits
    seq: int  # 0 while it waits
    epoch: int
    is_waiting: bool = False  # not sealed yet; it is in no feed until it is


class MessageItem(Reply, frozen=True, kw_only=True):
    """One message in the feed."""

    seq: int  # this node's durable feed number: the same one its event carries
    message_id: str  # equal at every member
    group_id: str
    epoch: int
    sender_leaf: int
    sender: str  # peer id
    sender_name: str
    is_own: bool
    at: float  # when this node received or sent it
    sent_at: float = 0.0  # by the sender's clock
    text: str
    stored_at: int = 0  # of this node's own: how many mailboxes have acknowledged it
    delivered_to: int = 0  # of this node's own: how many members have said that they have it
    recipients: int | None = None  # of this node's own: how many others were members in its epoch; null: not known


class MessagePage(Reply, frozen=True, kw_only=True):
    """Messages, and where to go on: `after_seq=last_seq` misses none and repeats none.

    In the shared order it is `after_place=last_place`; what comes late may take a place before it.
    """

    messages: tuple[MessageItem, ...]
    last_seq: int
    has_more: bool
    last_place: str = ""


class Recipient(Reply, frozen=True, kw_only=True):
    """A member of the epoch that a message was sealed in."""

    peer_id: str
    name: str
    is_delivered: bool  # it has said so itself
    is_member: bool  # still


class MessageReceipt(Reply, frozen=True, kw_only=True):
    """What has become of a message of this node's own: sealed, stored, delivered."""

    message_id: str
    group_id: str
    seq: int
    epoch: int
    at: float  # when it was sealed
    text: str  # the same in words
    stored_at: int
    delivered_to: int
    recipients: int | None  # the other members of its epoch; null when that is not known any more
    mailboxes: tuple[str, ...]  # peer ids of those that have acknowledged it
    members: tuple[Recipient, ...]  # those it was delivered to first


class Change(Reply, frozen=True, kw_only=True):
    """One thing a commit changed."""

    kind: ChangeKind
    text: str  # "added bob (leaf 3)"
    leaf_index: int | None = None
    peer_id: str = ""


class LogEntry(Reply, frozen=True, kw_only=True):
    """One decision: the commit that ended epoch − 1 and began `epoch`, and who certified it."""

    epoch: int
    candidate_id: str
    committer_leaf: int
    committer: str  # peer id
    committer_name: str
    changes: tuple[Change, ...]
    view: int
    voters: tuple[str, ...]  # peer ids of the seats whose Finalize is in our copy of the certificate
    quorum: int
    committee_size: int
    at: float  # when this node stored it
    latency_s: float | None = None  # first heard of the candidate until decided; absent when caught up later
    is_own: bool = False


class LogPage(Reply, frozen=True, kw_only=True):
    """A stretch of the decided chain, oldest first."""

    group_id: str
    entries: tuple[LogEntry, ...]
    has_more: bool


class LogExport(Reply, frozen=True, kw_only=True):
    """The decided chain as one portable piece (base64 in JSON), checkable without this node."""

    version: int
    group_id: str
    first_epoch: int
    last_epoch: int
    chain: bytes


class Event(Reply, frozen=True, kw_only=True):
    """Something that happened. `seq` was written together with what it tells of, grows, and is what a reader resumes
    from.

    `truncated` says that events up to its own `seq` are no longer kept: read the state again, and go on from there.
    """

    seq: int
    kind: EventKind
    at: float
    text: str  # for people; message texts are in `message` only
    group_id: str = ""  # empty where it is of no group
    peer_id: str = ""  # whom it is about, where it is about one
    message: MessageItem | None = None
    decision: LogEntry | None = None
    intent: IntentResult | None = None


class EventBatch(Reply, frozen=True, kw_only=True):
    """Events, and the number to resume from: `last_seq` is the newest of all when there are no more."""

    events: tuple[Event, ...]
    last_seq: int


# What the command line says by itself, without a daemon


class NodeCreated(Reply, frozen=True, kw_only=True):
    """What `conclave init` has made."""

    peer_id: str
    data_dir: str
    config_file: str
    opens_by: str  # "passphrase", or the key file's path
    next_command: str


class VerifyProblem(Reply, frozen=True, kw_only=True):
    """One thing that does not check out."""

    epoch: int
    text: str


class VerifyReport(Reply, frozen=True, kw_only=True):
    """What re-checking a stored chain from its anchor found; `ok` means every decision is certified and linked."""

    group_id: str
    name: str
    ok: bool
    anchor: str  # where the check starts, in words: "genesis", "joined at epoch 7"
    first_epoch: int  # epochs begun by the first and last decision checked
    last_epoch: int
    decision_count: int
    signature_count: int
    head_id: str  # candidate id of the last decision
    epoch_fingerprint: str = ""  # of the stored group value; empty when it is gone (removed)
    problems: tuple[VerifyProblem, ...] = ()
