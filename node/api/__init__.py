"""The local API: one table of operations, served as HTTP on a unix socket and called by the command line."""
