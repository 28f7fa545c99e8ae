"""Who this node's user knows: signed cards, the contacts they became, and the invitations that go between them."""
