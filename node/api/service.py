"""Service: what the daemon must be able to do for the local API, one method per line of the operation table."""

from typing import Protocol

from node.api import schema


class Service(Protocol):
    """Methods raise `node.api.errors.ApiError` for every refusal a person can act on; anything else is a bug of ours.

    They may be cancelled at any checkpoint: a client that leaves takes no accepted intent or message with it.
    """

    async def status(self, request: schema.Nothing) -> schema.NodeStatus: ...

    async def identity(self, request: schema.Nothing) -> schema.Identity: ...

    async def peers(self, request: schema.Nothing) -> schema.PeerList: ...

    async def connect(self, request: schema.ConnectRequest) -> schema.PeerInfo: ...

    async def peer_name(self, request: schema.PeerNameRequest) -> schema.PeerInfo: ...

    async def shutdown(self, request: schema.Nothing) -> schema.Done:
        """Begin a clean stop and return; the server answers before its stop event ends it."""

    async def group_list(self, request: schema.Nothing) -> schema.GroupList: ...

    async def group_create(self, request: schema.GroupCreateRequest) -> schema.GroupDetail: ...

    async def group_show(self, request: schema.GroupRequest) -> schema.GroupDetail: ...

    async def group_add(self, request: schema.GroupAddRequest) -> schema.IntentResult:
        """Changes return when certified, refused or already so; after `timeout_s`, or with `wait` false, as pending."""

    async def group_readd(self, request: schema.GroupAddRequest) -> schema.IntentResult: ...
    async def group_rejoin(self, request: schema.GroupRequest) -> schema.Done: ...
    async def group_remove(self, request: schema.GroupRemoveRequest) -> schema.IntentResult: ...

    async def group_update(self, request: schema.ChangeRequest) -> schema.IntentResult: ...

    async def group_opt_in(self, request: schema.ChangeRequest) -> schema.IntentResult: ...

    async def group_opt_out(self, request: schema.ChangeRequest) -> schema.IntentResult: ...

    async def group_leave(self, request: schema.ChangeRequest) -> schema.IntentResult: ...

    async def group_policy(self, request: schema.GroupPolicyRequest) -> schema.IntentResult: ...

    async def group_bench(self, request: schema.GroupMemberRequest) -> schema.IntentResult: ...

    async def group_intent(self, request: schema.IntentRequest) -> schema.IntentResult: ...

    async def group_rescue(self, request: schema.GroupRescueRequest) -> schema.RescueResult: ...
    async def group_send(self, request: schema.GroupSendRequest) -> schema.SendResult:
        """Return once the message is durable; it is never refused because a change is being decided."""

    async def group_read(self, request: schema.GroupReadRequest) -> schema.MessagePage:
        """`last_seq` is read in the same transaction as the rows: the feed's head unless there are more rows."""

    async def group_log(self, request: schema.GroupLogRequest) -> schema.LogPage: ...

    async def group_log_export(self, request: schema.GroupRequest) -> schema.LogExport: ...

    async def events(self, request: schema.EventsRequest) -> schema.EventBatch:
        """Events above `after_seq`, waiting up to `wait_s` for the first; an empty batch when none came.

        Without `after_seq`: at once, no events, and `last_seq` the feed's head. When events above `after_seq` are no
        longer kept, the first one returned is a `gap`.
        """
