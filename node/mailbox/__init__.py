"""Mailboxes: nodes that keep sealed items for members who sleep, and can read none of them."""
