"""The table of operations: each line is a route of the server, a call of the client and a method of the Service.

A `{field}` of the path is filled from the request; what remains goes into the query string of a GET and into the
JSON body of a POST.
"""

from typing import Any

from node.api import schema
from node.api.contact_operations import CONTACT_OPERATIONS
from node.api.operation import Operation, ReplyT, RequestT
from node.api.token_operations import TOKEN_OPERATIONS

__all__ = ["OPERATIONS", "Operation", "ReplyT", "RequestT"]

STATUS = Operation(
    "status",
    "GET",
    "/v1/status",
    schema.Nothing,
    schema.NodeStatus,
    "What the node is doing: peers, groups, health.",
    scope="read",
)
IDENTITY = Operation(
    "identity",
    "GET",
    "/v1/identity",
    schema.Nothing,
    schema.Identity,
    "Who the node is and where it can be dialled.",
    scope="read",
    command="id",
)
PEERS = Operation(
    "peers", "GET", "/v1/peers", schema.Nothing, schema.PeerList, "The peers connected right now.", scope="read"
)
CONNECT = Operation(
    "connect", "POST", "/v1/connect", schema.ConnectRequest, schema.PeerInfo, "Dial a peer by its multiaddr."
)
PEER_NAME = Operation(
    "peer_name",
    "POST",
    "/v1/peers/name",
    schema.PeerNameRequest,
    schema.PeerInfo,
    "Give a peer a name; it stays on this node.",
    command="name",
)
SHUTDOWN = Operation(
    "shutdown", "POST", "/v1/shutdown", schema.Nothing, schema.Done, "Stop the daemon cleanly.", command="stop"
)

GROUP_LIST = Operation(
    "group_list", "GET", "/v1/groups", schema.Nothing, schema.GroupList, "All groups of this node.", scope="read"
)
GROUP_CREATE = Operation(
    "group_create", "POST", "/v1/groups", schema.GroupCreateRequest, schema.GroupDetail, "Found a group."
)
GROUP_SHOW = Operation(
    "group_show",
    "GET",
    "/v1/groups/{group}",
    schema.GroupRequest,
    schema.GroupDetail,
    "Members, committee, epoch and health of one group.",
    scope="read",
)
GROUP_ADD = Operation(
    "group_add",
    "POST",
    "/v1/groups/{group}/add",
    schema.GroupAddRequest,
    schema.IntentResult,
    "Add a peer; answers when the change is certified.",
)
GROUP_ADD_MANY = Operation(
    "group_add_many",
    "POST",
    "/v1/groups/{group}/add-many",
    schema.GroupAddManyRequest,
    schema.AddManyResult,
    "Add several peers in one change; who has no usable key package is named, and tried again by itself.",
    command="group add",
)
GROUP_ADDS = Operation(
    "group_adds",
    "GET",
    "/v1/groups/{group}/adds/{batch_id}",
    schema.GroupAddsRequest,
    schema.AddManyResult,
    "How an earlier add of several peers is doing.",
    scope="read",
    command="group adds",
)
GROUP_READD = Operation(
    "group_readd",
    "POST",
    "/v1/groups/{group}/readd",
    schema.GroupAddRequest,
    schema.IntentResult,
    "Remove a member that lost its way and add it anew, in one change.",
)
GROUP_REJOIN = Operation(
    "group_rejoin",
    "POST",
    "/v1/groups/{group}/rejoin",
    schema.GroupRequest,
    schema.Done,
    "Let any member this node knew bring it back into a group it cannot follow any more.",
)
GROUP_REMOVE = Operation(
    "group_remove",
    "POST",
    "/v1/groups/{group}/remove",
    schema.GroupRemoveRequest,
    schema.IntentResult,
    "Remove a member; answers when the change is certified.",
)
GROUP_UPDATE = Operation(
    "group_update",
    "POST",
    "/v1/groups/{group}/update",
    schema.ChangeRequest,
    schema.IntentResult,
    "Refresh our own keys; answers when the change is certified.",
)
GROUP_OPT_IN = Operation(
    "group_opt_in",
    "POST",
    "/v1/groups/{group}/opt-in",
    schema.ChangeRequest,
    schema.IntentResult,
    "Offer this node as a voter.",
)
GROUP_OPT_OUT = Operation(
    "group_opt_out",
    "POST",
    "/v1/groups/{group}/opt-out",
    schema.ChangeRequest,
    schema.IntentResult,
    "Stop being a voter.",
)
GROUP_LEAVE = Operation(
    "group_leave",
    "POST",
    "/v1/groups/{group}/leave",
    schema.ChangeRequest,
    schema.IntentResult,
    "Leave the group; answers when another member's commit has carried it.",
)
GROUP_POLICY = Operation(
    "group_policy",
    "POST",
    "/v1/groups/{group}/policy",
    schema.GroupPolicyRequest,
    schema.IntentResult,
    "Change how the group elects its voters.",
)
GROUP_BENCH = Operation(
    "group_bench",
    "POST",
    "/v1/groups/{group}/bench",
    schema.GroupMemberRequest,
    schema.IntentResult,
    "Pass over a voter that is gone, until it comes back.",
)
GROUP_INTENT = Operation(
    "group_intent",
    "GET",
    "/v1/groups/{group}/intents/{intent_id}",
    schema.IntentRequest,
    schema.IntentResult,
    "How a change asked for earlier is doing; waits for its end.",
    scope="read",
    command="group wait",
)
GROUP_RESCUE = Operation(
    "group_rescue",
    "POST",
    "/v1/groups/{group}/rescue",
    schema.GroupRescueRequest,
    schema.RescueResult,
    "Found the successor of a group whose quorum is lost, or take up the one another member has founded.",
)
GROUP_SEND = Operation(
    "group_send",
    "POST",
    "/v1/groups/{group}/messages",
    schema.GroupSendRequest,
    schema.SendResult,
    "Send a message to all members.",
    scope="chat",
)
GROUP_READ = Operation(
    "group_read",
    "GET",
    "/v1/groups/{group}/messages",
    schema.GroupReadRequest,
    schema.MessagePage,
    "Messages received and sent, oldest first.",
    scope="read",
)
GROUP_RECEIPT = Operation(
    "group_receipt",
    "GET",
    "/v1/groups/{group}/receipt",
    schema.GroupReceiptRequest,
    schema.MessageReceipt,
    "What has become of a message of this node's own: which mailboxes keep it, which members have it.",
    scope="read",
)
GROUP_LOG = Operation(
    "group_log",
    "GET",
    "/v1/groups/{group}/log",
    schema.GroupLogRequest,
    schema.LogPage,
    "The decided chain: one line per epoch, and who certified it.",
    scope="read",
)
GROUP_LOG_EXPORT = Operation(
    "group_log_export",
    "GET",
    "/v1/groups/{group}/log/export",
    schema.GroupRequest,
    schema.LogExport,
    "The decided chain with its certificates, as one portable piece.",
    scope="read",
    command="log export",
)
EVENTS = Operation(
    "events",
    "GET",
    "/v1/events",
    schema.EventsRequest,
    schema.EventBatch,
    "What happens, as it happens (server-sent events; resumes by `since` or Last-Event-ID).",
    is_stream=True,
    scope="read",
)

OPERATIONS: tuple[Operation[Any, Any], ...] = (
    STATUS,
    IDENTITY,
    PEERS,
    CONNECT,
    PEER_NAME,
    SHUTDOWN,
    GROUP_LIST,
    GROUP_CREATE,
    GROUP_SHOW,
    GROUP_ADD,
    GROUP_ADD_MANY,
    GROUP_ADDS,
    GROUP_READD,
    GROUP_REJOIN,
    GROUP_REMOVE,
    GROUP_UPDATE,
    GROUP_OPT_IN,
    GROUP_OPT_OUT,
    GROUP_LEAVE,
    GROUP_POLICY,
    GROUP_BENCH,
    GROUP_INTENT,
    GROUP_RESCUE,
    GROUP_SEND,
    GROUP_READ,
    GROUP_RECEIPT,
    GROUP_LOG,
    GROUP_LOG_EXPORT,
    EVENTS,
    *CONTACT_OPERATIONS,
    *TOKEN_OPERATIONS,
)
