"""Receipts: which members have a message of ours, and what a member says of itself to those it never meets."""
