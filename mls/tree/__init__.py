"""The ratchet tree (RFC 9420 §4.1, §7): arithmetic, nodes, the tree as a value, and TreeKEM over it."""
